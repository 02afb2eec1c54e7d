"""Runs on images that nobody has published results on: every run, and the best one in full."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from medfeat.counted import counted
from medfeat.evaluation.compare.comparison import Comparison
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.measures.operating import OperatingPoint
from medfeat.evaluation.measures.threshold_curves import roc_line
from medfeat.evaluation.runs.run import Run, read_scores
from medfeat.report.figures import FAINT, OURS, new_figures, plain
from medfeat.report.page.curve_charts import MOST_CURVES, draw_lines
from medfeat.report.run_tables import class_tables, runs_tables
from medfeat.report.tables import Table, number, with_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_NAMES = 20  # of more classes the matrix has no room for names


def own_tables(comparison: Comparison) -> list[Table]:
    """Return all runs on one question, and of the best on val its classes, confusions and operating points."""
    runs = comparison.runs
    found = [
        replace(
            table,
            title=f"{table.title}: {counted(len(runs), 'run')}, no published results",
            notes=(*table.notes, _split(runs[0])),
        )
        for table in runs_tables(runs)
    ]
    best = runs[0]
    return [*found, *(table for table in class_tables([best]) if table.rows), *_confusions(best), *_points(best)]


def _split(run: Run) -> str:
    return f"{run.task['origin']}; intervals: test-set uncertainty of {counted(run.test.n, 'sample')}"


def _name(run: Run) -> str:
    return f"{run.shown}: {run.network}, {run.head}"


def _confusions(run: Run) -> Iterator[Table]:
    if run.test.confusion:
        names = tuple(run.task["classes"])
        rows = tuple((name, *map(str, row)) for name, row in zip(names, run.test.confusion, strict=False))
        yield Table(f"{_name(run)}, confusions of test", ("true / predicted", *names), rows)


def _points(run: Run) -> Iterator[Table]:
    if run.test.operating_points:
        rows = tuple(
            (_rule(point), number(point.threshold), with_interval(point.sensitivity), with_interval(point.specificity))
            for point in run.test.operating_points
        )
        columns = ("threshold", "score above", "sensitivity", "specificity")
        yield Table(f"{_name(run)}, operating points on test", columns, rows)


def _rule(point: OperatingPoint) -> str:
    return point.rule.removeprefix("official ")  # of own images nothing is


def own_figure(comparison: Comparison) -> Figure:
    """Draw all runs with their intervals, and of the best on val the ROC of each class and the confusions."""
    best = comparison.runs[0]
    curves, matrix = best.task["type"] != "regression", bool(best.test.confusion)
    figure, places = new_figures(1 + curves + matrix, 4.6, 4.4)
    _scores(places[0], comparison.runs)
    if curves:
        _roc(places[1], best)
    if matrix:
        _matrix(places[-1], best)
    figure.suptitle(
        plain(f"{_name(best)}: best on val of {counted(len(comparison.runs), 'run')}"), fontweight="bold", fontsize=11
    )
    return figure


def _scores(axes: Axes, runs: Sequence[Run]) -> None:
    shown = runs[:12]
    metric = runs[0].headline[0]
    for y, run in enumerate(reversed(shown)):
        interval = run.test.values[metric]
        if np.isfinite(interval.low):
            axes.hlines(y, interval.low, interval.high, color=OURS, lw=2)
        axes.plot(interval.value, y, "o", color=OURS, ms=6)
    names = [plain(f"{run.network}, {run.head}") for run in reversed(shown)]
    axes.set_yticks(range(len(shown)), names, fontsize=8.5)
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.set_xlabel(f"test {metric.upper()} with 95 % interval", fontsize=9)
    axes.grid(axis="x", color=FAINT, lw=0.5, alpha=0.6)


def _roc(axes: Axes, run: Run) -> None:
    assert run.folder is not None  # it was read from there
    stored = read_scores(run.folder)
    given = LabelledScores.of(stored["test_labels"], stored["test_scores"], run.task["type"])
    names = list(run.task["classes"])
    names = names[-1:] if run.task["type"] == "binary-class" else names
    pairs = given.one_vs_rest
    largest = sorted(sorted(range(len(pairs)), key=lambda i: -int(pairs[i][0].sum()))[:MOST_CURVES])
    axes.plot([0, 1], [0, 1], color=FAINT, lw=1)
    draw_lines(axes, [roc_line(names[i], *pairs[i]) for i in largest if 0 < pairs[i][0].sum() < len(pairs[i][0])])
    for mark, point in zip("os^Dv", run.test.operating_points, strict=False):
        at = 1 - point.specificity.value, point.sensitivity.value
        axes.plot(*at, mark, color=OURS, ms=5, ls="", label=f"{_rule(point)} (> {point.threshold:.2f})")
    axes.set(xlim=(0, 1), ylim=(0, 1.01))
    axes.set_xlabel("1 - specificity", fontsize=9)
    axes.set_ylabel("sensitivity", fontsize=9)
    axes.legend(loc="lower right", frameon=False, fontsize=8)


def _matrix(axes: Axes, run: Run) -> None:
    counts = np.array(run.test.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    names = [plain(name) for name in run.task["classes"]]
    if len(counts) <= _MOST_NAMES:
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        for (i, j), count in np.ndenumerate(counts):
            axes.text(j, i, f"{count}", ha="center", va="center", fontsize=8, color="w" if shares[i, j] > 0.5 else "k")
    axes.set_xlabel("predicted", fontsize=9)
    axes.set_ylabel("true", fontsize=9)
