"""Learning curves as a table and a figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medfeat.errors import UsageError
from medfeat.evaluation.judging.few_shot import Curve, Point
from medfeat.evaluation.runs import wording
from medfeat.report.figures import write_figure
from medfeat.report.tables import Table, number, with_interval

FORMATS = (".png", ".svg", ".pdf")
# Colours that stay apart for colour-blind readers (Okabe and Ito, Color universal design, 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_NOTES = (
    "mean over draws; in brackets 95 % of draws and bootstrap resamples of test together: another kind than in the "
    "tables of `probe`, which hold one head fixed and are in closed form; compare these with each other alone",
    "over draws: 95 % of draws, test held fixed; labels used: of train, and of val, which chooses",
)


def curve_tables(curves: Sequence[Curve]) -> list[Table]:
    """Return one table a dataset and task, a row for each number of shots."""
    groups: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves:
        groups.setdefault((curve.dataset, curve.task), []).append(curve)
    columns = ("backbone", "head", "shots a class", "labels used", "draws", "test AUC", "over draws", "test ACC")
    tables = []
    for (dataset, task), members in groups.items():
        rows = tuple(
            (name, curve.head, *_row(point))
            for curve, name in zip(members, _names(members), strict=True)
            for point in curve.points
        )
        short = any(point.short for curve in members for point in curve.points)
        notes = (*_NOTES, *(["* a class has fewer samples in train or val; all of them were taken"] if short else []))
        cautions = dict.fromkeys(line for curve in members for line in curve.cautions)
        less = ("draws", "over draws", "labels used", "test ACC", "head")
        tables.append(Table(f"{dataset}, task {task}: few labels", columns, rows, (*notes, *cautions), less=less))
    return tables


def _names(curves: Sequence[Curve]) -> list[str]:
    return wording.networks((curve.backbone, curve.weights) for curve in curves)


def _row(point: Point) -> tuple[str, ...]:
    spread = point.spread["auc"]
    return (
        f"{point.shots}{'*' if point.short else ''}",
        f"{point.labelled:.0f}",
        str(point.draws),
        with_interval(point.values["auc"]),
        f"{number(spread.low)}–{number(spread.high)}" if math.isfinite(spread.low) else number(None),
        with_interval(point.values["acc"]),
    )


def draw_curves(curves: Sequence[Curve], path: Path) -> Path:
    """Draw test AUC over the number of labelled samples; the band is over draws and test together, bars over draws.

    Raises
    ------
    UsageError
        Another format than PNG, SVG or PDF.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"--figure must end in {', '.join(FORMATS)}, got {path.name}")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    groups = list(dict.fromkeys((curve.dataset, curve.task) for curve in curves))
    figure = Figure(figsize=(6.4 * len(groups), 4.4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    for place, group in enumerate(groups, 1):
        axes = figure.add_subplot(1, len(groups), place)
        members = [curve for curve in curves if (curve.dataset, curve.task) == group]
        curve_axes(axes, members)
        axes.set_xlabel("labelled samples (train and val together); shots a class in brackets")
        axes.set_title(f"{group[0]}, task {group[1]}", loc="left")
        axes.legend(loc="lower right", frameon=False, title="line: mean; bars: 95 % of draws; band: of draws and test")
    write_figure(figure, path, "choose another --figure")
    return path


def curve_axes(axes: Any, curves: Sequence[Curve]) -> None:
    """Draw the curves of one question, without their legend."""
    for i, (curve, name) in enumerate(zip(curves, _names(curves), strict=True)):
        _draw(
            axes,
            curve,
            f"{name}, {curve.head}",
            COLOURS[i % len(COLOURS)],
            shift=1 + 0.02 * (i - (len(curves) - 1) / 2),
        )
    axes.set_xscale("log")
    _ticks(axes, curves[0])
    axes.set_xlabel("labelled samples, shots a class")
    axes.set_ylabel("test AUC")
    axes.grid(alpha=0.25)


def _draw(axes: Any, curve: Curve, label: str, colour: str, *, shift: float) -> None:
    at = [point.labelled * shift for point in curve.points]
    mean = [point.values["auc"].value for point in curve.points]
    axes.plot(at, mean, color=colour, marker="o", markersize=4, label=label)
    axes.fill_between(
        at,
        [point.values["auc"].low for point in curve.points],
        [point.values["auc"].high for point in curve.points],
        color=colour,
        alpha=0.13,
        linewidth=0,
    )
    for x, point in zip(at, curve.points, strict=True):
        axes.plot([x, x], [point.spread["auc"].low, point.spread["auc"].high], color=colour, linewidth=1.4)


def _ticks(axes: Any, curve: Curve) -> None:
    at = [point.labelled for point in curve.points]
    axes.set_xticks(at, [f"{point.labelled:.0f}\n({point.shots})" for point in curve.points])
    axes.minorticks_off()
