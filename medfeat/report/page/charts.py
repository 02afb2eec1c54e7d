"""Charts of a dataset: counts of classes, levels of pixels, and maps for papers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medfeat.evaluation.looking.pixels import LEVELS
from medfeat.report.figures import CLASS_COLOURS, FAINT, INK, new_figure, plain
from medfeat.types import UInt8Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SPLIT_COLOURS = {"train": "#0072b2", "val": "#e69f00", "test": "#009e73"}
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
_MARKS = "os^D"
# Lines or boxes that a chart can still show apart.
MOST_LINES = 24
# Inches of a chart: letters of 8.5 points can still be read where a phone shows it.
WIDE = 5.0


def counts_figure(names: Sequence[str], counts: dict[str, NDArray[np.int64]]) -> Figure:
    """Draw how many images each class has in each split.

    Parameters
    ----------
    names
        (k,) classes.
    counts
        Split to (k,) counts.
    """
    k, parts = len(names), len(counts)
    figure, axes = new_figure(WIDE, 0.9 + 0.2 * k * max(parts, 1) + 0.08 * k)
    y, height = np.arange(k)[::-1], 0.8 / max(parts, 1)
    for i, (split, found) in enumerate(counts.items()):
        at = y + 0.4 - height * (i + 0.5)
        axes.barh(at, found, height=height * 0.92, color=_SPLIT_COLOURS.get(split, CLASS_COLOURS[4]), label=split)
        for place, count in zip(at, found.tolist(), strict=True):
            axes.annotate(f"{count:,}", (count, place), xytext=(3, 0), textcoords="offset points", va="center",
                          fontsize=7.5, color=INK)  # fmt: skip
    axes.set_yticks(y, [_short(name) for name in names], fontsize=8.5)
    axes.set_xlabel("images", fontsize=9, color=INK)
    axes.margins(x=0.12, y=0.02)
    if parts > 1:
        legend_below(figure, axes, parts)
    return figure


def legend_below(figure: Figure, axes: Any, columns: int) -> None:
    """Set the legend of a chart below it, so that a phone does not have to shrink the chart to its side."""
    handles, words = axes.get_legend_handles_labels()
    figure.legend(
        handles, words, loc="outside lower center", ncols=columns, frameon=False, fontsize=8.5, labelcolor=INK
    )


def histogram_figure(names: Sequence[str], histogram: NDArray[np.int64]) -> Figure:
    """Draw the share of pixels at each level, a line a class; channels taken together.

    Parameters
    ----------
    names
        (k,) classes.
    histogram
        (k, C, 256) counts.
    """
    if is_black_and_white(histogram):
        return _two_levels_figure(names[:MOST_LINES], histogram)
    shown = min(len(names), MOST_LINES)
    figure, axes = new_figure(WIDE, 2.9 + 0.19 * -(-shown // 2))
    levels, highest = np.arange(LEVELS), 0.0
    for k, name in enumerate(names[:MOST_LINES]):
        counts = histogram[k].sum(axis=0)
        share = counts / max(int(counts.sum()), 1)
        highest = max(highest, float(share[1:-1].max()))
        dash = _DASHES[k // len(CLASS_COLOURS) % len(_DASHES)]
        axes.plot(levels, share, color=_colour(k), ls=dash, lw=1.3, drawstyle="steps-mid", label=_short(name, 24))
    # Background is black or white in most sets: on its scale, nothing else would be seen.
    axes.set(xlim=(0, LEVELS - 1), ylim=(0, 1.08 * highest or None))
    axes.set_xlabel("pixel value", fontsize=9, color=INK)
    axes.set_ylabel("share of pixels", fontsize=9, color=INK)
    axes.grid(color=FAINT, lw=0.5, alpha=0.5)
    if len(names) > 1:
        legend_below(figure, axes, 2)
    return figure


def is_black_and_white(histogram: NDArray[np.int64]) -> bool:
    """Whether (k, C, 256) counts hold nothing between black and white, as those of masks do."""
    return not histogram[..., 1:-1].any()


def _two_levels_figure(names: Sequence[str], histogram: NDArray[np.int64]) -> Figure:
    counts = histogram.sum(axis=1)[: len(names)]
    white = counts[:, -1] / np.maximum(counts.sum(axis=1), 1)
    figure, axes = new_figure(WIDE, 0.9 + 0.34 * len(names))
    y = np.arange(len(names))[::-1]
    bars = axes.barh(y, white, height=0.6, color=[_colour(k) for k in range(len(names))])
    axes.bar_label(bars, [f"{share:.1%}" for share in white], padding=3, fontsize=8.5, color=INK)
    axes.set_yticks(y, [_short(name) for name in names], fontsize=8.5)
    axes.set_xlim(0, 1.15 * float(white.max()) or 1.0)
    axes.set_xlabel("share of pixels that are white", fontsize=9, color=INK)
    return figure


def levels_figure(names: Sequence[str], levels: Sequence[NDArray[np.float64]]) -> Figure:
    """Draw the mean pixel value of the images of each class: box of the quartiles, whiskers from 5 to 95 %.

    Parameters
    ----------
    names
        (k,) classes.
    levels
        For each class, the mean pixel value of its images.
    """
    names, levels = names[:MOST_LINES], levels[:MOST_LINES]
    figure, axes = new_figure(WIDE, 0.9 + 0.34 * len(names))
    y = np.arange(len(names))[::-1]
    for k, (place, found) in enumerate(zip(y.tolist(), levels, strict=True)):
        if not len(found):
            continue
        low, first, middle, third, high = np.quantile(found, [0.05, 0.25, 0.5, 0.75, 0.95])
        axes.hlines(place, low, high, color=_colour(k), lw=1.4)
        axes.barh(place, third - first, left=first, height=0.46, color=_colour(k), alpha=0.55, lw=0)
        axes.vlines(middle, place - 0.23, place + 0.23, color=INK, lw=1.4)
        axes.plot(found.mean(), place, "D", ms=4, mfc="none", mec=INK)
    axes.set_yticks(y, [_short(name) for name in names], fontsize=8.5)
    axes.set_xlabel("mean pixel value of an image", fontsize=9, color=INK)
    axes.grid(axis="x", color=FAINT, lw=0.5, alpha=0.5)
    return figure


def scatter_figure(
    points: NDArray[np.float32], words: Sequence[str], order: Sequence[str], *, title: str, axis: str, dims: int
) -> Figure:
    """Draw a map in two or three dimensions, coloured by word.

    Parameters
    ----------
    points
        (n, dims); rows with NaN are left out.
    words, order
        (n,) word of each point, and all words in order.
    title, axis
        Above it, and the name of its axes.
    dims
        2 or 3.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(6.8, 4.8), layout="constrained")
    axes: Any = figure.add_subplot(projection="3d" if dims == 3 else None)
    there, which = np.isfinite(points).all(axis=1), np.array(list(words))
    size = 14 if there.sum() < 1500 else 4
    marks = []
    for k, name in enumerate(order[:MOST_LINES]):
        here = points[there & (which == name)][:, :dims]
        mark = _MARKS[k // len(CLASS_COLOURS) % len(_MARKS)]
        axes.scatter(*here.T, s=size, lw=0, alpha=0.75, color=_colour(k), marker=mark, rasterized=True)
        marks.append(Line2D([], [], ls="", marker=mark, color=_colour(k), ms=6, label=_short(name, 28)))
    ticks: dict[str, tuple[float, ...]] = dict.fromkeys(("xticks", "yticks", "zticks")[:dims], ())
    axes.set(xlabel=f"{axis} 1", ylabel=f"{axis} 2", **ticks, **({"zlabel": f"{axis} 3"} if dims == 3 else {}))
    axes.set_title(plain(title), loc="left", fontsize=11)
    if len(marks) > 1:
        axes.legend(handles=marks, loc="upper left", bbox_to_anchor=(1.04, 1.0), frameon=False, fontsize=8)
    return figure


def pictures_figure(names: Sequence[str], pictures: Sequence[UInt8Array | None], *, title: str) -> Figure:
    """Draw one picture a class below the other, each beside the name of its class."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.5 + 0.85 * len(names)), layout="constrained")
    figure.suptitle(plain(title), fontsize=11)
    for i, (name, picture) in enumerate(zip(names, pictures, strict=True), 1):
        axes = figure.add_subplot(len(names), 1, i)
        axes.set_axis_off()
        axes.set_title(_short(name), loc="left", fontsize=8.5)
        if picture is not None:
            axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set_anchor("W")
    return figure


def _colour(k: int) -> str:
    # The ink of a page changes with light and dark; a class keeps its colour.
    colours = [colour for colour in CLASS_COLOURS if colour != INK]
    return colours[k % len(colours)]


def _short(name: str, most: int = 34) -> str:
    # Matplotlib leaves labels out of its legend that begin with an underscore.
    words = name if len(name) <= most else f"{name[: most - 1]}…"
    return plain(f" {words}" if words.startswith("_") else words)
