"""Charts of runs: curves over thresholds with their bands, and what a score costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medfeat.evaluation.measures.threshold_curves import GRID, Line
from medfeat.report.figures import CLASS_COLOURS, FAINT, INK, OURS, new_figure, plain
from medfeat.report.page.charts import legend_below

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Curves that a chart can still show apart; of more classes the largest are drawn.
MOST_CURVES = 8
SIDE = 4.2
_COLOURS = tuple(colour for colour in CLASS_COLOURS if colour != INK)


def roc_figure(lines: Sequence[Line]) -> Figure:
    """Draw sensitivity over 1 - specificity, a line a class, its band shaded."""
    figure, axes = new_figure(SIDE, SIDE)
    axes.plot([0, 1], [0, 1], color=FAINT, lw=1)
    draw_lines(axes, lines)
    axes.set(xlim=(0, 1), ylim=(0, 1.01))
    _named(axes, "1 - specificity", "sensitivity")
    return _finished(figure, axes, lines)


def precision_figure(lines: Sequence[Line], shares: Sequence[float]) -> Figure:
    """Draw precision over recall, a line a class; dashed is what chance gives, the share of the class."""
    figure, axes = new_figure(SIDE, SIDE)
    for i, share in enumerate(shares):
        axes.axhline(share, color=_COLOURS[i % len(_COLOURS)], lw=0.8, ls=(0, (4, 3)), alpha=0.6)
    draw_lines(axes, lines)
    axes.set(xlim=(0, 1), ylim=(0, 1.01))
    _named(axes, "recall", "precision")
    return _finished(figure, axes, lines)


def benefit_figure(line: Line, everyone: NDArray[np.float64]) -> Figure:
    """Draw the net benefit of a binary model over the threshold, beside calling everyone or no one positive."""
    figure, axes = new_figure(SIDE, SIDE)
    axes.axhline(0, color=FAINT, lw=1)
    axes.plot(GRID, everyone, color=OURS, lw=1.1, ls=(0, (4, 3)), label="everyone positive")
    draw_lines(axes, [line])
    top = max(float(np.nanmax(line.high)), float(everyone[0]), 0.02) * 1.1
    axes.set(xlim=(0, 1), ylim=(-0.25 * top, top))
    _named(axes, "threshold probability", "net benefit")
    return _finished(figure, axes, [line, line])


def cost_figure(names: Sequence[str], seconds: Sequence[float], scores: Sequence[float], score: str) -> Figure:
    """Draw the score of each run over the seconds it took, from the first image to the trained head.

    Parameters
    ----------
    names
        Of the backbones: one colour each.
    seconds, scores
        One a run; NaN is left out.
    score
        What the vertical axis is called.
    """
    figure, axes = new_figure(5.0, 3.6)
    seconds_, scores_ = np.asarray(seconds, float), np.asarray(scores, float)
    for i, name in enumerate(list(dict.fromkeys(names))):
        mine = np.array([one == name for one in names]) & np.isfinite(seconds_) & np.isfinite(scores_)
        marker = "os^Dv"[i // len(_COLOURS) % 5]
        if mine.any():
            axes.plot(seconds_[mine], scores_[mine], marker, ls="", ms=6, color=_COLOURS[i % len(_COLOURS)],
                      alpha=0.85, label=plain(name))  # fmt: skip
    known = seconds_[np.isfinite(seconds_)]
    if len(known) and known.max() > 10 * known.min() > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
    axes.grid(color=FAINT, lw=0.5, alpha=0.5)
    _named(axes, "seconds for extraction and probe", score)
    legend_below(figure, axes, 3)
    return figure


def draw_lines(axes: Any, lines: Sequence[Line]) -> None:
    """Draw curves over thresholds, each with its band, in colours that can be told apart."""
    for i, line in enumerate(lines):
        colour = _COLOURS[i % len(_COLOURS)]
        axes.fill_between(GRID, line.low, line.high, color=colour, alpha=0.16 if len(lines) < 4 else 0.08, lw=0)
        axes.plot(GRID, line.y, color=colour, lw=1.5, label=plain(line.name))


def _named(axes: Any, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=9, color=INK)
    axes.set_ylabel(y, fontsize=9, color=INK)


def _finished(figure: Figure, axes: Any, lines: Sequence[Line]) -> Figure:
    axes.grid(color=FAINT, lw=0.5, alpha=0.5)
    if len(lines) > 1:
        legend_below(figure, axes, 2)
    return figure
