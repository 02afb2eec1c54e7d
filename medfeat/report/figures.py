"""Figures for a report: scores beside published ones, and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medfeat.evaluation.compare.comparison import Comparison
from medfeat.evaluation.compare.published import PublishedRow
from medfeat.evaluation.runs import wording
from medfeat.evaluation.runs.run import Run
from medfeat.report.comparison_tables import cautions, network_names
from medfeat.types import FloatArray
from medfeat_cache import make_folder, replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OURS = "#c1272d"
INK, FAINT = "#222222", "#b8bcc2"
_TRAINING_COLOURS = {
    "linear probe": "#0072b2",
    "kNN": "#56b4e9",
    "frozen, larger head": "#009e73",
    "fine-tuned": "#e69f00",
    "from scratch": "#7f7f7f",
    "end-to-end": "#a6761d",
    "AutoML": "#8e6bbf",
}
# Okabe and Ito's colours first: they can be told apart by colour-blind readers
_OKABE_ITO = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#222222")
CLASS_COLOURS = (*_OKABE_ITO, "#8e6bbf", "#a6761d", "#9aa0a6", "#f0e442")


def scores_figure(comparison: Comparison, *, metric: str = "auc", each: int = 4, ours: int = 8) -> Figure:
    """Draw our runs with their intervals above published values, one line a result.

    Parameters
    ----------
    comparison
        Of one dataset.
    metric
        ``auc`` or ``acc``.
    each
        How many published rows to show of each kind of training, the highest first; low confidence is left out.
    ours
        How many of our runs to show, best on val first.
    """
    runs, rows = comparison.runs[:ours], _best_of_each(comparison.rows, metric, each)
    total = len(runs) + len(rows)
    figure, axes = new_figure(10.5, 1.5 + 0.25 * total)
    for y, run in enumerate(runs):
        interval = getattr(run.test, metric)
        axes.hlines(total - y, interval.low, interval.high, color=OURS, lw=2.2)
        axes.plot(interval.value, total - y, "o", color=OURS, ms=6.5, zorder=3)
    for y, row in enumerate(rows, start=len(runs)):
        axes.plot(getattr(row, metric), total - y, "o", color=_TRAINING_COLOURS[row.training], ms=5.5)
    if runs:
        interval = getattr(runs[0].test, metric)
        axes.axvspan(interval.low, interval.high, color=OURS, alpha=0.07, lw=0)
    names = _run_names(runs) + [f"{row.system}, {row.pixels}" for row in rows]
    axes.set_yticks(range(total, 0, -1), [plain(name) for name in names], fontsize=8.5)
    for label in axes.get_yticklabels()[: len(runs)]:
        label.set(color=OURS, fontweight="bold")
    axes.set_ylim(0.3, total + 0.7)
    axes.set_xlabel(f"test {metric.upper()}\nshaded: 95 % interval of our best run on val", fontsize=9)
    figure.suptitle(f"{comparison.dataset}: ours beside published results", fontweight="bold", fontsize=11)
    axes.grid(axis="x", color=FAINT, lw=0.5, alpha=0.6)
    _training_legend(axes, rows, with_ours=bool(runs))
    return figure


def _best_of_each(rows: Sequence[PublishedRow], metric: str, each: int) -> list[PublishedRow]:
    found: list[PublishedRow] = []
    for training in _TRAINING_COLOURS:
        mine = [row for row in rows if row.training == training and getattr(row, metric) is not None]
        mine = [row for row in mine if row.confidence != "low"]
        found += sorted(mine, key=lambda row: -getattr(row, metric))[:each]
    return found


def _run_names(runs: Sequence[Run]) -> list[str]:
    return [
        f"{network}{cautions(run)}, {wording.trained(run.protocol)}, {run.protocol['pixels']}"
        for run, network in zip(runs, network_names(runs), strict=True)
    ]


def _training_legend(axes: Axes, rows: Sequence[PublishedRow], *, with_ours: bool) -> None:
    from matplotlib.lines import Line2D

    shown = {row.training for row in rows}
    colours = {"ours": OURS} if with_ours else {}
    colours |= {name: colour for name, colour in _TRAINING_COLOURS.items() if name in shown}
    marks = [Line2D([], [], marker="o", ls="", color=colour, ms=6, label=name) for name, colour in colours.items()]
    axes.legend(handles=marks, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=8.5)


def reliability_figure(run: Run) -> Figure:
    """Draw how often the model was right against how sure it was; each dot's area is its share of test."""
    rows = run.test.reliability
    figure, axes = new_figure(4.8, 4.6)
    sure, right = np.array([row.confidence for row in rows]), np.array([row.accuracy for row in rows])
    share = np.array([row.count for row in rows]) / max(sum(row.count for row in rows), 1)
    axes.plot([0, 1], [0, 1], color=FAINT, lw=1, zorder=0)
    axes.vlines(sure, np.minimum(sure, right), np.maximum(sure, right), color=OURS, lw=1.2, alpha=0.5)
    axes.plot(sure, right, color="#0072b2", lw=1.2)
    axes.scatter(sure, right, s=20 + 700 * share, color="#0072b2", alpha=0.85, lw=0, zorder=3)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="how sure", ylabel="how often right")
    axes.set_aspect("equal")
    ece = run.test.values["ece"].value
    axes.set_title(
        f"{plain(f'{run.dataset}: {run.network}, {run.head}')}\nECE {ece:.3f}",
        loc="left",
        fontweight="bold",
        fontsize=11,
    )
    return figure


