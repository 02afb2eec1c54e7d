"""One picture of a dataset's probes: scores with their intervals, and the best embedding in two dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medfeat.evaluation.runs.run import Run, networks_of
from medfeat.report.figures import CLASS_COLOURS, FAINT, INK, OURS, principal_components, save
from medfeat.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def overview_figure(
    runs: Sequence[Run],
    X: FloatArray,
    labels: NDArray[np.int64],
    classes: Sequence[str],
    path: str | Path,
    *,
    embedding: str,
) -> Path:
    """Draw and write the picture.

    Parameters
    ----------
    runs
        Of one dataset; drawn from the best on val to the worst.
    X
        (n, d) embeddings of a split.
    labels
        (n,) class numbers.
    classes
        Class names in label order.
    path
        Where the picture goes; the ending says the format.
    embedding
        What `X` is, in words.

    Returns
    -------
    Path
        Of the picture.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    _scores(left, sorted(runs, key=lambda run: run.val.values[run.headline[0]].value))
    _scatter(right, X, labels, classes)
    right.set_title(f"{embedding}: two principal components", loc="left", fontsize=10, color=INK)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(FAINT)
    return save(figure, path)


def _scores(axes: Axes, runs: Sequence[Run]) -> None:
    name = runs[0].headline[0]
    scores: list[Any] = [run.test.values[name] for run in runs]
    places = np.arange(len(runs))
    axes.hlines(places, [s.low for s in scores], [s.high for s in scores], color=OURS, lw=2)
    axes.plot([s.value for s in scores], places, "o", color=OURS, ms=7)
    axes.set_yticks(
        places, [f"{name}\n{run.head}" for run, name in zip(runs, networks_of(runs), strict=True)], fontsize=9
    )
    axes.set_ylim(-0.6, len(runs) - 0.4)
    axes.set_xlabel(f"test {name.upper()}, 95 % interval", fontsize=9)
    axes.set_title(runs[0].dataset, loc="left", fontsize=10, color=INK)
    axes.grid(axis="x", color=FAINT, lw=0.5, alpha=0.6)


def _scatter(axes: Axes, X: FloatArray, labels: NDArray[np.int64], classes: Sequence[str]) -> None:
    points, share = principal_components(X)
    for number, label in enumerate(classes):
        here = labels == number
        colour = CLASS_COLOURS[number % len(CLASS_COLOURS)]
        axes.scatter(points[here, 0], points[here, 1], s=9, color=colour, alpha=0.7, lw=0, label=label)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(f"component 1 ({share[0]:.0%} of variance)", fontsize=9)
    axes.set_ylabel(f"component 2 ({share[1]:.0%})", fontsize=9)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=8, markerscale=2)
