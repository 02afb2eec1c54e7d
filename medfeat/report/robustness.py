"""Scores against severity, as a table and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medfeat.evaluation.judging.robustness import Robustness
from medfeat.report.figures import CLASS_COLOURS, FAINT, INK, new_figures, plain, save
from medfeat.report.run_tables import NAMES
from medfeat.report.tables import Table, number, with_interval


def robustness_table(one: Robustness) -> Table:
    """Return a kind a row, a severity a column, and the mean over severities."""
    metric = one.run.headline[0]
    severities = sorted({severity for of in one.scores.values() for severity in of})
    clean = with_interval(one.run.test.values[metric])
    rows = [
        (
            f"{one.noise} {kind}" if kind == "noise" else kind,
            clean,
            *(with_interval(of[severity].values[metric]) for severity in severities),
            number(one.mean(kind, metric)),
        )
        for kind, of in one.scores.items()
    ]
    columns = (f"test {NAMES[metric]}, severity", "0", *map(str, severities), "mean 1-5")
    title = f"{one.run.shown}: {one.run.network}, {one.run.head} on worse copies of its test images"
    notes = ("severities after MedMNIST-C; 0 is test as it is; in brackets: 95 % interval of the test samples",)
    between = [str(one) for one in severities[1:-1]]
    less = (*between[::2], *between[1::2], "0")
    ends = [str(one) for one in (*severities[:1], *severities[-1:])]
    return Table(title, columns, tuple(rows), notes, less=less, bare=(*between, *dict.fromkeys(ends), "0"))


def draw_robustness(found: Sequence[Robustness], path: Path) -> Path:
    """Draw score against severity, a panel a kind and a line a run, its 95 % interval shaded."""
    kinds = list(dict.fromkeys(kind for one in found for kind in one.scores))
    figure, places = new_figures(len(kinds), 3.6, 3.8)
    for axes, kind in zip(places, kinds, strict=True):
        for i, one in enumerate(found):
            metric, of = one.run.headline[0], one.scores[kind]
            points = [one.run.test.values[metric], *(of[severity].values[metric] for severity in sorted(of))]
            at, colour = [0, *sorted(of)], CLASS_COLOURS[i % len(CLASS_COLOURS)]
            label = plain(f"{one.run.shown}, {one.run.network}, {one.run.head}")
            axes.plot(at, [point.value for point in points], "o-", color=colour, ms=4, lw=1.4, label=label)
            if np.isfinite([point.low for point in points]).all():
                low, high = [point.low for point in points], [point.high for point in points]
                axes.fill_between(at, low, high, color=colour, alpha=0.13, lw=0)
        axes.set_title(kind, loc="left", fontsize=10, color=INK)
        axes.set_xlabel("severity", fontsize=9)
        axes.grid(color=FAINT, lw=0.5, alpha=0.5)
    lowest, highest = min(axes.get_ylim()[0] for axes in places), max(axes.get_ylim()[1] for axes in places)
    for axes in places:
        axes.set_ylim(lowest, highest)
    places[0].set_ylabel(f"test {NAMES[found[0].run.headline[0]]}", fontsize=9)
    handles, names = places[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", frameon=False, fontsize=8, ncols=2)
    return save(figure, path)
