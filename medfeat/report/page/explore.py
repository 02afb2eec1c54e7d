"""The page of a dataset: what it holds, what its pixels look like, and maps of its images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from medfeat.evaluation.looking.pixels import ClassPixels
from medfeat.evaluation.looking.projection import Map
from medfeat.report.page import charts
from medfeat.report.page.columns import PointColumn, coordinates, packed
from medfeat.report.page.html import Page, Section, element, facts, joined, prose, table
from medfeat.report.page.pictures import ACROSS, EACH, data_address, flat, sheets, strip
from medfeat.report.page.svg import inline
from medfeat.report.tables import Table
from medfeat.types import BadImage, UInt8Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WITH_PICTURES = "This page contains pictures of the images: treat it like the images themselves."
_SHOWN_BAD = 200
_SPARSE = 3
# Images of a class in its montage.
_MONTAGE = 8


@dataclass(frozen=True)
class SpaceView:
    """A map as it is shown: its name, the map, and what to say below it by the name of a layout (``tsne3``)."""

    name: str
    map: Map
    notes: Mapping[str, str]


@dataclass(frozen=True)
class Exploration:
    """Everything a page of a dataset shows.

    Attributes
    ----------
    name, total
        Of the dataset, and how many images it has.
    card
        Names and values of what is known of it.
    kinds
        Classes, labels or ranges, in order.
    counts
        Split to (k,) counts of all images, not of the sample alone.
    notes
        Lines on how images were counted and sampled.
    leaks
        Tables of images and patients in two splits, and of doubtful labels.
    bad
        Images that could not be read.
    ids
        (m,) as they are shown, of the images that were looked at.
    pictures
        (m, P, H, W, C), None where there are none or none may be shown.
    levels, member
        (m,) mean pixel values, and (m, k) kinds of these images.
    pixels
        By kind; None where no image was read.
    columns
        What points can be coloured by, the first at the start.
    spaces
        Maps, side by side.
    made
        Names and values: how the page was made.
    volumes
        Whether pictures are the three middle planes of volumes.
    """

    name: str
    total: int
    card: tuple[tuple[str, Any], ...]
    kinds: tuple[str, ...]
    counts: Mapping[str, NDArray[np.int64]]
    notes: tuple[str, ...]
    leaks: tuple[Table, ...]
    bad: tuple[BadImage, ...]
    ids: tuple[str, ...]
    pictures: UInt8Array | None
    levels: NDArray[np.float64]
    member: NDArray[np.bool_]
    pixels: ClassPixels | None
    columns: tuple[PointColumn, ...]
    spaces: tuple[SpaceView, ...]
    made: tuple[tuple[str, Any], ...]
    volumes: bool = False


def explore_page(found: Exploration) -> Page:
    """Return the page of a dataset."""
    pictured = found.pictures is not None and len(found.pictures) > 0
    sections = [
        Section(
            "dataset",
            "Dataset",
            (facts(found.card), *(element("p", prose(line), class_="note") for line in found.notes)),
        ),
        Section("classes", "Classes and splits", _classes(found)),
        Section("leaks", "Leaks and doubtful labels", tuple(table(one) for one in found.leaks)),
        Section("bad", "Images that cannot be read", _bad(found.bad)),
    ]
    if pictured:
        sections.append(Section("pictures", "Pictures of each class", tuple(_pictures(found))))
    if found.pixels is not None and found.pixels.count.any():
        sections.append(Section("pixels", "Pixel values", _pixels(found, found.pixels)))
    if found.spaces:
        sections.append(Section("map", "Map of the images", (_map(),)))
    sections.append(Section("made", "How this page was made", (facts(found.made),)))
    data = {"map-data": _map_data(found)} if found.spaces else {}
    return Page(
        title=found.name,
        lead=f"{found.total:,} images, looked at by medfeat explore",
        sections=tuple(sections),
        data=data,
        scripts=("page.js", "map.js") if found.spaces else ("page.js",),
        footer="Made by medfeat. The page is one file and fetches nothing.",
        warning=WITH_PICTURES if pictured else "",
    )


def _classes(found: Exploration) -> tuple[Markup, ...]:
    splits = tuple(found.counts)
    totals = sum(found.counts.values(), np.zeros(len(found.kinds), np.int64))
    largest = max(int(totals.max(initial=0)), 1)
    rows = tuple(
        (name, *(f"{int(found.counts[split][k])}" for split in splits), f"{int(totals[k])}",
         f"{totals[k] / max(int(totals.sum()), 1):.1%}", f"{largest / totals[k]:.1f}" if totals[k] else "–")
        for k, name in enumerate(found.kinds)
    )  # fmt: skip
    columns = ("class", *splits, "all", "share", "largest : this")
    few = [f"{name} in {split}" for split, part in found.counts.items()
           for name, n in zip(found.kinds, part, strict=True)
           if n < _SPARSE]  # fmt: skip
    notes = (f"fewer than {_SPARSE} images: {', '.join(few[:12])}{' …' if len(few) > 12 else ''}",) if few else ()
    figure = charts.counts_figure(found.kinds, dict(found.counts))
    drawn = inline(figure, "Images of each class in each split.")
    return (element("div", drawn, element("div", table(Table("", columns, rows, notes))), class_="figures"),)


def _bad(bad: Sequence[BadImage]) -> tuple[Markup, ...]:
    if not bad:
        return (element("p", "None: every image that was looked at could be read."),)
    more = (f"and {len(bad) - _SHOWN_BAD} more",) if len(bad) > _SHOWN_BAD else ()
    rows = tuple((one.id, one.reason) for one in bad[:_SHOWN_BAD])
    return (table(Table(f"{len(bad)} images", ("id", "reason"), rows, more)),)


def _pictures(found: Exploration) -> Iterable[Markup]:
    planes = " Of each volume, the three middle planes." if found.volumes else ""
    lead = "Some images of each class, their mean, and the spread of each pixel (standard deviation; white: the most)."
    yield element("p", f"{lead}{planes}")
    few = range(len(found.kinds))
    columns = [("some images", [_images(found, k) for k in few])]
    if found.pixels is not None:
        columns += [("mean", [_image(one, "mean") for one in mean_pictures(found.pixels)]),
                    ("spread", [_image(one, "spread") for one in spread_pictures(found.pixels)])]  # fmt: skip
    yield element("div", [_strip(found, k, [(name, cells[k]) for name, cells in columns]) for k in few],
                  class_="strips volumes" if found.volumes else "strips")  # fmt: skip


def _strip(found: Exploration, k: int, cells: Sequence[tuple[str, Markup]]) -> Markup:
    """Return the row of a class: its name, and its pictures under what they are."""
    boxes = [
        element("figure", element("figcaption", name), element("div", cell, class_="strip")) for name, cell in cells
    ]
    return element("section", element("h3", found.kinds[k]), element("div", boxes, class_="strip-row"))


def _images(found: Exploration, k: int) -> Markup:
    rows = picked(found.member[:, k])
    assert found.pictures is not None
    images = [_image(flat(found.pictures[i]), found.ids[i]) for i in rows]
    return joined(images) if images else element("span", "none was looked at", class_="soft")


def _image(picture: UInt8Array | None, what: str) -> Markup:
    if picture is None:
        return element("span", "–", class_="soft")
    return element("img", src=data_address(picture), alt=what, title=what, class_="pixels")


def picked(member: NDArray[np.bool_], most: int = _MONTAGE) -> NDArray[np.int64]:
    """Return a few of the rows of a class, spread over all: neighbours in a file are often of one patient."""
    rows = np.flatnonzero(member)
    return rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)] if len(rows) else rows


def montage(found: Exploration) -> list[UInt8Array | None]:
    """Return for each class one picture of a few of its images side by side; None where it has none."""
    if found.pictures is None:
        return [None] * len(found.kinds)
    rows = [picked(found.member[:, k]) for k in range(len(found.kinds))]
    return [strip([flat(found.pictures[i]) for i in some], gap=2) if len(some) else None for some in rows]


def mean_pictures(pixels: ClassPixels) -> list[UInt8Array | None]:
    """Return the mean picture of each class; None where it has no images."""
    return [_levels(pixels.mean(k)) if pixels.count[k] else None for k in range(len(pixels.count))]


def spread_pictures(pixels: ClassPixels) -> list[UInt8Array | None]:
    """Return the spread of each class on one scale, the largest of all white; None where it has no images."""
    found = [pixels.spread(k) for k in range(len(pixels.count))]
    top = max((float(one.max()) for one in found), default=0.0) or 1.0
    return [_levels(one * 255 / top) if pixels.count[k] else None for k, one in enumerate(found)]


def _levels(values: NDArray[np.float64]) -> UInt8Array:
    return flat(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _pixels(found: Exploration, pixels: ClassPixels) -> tuple[Markup, ...]:
    drawn = [inline(figure, caption) for figure, caption in pixel_figures(found, pixels).values()]
    channels = pixels.histogram.shape[1]
    rows = []
    for k, name in enumerate(found.kinds):
        counts = pixels.histogram[k]
        mean, spread = _moments(counts.sum(axis=0))
        each = [f"{_moments(counts[c])[0]:.1f}" for c in range(channels)] if channels == 3 else []
        rows.append((name, str(int(pixels.count[k])), f"{mean:.1f}", f"{spread:.1f}", *each))
    colours = ("red", "green", "blue") if channels == 3 else ()
    summary = Table("", ("class", "images looked at", "mean pixel value", "standard deviation", *colours), tuple(rows))
    left_out = len(found.kinds) - charts.MOST_LINES
    notes = (
        [element("p", f"The charts show the first {charts.MOST_LINES} classes.", class_="note")] if left_out > 0 else []
    )
    return element("div", drawn, class_="figures"), *notes, table(summary)


def pixel_figures(found: Exploration, pixels: ClassPixels) -> dict[str, tuple[Figure, str]]:
    """Return the charts of pixel values by the name of their file, each with its caption."""
    levels = [found.levels[found.member[:, k]] for k in range(len(found.kinds))]
    return {
        "pixel-histogram": (
            charts.histogram_figure(found.kinds, pixels.histogram),
            "Every pixel is black or white: the share of white ones in the images of each class."
            if charts.is_black_and_white(pixels.histogram)
            else "How often each pixel value occurs in the images of each class. The scale leaves out what is darkest"
            " and brightest (0 and 255), which may be higher.",
        ),
        "mean-pixel-values": (
            charts.levels_figure(found.kinds, levels),
            "Mean pixel value of the images of each class. Box: quartiles; whiskers: 5 to 95 %; line: median;"
            " diamond: mean.",
        ),
    }


def _moments(counts: NDArray[np.int64]) -> tuple[float, float]:
    levels, n = np.arange(len(counts)), max(int(counts.sum()), 1)
    mean = float((levels * counts).sum() / n)
    return mean, float(np.sqrt((counts * (levels - mean) ** 2).sum() / n))


def _map() -> Markup:
    lead = (
        "Each point is an image; what is selected in one map is selected in all. Draw around points, click one"
        " (with shift: add), or search for an id. Principal components keep large distances; t-SNE keeps neighbours,"
        " and neither the sizes of its groups nor the gaps between them mean anything."
    )
    return element(
        "div",
        element("p", lead),
        element("div", _choices("Layout", "method", (("tsne", "t-SNE"), ("pca", "PCA"))),
                _choices("Dimensions", "dims", (("2", "2D"), ("3", "3D"))),
                _choices("Tool", "tool-name", (("lasso", "Select"), ("move", "Move"))),
                element("button", "Reset view", type="button", id="home"),
                element("label", "Colour by ", element("select", id="colour")),
                element("label", "Search id ", element("input", type="search", id="search", autocomplete="off")),
                element("span", id="found", class_="soft", aria_live="polite"), class_="bar"),
        element("div", id="legend", class_="legend", role="group", aria_label="Legend: press to hide or show"),
        element("div", id="panels", class_="panels"),
        element("div", element("strong", id="chosen-count", aria_live="polite"),
                element("button", "Copy ids as CSV", type="button", id="copy"),
                element("button", "Clear", type="button", id="clear"),
                element("span", id="copied", class_="soft", aria_live="polite"), class_="bar"),
        element("textarea", id="csv", class_="csv", hidden=True, readonly=True, aria_label="Selected images as CSV"),
        element("div", id="chosen-list", role="group", aria_label="Selected images"),
        element("div", id="detail", aria_live="polite"),
        element("div", id="tip", hidden=True, role="status"),
    )  # fmt: skip


def _choices(name: str, kind: str, choices: Sequence[tuple[str, str]]) -> Markup:
    buttons = [
        element("button", word, type="button", **{f"data-{kind}": value}, aria_pressed="false")
        for value, word in choices
    ]
    return element("div", buttons, class_="group", role="group", aria_label=name)


def _map_data(found: Exploration) -> dict[str, Any]:
    data: dict[str, Any] = {
        "n": len(found.ids),
        "total": found.total,
        "ids": list(found.ids),
        "columns": [column.to_dict() for column in found.columns],
        "spaces": [_space(one) for one in found.spaces],
    }
    if found.pictures is not None and len(found.pictures):
        first = flat(found.pictures[0])
        height, width = first.shape[:2]
        step = -(-height // 32)
        small = (flat(one[:, ::step, ::step]) for one in found.pictures)
        height, width = flat(found.pictures[0][:, ::step, ::step]).shape[:2]
        data["thumbs"] = {
            "height": height, "width": width, "across": ACROSS, "each": EACH,
            "sheets": list(sheets(small, height, width)),
        }  # fmt: skip
    return data


def _space(view: SpaceView) -> dict[str, Any]:
    one = view.map
    maps = {
        "pca": coordinates(one.components, 3),
        "tsne2": coordinates(one.tsne2, 2),
        "tsne3": coordinates(one.tsne3, 3),
    }
    near = packed(one.near.astype("<i4")) if one.near.shape[1] else None
    return {"name": view.name, "maps": maps, "near": near, "share": one.share[:3].tolist(), "notes": dict(view.notes)}
