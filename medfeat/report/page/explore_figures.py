"""The pictures of a dataset's page as files for papers: PNG and SVG."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medfeat.report.figures import write_figure
from medfeat.report.page import charts
from medfeat.report.page.explore import Exploration, mean_pictures, montage, pixel_figures, spread_pictures
from medfeat.report.page.svg import drawing
from medfeat.types import Progress
from medfeat_cache import make_folder
from medfeat_cache.errors import saying

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")
_ANOTHER_FOLDER = "choose another --figures"


def write_figures(found: Exploration, folder: Path, progress: Progress) -> list[Path]:
    """Write every picture of the page into a folder, each as PNG and SVG; return the files.

    Raises
    ------
    StoreWriteError
        The folder cannot be written.
    """
    from matplotlib import rc_context

    paths: list[Path] = []
    every = list(_figures(found))
    progress.start(len(every), "drawing figures", "figures")
    try:
        with saying(folder, "writing figures to", _ANOTHER_FOLDER):
            make_folder(folder)
        for name, figure in every:
            for form in FORMATS:
                with drawing(), rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
                    metadata = {"Date": None} if form == "svg" else {}
                    write_figure(figure, folder / f"{name}.{form}", _ANOTHER_FOLDER, dpi=200, metadata=metadata)
                paths.append(folder / f"{name}.{form}")
            progress.advance(1)
    finally:
        progress.finish()
    return paths


def _figures(found: Exploration) -> Iterator[tuple[str, Figure]]:
    yield "class-counts", charts.counts_figure(found.kinds, dict(found.counts))
    if found.pixels is not None and found.pixels.count.any():
        for name, (figure, _) in pixel_figures(found, found.pixels).items():
            yield name, figure
    if found.pictures is not None and len(found.pictures) and found.pixels is not None:
        yield (
            "montage",
            charts.pictures_figure(found.kinds, montage(found), title=f"{found.name}: images of each class"),
        )
        yield "mean-images", charts.pictures_figure(found.kinds, mean_pictures(found.pixels), title="mean image")
        yield "spread-images", charts.pictures_figure(found.kinds, spread_pictures(found.pixels), title="spread")
    yield from _maps(found)


def _maps(found: Exploration) -> Iterator[tuple[str, Figure]]:
    by = next((column for column in found.columns if column.words is not None), None)
    words = list(by.words or ()) if by is not None else ["images"] * len(found.ids)
    order = list(dict.fromkeys([*(by.order if by is not None else ()), *words]))
    order = [word for word in order if word in set(words)]
    names = set()
    for view in found.spaces:
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", view.name).strip("-") or "space"
        while name in names:
            name += "-2"
        names.add(name)
        for kind, axis, points, dims in (
            ("pca", "component", view.map.components, 2),
            ("pca", "component", view.map.components, 3),
            ("tsne", "t-SNE", view.map.tsne2, 2),
            ("tsne", "t-SNE", view.map.tsne3, 3),
        ):
            wide = np.pad(points, ((0, 0), (0, max(0, dims - points.shape[1]))))[:, :dims]
            title = f"{found.name}: {view.name}, {'t-SNE' if kind == 'tsne' else 'PCA'} in {dims}D"
            yield f"{kind}-{dims}d-{name}", charts.scatter_figure(wide, words, order, title=title, axis=axis, dims=dims)