def principal_components(X: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (n, 2) coordinates on the two strongest components of standardised features, and their variance shares."""
    Z = np.asarray(X, np.float64)
    spread = Z.std(axis=0)
    Z = (Z - Z.mean(axis=0)) / np.where(spread > 0, spread, 1)
    U, s, _ = np.linalg.svd(Z, full_matrices=False)
    points, share = np.zeros((len(Z), 2)), np.zeros(2)
    k = min(2, len(s))
    points[:, :k] = U[:, :k] * s[:k]
    total = float(np.sum(s**2))
    share[:k] = s[:k] ** 2 / total if total else 0.0
    return points, share


def curve_figure(losses: Sequence[float], scores: Sequence[float], best: int, score: str) -> Figure:
    """Draw a training epoch by epoch: the loss on train, and the score on val with the epoch it chose.

    Parameters
    ----------
    losses
        Of train, from epoch 1 on.
    scores
        Of val, from epoch 0 (the start) on.
    best
        Number of the best epoch.
    score
        What val was scored by.
    """
    figure, left = new_figure(6.5, 3.4)
    right = left.twinx()
    right.spines[["top", "left"]].set_visible(False)
    right.spines["right"].set_color(FAINT)
    right.tick_params(color=FAINT, labelcolor=INK, labelsize=8.5)
    loss, probe = CLASS_COLOURS[0], CLASS_COLOURS[5]
    left.plot(range(1, len(losses) + 1), losses, "o-", color=loss, ms=4)
    right.plot(range(len(scores)), scores, "s-", color=probe, ms=4)
    right.plot(best, scores[best], "o", ms=11, mfc="none", mec=probe)
    left.set_xlabel("epoch; 0 is the start, the circle is what val chose", fontsize=8.5)
    left.set_ylabel("loss on train", color=loss, fontsize=9)
    right.set_ylabel(f"{score} on val", color=probe, fontsize=9)
    left.xaxis.get_major_locator().set_params(integer=True)
    return figure


def save(figure: Figure, path: str | Path, *, dpi: int = 150) -> Path:
    """Write a figure; the format is that of the name's ending (PNG, SVG, PDF)."""
    path = Path(path)
    make_folder(path.parent)
    write_figure(figure, path, "another place for the figure", dpi=dpi)
    return path


def write_figure(figure: Figure, path: Path, instead: str, **options: Any) -> None:
    """Write a figure whole or not at all, in the format of the name's ending; `instead` is what an error advises."""
    with replacing(path, "drawing the figure", instead) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower() or "png", **options)


def plain(text: Any) -> str:
    """Return text that Matplotlib draws as it is: no formulas between dollars, no control characters."""
    words = "".join(c if c.isprintable() else " " for c in str(text))
    return words.replace("\\", "\\\\").replace("$", r"\$") if "$" in words else words


def new_figure(width: float, height: float) -> tuple[Figure, Any]:
    """Return a figure of its own, not pyplot's: nothing global, no display, nothing to close; and its one axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, _quiet(figure.subplots())


def new_figures(count: int, width: float, height: float) -> tuple[Figure, list[Any]]:
    """Return a figure as `new_figure` makes it, with several axes side by side; the width is that of each."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(count * width, height), layout="constrained")
    return figure, [_quiet(axes) for axes in figure.subplots(1, count, squeeze=False)[0]]


def _quiet(axes: Any) -> Any:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(color=FAINT, labelcolor=INK, labelsize=8.5)
    return axes
