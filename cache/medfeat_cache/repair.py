"""Mending damage, trusting nothing but what a digest still vouches for.

The root digest vouches for the attributes, these for the columns, `block_digests` for the embeddings. A block that
differs from its digest has no row that can be trusted, so all of its rows must come anew.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medfeat_cache.create import digests_text, write_digests
from medfeat_cache.errors import StoreDamaged, StoreInputError, UnknownIdsError
from medfeat_cache.files import raw, replacing, write_at
from medfeat_cache.format import (
    BLOCK_DIGEST_BYTES,
    GroupLayout,
    Layout,
    column_digest,
    digest_blocks,
    read_rows,
    spell_shape,
)
from medfeat_cache.key import digest
from medfeat_cache.layout import open_layout
from medfeat_cache.lock import Lock
from medfeat_cache.root import lock_file
from medfeat_cache.verify import damaged_columns, damaged_rows, spell_rows


@dataclass(frozen=True)
class Repair:
    """What a repair did.

    Attributes
    ----------
    rows
        The rows that were replaced.
    exact
        Whether the store is again, byte for byte, the one that was first written.
    """

    rows: tuple[int, ...]
    exact: bool


def repair_rows(path: str | Path, group: str, rows: ArrayLike, embeddings: NDArray[Any]) -> Repair:
    """Replace the embeddings of some rows; no other row, id, label or attribute changes.

    Parameters
    ----------
    path
        Of the store; the mended copy takes its place in one step.
    group
        The rows' group.
    rows
        (m,) positions in the store. They must include every row of the blocks that are damaged, as
        `verify_store(path).rows_to_repair()` gives them.
    embeddings
        (m, d) or (m, P, d) recomputed with the recipe and the settings of the store.

    Raises
    ------
    StoreDamaged
        More is damaged than embeddings can mend; the message says what.
    """
    path = Path(path)
    places, values = _sorted(rows, embeddings)
    lock = Lock(lock_file(path)).acquire()
    try:
        with replacing(path, "repairing") as temporary:
            shutil.copyfile(path, temporary)  # everything is checked in the copy, so a bad copy is noticed too
            layout, file = open_layout(temporary)
            with file:
                _check_request(path, layout, group, places, values)
                _check_trust(path, layout, file, group, places)
            exact = _replace(temporary, layout, group, places, values)
    finally:
        lock.release()
    return Repair(tuple(places.tolist()), exact)


def restore_column(path: str | Path, group: str, name: str, values: ArrayLike) -> None:
    """Write a damaged column again: ids, labels, rows or image hashes, from the source.

    The values are accepted only when their digest is the one that the store recorded, so nothing can be slipped in.

    Parameters
    ----------
    path, group
        As in `repair_rows`.
    name
        ``ids``, ``labels``, ``rows`` or ``image_hash``.
    values
        One for each stored row (bad images are absent), in order.
    """
    path = Path(path)
    lock = Lock(lock_file(path)).acquire()
    try:
        layout, file = open_layout(path)
        file.close()
        facts = _facts(path, layout, group)
        if name not in facts.columns or name in ("embeddings", "block_digests"):
            raise UnknownIdsError(f"column must be ids, labels, rows or image_hash of {path}, got {name!r}")
        column = facts.columns[name]
        new = np.asarray(values)
        new = np.char.encode(new, "utf-8") if name == "ids" else new
        new = np.ascontiguousarray(new.astype(column.dtype))
        if new.shape != column.shape or digest(raw(new)) != json.loads(facts.attributes["digests"])[name]:
            raise StoreInputError(f"these {name} are not the ones {path} was written with: extract again")
        with replacing(path, "repairing") as temporary:
            shutil.copyfile(path, temporary)
            with temporary.open("rb+", buffering=0) as copy:
                write_at(copy, column.offset, new)
    finally:
        lock.release()


def _sorted(rows: ArrayLike, embeddings: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    places = np.asarray(rows, np.int64).reshape(-1)
    order = np.argsort(places, kind="stable")
    if len(places) != len(embeddings) or (np.diff(places[order]) == 0).any():
        raise StoreInputError(f"rows must be unique, one an embedding, got {len(places)} for {len(embeddings)}")
    return places[order], np.ascontiguousarray(embeddings[order])


def _facts(path: Path, layout: Layout, group: str) -> GroupLayout:
    if group not in layout.groups:
        raise UnknownIdsError(f"group must be one of {', '.join(layout.groups)} in {path}, got {group!r}")
    return layout.groups[group]


def _check_request(path: Path, layout: Layout, group: str, rows: NDArray[np.int64], values: NDArray[Any]) -> None:
    column = _facts(path, layout, group).columns["embeddings"]
    if values.shape[1:] != column.shape[1:] or values.dtype != column.dtype:
        raise StoreInputError(
            f"embeddings must be {column.dtype} of {spell_shape(column.shape[1:])} numbers an image, "
            f"got {values.dtype} {values.shape}"
        )
    if len(rows) and (rows[0] < 0 or rows[-1] >= column.shape[0]):
        raise StoreInputError(f"rows must lie in [0, {column.shape[0]}), got {rows[0]}..{rows[-1]}")
    if not np.isfinite(values).all():
        raise StoreInputError("recomputed embeddings must be finite: try --precision fp32")


def _check_trust(path: Path, layout: Layout, file: Any, group: str, rows: NDArray[np.int64]) -> None:
    """Refuse when rows cannot be told apart any more, or not all of a damaged block are given."""
    columns = damaged_columns(layout, file, group)
    lost = [name for name in columns if name != "block_digests"]
    if lost:
        raise StoreDamaged(
            f"{path}: {', '.join(lost)} of {group!r} are damaged too: restore them first, or extract again"
        )
    if "block_digests" in columns and _embeddings_vouched(layout, file, group):
        return
    left = np.setdiff1d(damaged_rows(layout, file, group), rows)
    if len(left):
        raise StoreInputError(
            f"{spell_rows(left)} of {group!r} are damaged and not given: a damaged block has no row that can be trusted"
        )


def _embeddings_vouched(layout: Layout, file: Any, group: str) -> bool:
    # If the digests of the blocks as they are now add up to what was recorded, only the digests were hit.
    return digest(raw(_block_digests(layout, file, group))) == _recorded(layout, group)["block_digests"]


def _recorded(layout: Layout, group: str) -> dict[str, str]:
    return dict(json.loads(layout.groups[group].attributes["digests"]))


def _block_digests(layout: Layout, file: Any, group: str) -> NDArray[np.uint8]:
    facts = layout.groups[group]
    column, step = facts.columns["embeddings"], int(facts.attributes["rows_per_block"])
    found = [
        digest_blocks(read_rows(file, column, start, min(start + step, column.shape[0])), step)
        for start in range(0, column.shape[0], step)
    ]
    return np.concatenate([np.empty((0, BLOCK_DIGEST_BYTES), np.uint8), *found])


def _replace(path: Path, layout: Layout, group: str, rows: NDArray[np.int64], values: NDArray[Any]) -> bool:
    """Write rows and the digests of their blocks into the copy; return whether it is the original again."""
    facts = layout.groups[group]
    column = facts.columns["embeddings"]
    with path.open("rb+", buffering=0) as copy:
        for row, value in zip(rows.tolist(), values, strict=True):
            write_at(copy, column.offset + row * column.row_bytes, value)
        digests = _block_digests(layout, copy, group)
        write_at(copy, facts.columns["block_digests"].offset, digests)
        recorded = _recorded(layout, group)
        found = {**recorded, "block_digests": column_digest(copy, facts.columns["block_digests"])}
    if found == recorded:
        return True
    attributes = {**facts.attributes, "digests": digests_text(found, facts.attributes["digests"])}
    mended = {**layout.groups, group: GroupLayout(attributes, facts.columns)}
    write_digests(path, Layout(layout.attributes, mended))
    return False
