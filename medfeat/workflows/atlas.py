"""`medfeat cache export --atlas`: a store's map as the Parquet file that embedding-atlas opens."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medfeat.errors import MissingExtraError, UsageError
from medfeat.report.page.columns import PointColumn
from medfeat.report.page.explore import SpaceView
from medfeat.report.page.pictures import flat
from medfeat.saying import heard
from medfeat.types import FloatArray, Progress, UInt8Array
from medfeat.workflows.looking import mistakes, spaces
from medfeat.workflows.looking.listed import kinds_of, list_images, list_store
from medfeat.workflows.looking.look import MOST, look, sample_rows
from medfeat.workflows.looking.subject import Subject, point_columns, shown_in
from medfeat_cache import FeatureStore, StoreHeader, make_folder, open_vectors, resolve_root, write_whole

# What embedding-atlas is told after it: `embedding-atlas FILE` and these.
COLUMNS = {"x": "x", "y": "y", "neighbors": "neighbors", "image": "image"}


def export_atlas(
    header: StoreHeader,
    out: str | Path,
    *,
    images: bool = True,
    identifiers: bool = False,
    sample: int = MOST,
    seed: int = 0,
    data_root: str | Path | None = None,
    offline: bool = False,
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> str:
    """Write the t-SNE map of a store, with neighbours, what is known of each image, and its picture.

    Parameters
    ----------
    header
        Of the store.
    out
        The Parquet file, which does not exist yet. Columns: ``id``, ``x``, ``y``, ``neighbors`` (``ids``: rows of this
        file from 0; ``distances``: 1 - cosine), ``image`` (``bytes`` of a PNG, and ``path``, its id) where images are
        at hand, and class, split, patient and predictions by their names in `medfeat.explore`.
    images, identifiers, sample, seed, data_root, offline, cache_dir, progress
        As in `medfeat.explore`.

    Returns
    -------
    str
        The command that opens the file.

    Raises
    ------
    UsageError
        Something is there already.
    MissingExtraError
        pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError.of("Parquet files need", "pyarrow", "parquet", error) from error
    out, root, progress = Path(out), resolve_root(cache_dir), heard(progress)
    if out.exists():
        raise UsageError(f"{out} already exists: name another file for the export, or remove it")
    subject = _subject(header, root, data_root, images=images, offline=offline, progress=progress)
    known, kinds = _known(header, subject), kinds_of(subject.listed)
    rows = sample_rows(kinds, sample, seed)
    rows = rows[known[rows]]
    seen = look(subject.dataset, kinds, rows, progress) if subject.dataset is not None else None
    rows = rows if seen is None else seen.rows
    ids = subject.listed.ids[rows].tolist()
    work = partial(spaces.store_space, header, ids, str(header.recipe["backbone"]),
                   hashes=None if seen is None else seen.hashes, seed=seed)  # fmt: skip
    (view,) = spaces.lay_out_all([work], progress)
    with open_vectors(header.path) as store:
        neighbours = _neighbours(view, store.take(ids))
    shown = shown_in(subject.listed, identifiers=identifiers)
    columns: dict[str, Any] = {
        "id": pa.array([shown[one] for one in ids]),
        "x": pa.array(view.map.tsne2[:, 0]),
        "y": pa.array(view.map.tsne2[:, 1]),
        "neighbors": pa.array(neighbours),
    }
    if seen is not None:
        columns["image"] = pa.array(_pictures(seen.pictures, columns["id"].to_pylist()))
    for column in point_columns(subject, root, rows, seen, None, identifiers=identifiers):
        columns.setdefault(column.name, pa.array(_values(column)))
    content = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), content)
    make_folder(out.parent)
    write_whole(out, [content.getvalue().to_pybytes()], "exporting to")
    return _command(out, columns)


def _subject(
    header: StoreHeader, root: Path, data_root: Any, *, images: bool, offline: bool, progress: Progress
) -> Subject:
    dataset, why = None, ""
    if images:
        dataset, why = mistakes.images_of(header, root=root, data_root=data_root, offline=offline, progress=progress)
    if dataset is not None:
        listed = list_images(dataset, root)
    else:
        if images:
            progress.say(f"without pictures: {why}")
        with FeatureStore(header.path) as store:
            listed = list_store(store)
    return Subject(str(header.recipe["dataset"]), dataset, (header,), listed, ())


def _known(header: StoreHeader, subject: Subject) -> Any:
    """Return (n,) which of the images are in the store."""
    with FeatureStore(header.path) as store:
        stored = np.concatenate([store.ids(group) for group in store.groups])
    known = np.isin(subject.listed.ids, stored)
    if known.sum() < 2:
        raise UsageError(f"{header.path.name} holds {int(known.sum())} of the images there are: a map needs two")
    return known


def _neighbours(view: SpaceView, X: FloatArray) -> list[dict[str, list[Any]]]:
    """Return for each row its nearest others and how far they are, as embedding-atlas reads them."""
    found = []
    for i, near in enumerate(view.map.near):
        one, others = X[i].astype(np.float64), X[near].astype(np.float64)
        length = np.linalg.norm(one) * np.linalg.norm(others, axis=1)
        distance = 1 - others @ one / np.maximum(length, np.finfo(np.float64).tiny)
        found.append({"ids": near.tolist(), "distances": distance.tolist()})
    return found


def _pictures(pictures: UInt8Array, ids: Sequence[str]) -> list[dict[str, Any]]:
    found = []
    for one, picture in zip(ids, pictures, strict=True):
        out = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(flat(picture))).save(out, "PNG")
        found.append({"bytes": out.getvalue(), "path": f"{one}.png"})
    return found


def _values(column: PointColumn) -> list[Any]:
    return list(column.words or ()) if column.numbers is None else column.numbers.tolist()


def _command(out: Path, columns: dict[str, Any]) -> str:
    asked = " ".join(f"--{option} {name}" for option, name in COLUMNS.items() if name in columns)
    return f"embedding-atlas {out} {asked}"
