"""From parts to one store: rows scattered to their place in the file, memory the same for any number of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medfeat_cache.coverage import Coverage
from medfeat_cache.create import GroupShape, create, seal
from medfeat_cache.errors import StoreDamaged, StoreInputError
from medfeat_cache.files import raw, write_at
from medfeat_cache.format import Column, GroupLayout, Layout, read_rows, spell_shape

_TEXT_ROWS = 8192


def merge(path: Path, groups: Mapping[str, Coverage], *, recipe: Mapping[str, Any], info: Mapping[str, Any]) -> None:
    """Write a whole, sealed store at `path` (a temporary name) from the parts, and check it against them."""
    layout = create(path, recipe=recipe, info=info, groups=_shapes(groups))
    with path.open("rb+", buffering=0) as file:
        for name, group in groups.items():
            _fill(file, layout.groups[name], group)
    layout = seal(path, layout)
    _compare(path, layout, groups)


def _shapes(groups: Mapping[str, Coverage]) -> dict[str, GroupShape]:
    kinds = {
        (part.shape, part.dtype) for group in groups.values() for part in group.parts if part.columns["rows"].shape[0]
    }
    if len(kinds) != 1:
        found = (
            ", ".join(f"{spell_shape(shape)} {dtype}" for shape, dtype in sorted(kinds))
            or "none: no image could be embedded"
        )
        raise StoreInputError(f"all embeddings of a store must have one shape and type, found {found}")
    shape, dtype = kinds.pop()
    return {
        name: GroupShape(
            rows=int(group.stored.sum()),
            source_rows=len(group.ids),
            shape=shape,
            dtype=dtype,
            id_bytes=max((chunk.dtype.itemsize for chunk in _encoded(group)), default=1),
            labels=None if group.labels is None else (group.labels.shape[1], group.labels.dtype.str),
        )
        for name, group in groups.items()
    }


def _encoded(group: Coverage) -> Iterator[NDArray[np.bytes_]]:
    rows = np.flatnonzero(group.stored)
    for start in range(0, len(rows), _TEXT_ROWS):
        yield np.char.encode(group.ids[rows[start : start + _TEXT_ROWS]], "utf-8")


def _fill(file: BinaryIO, layout: GroupLayout, group: Coverage) -> None:
    columns = layout.columns
    rows = np.flatnonzero(group.stored).astype("<i8")
    write_at(file, columns["rows"].offset, rows)
    if group.labels is not None:
        write_at(file, columns["labels"].offset, group.labels[rows])
    at = columns["ids"].offset
    for names in _encoded(group):
        values = names.astype(columns["ids"].dtype)
        write_at(file, at, values)
        at += values.nbytes
    place = np.cumsum(group.stored) - 1  # position in the store of each row of the source
    for part in group.parts:
        where = place[part.column("rows")]
        _scatter(file, columns["image_hash"], where, part.column("image_hash"))
        for start, embeddings in part.chunks():
            _scatter(file, columns["embeddings"], where[start : start + len(embeddings)], embeddings)


def runs(where: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield the stretches [start, stop) of `where` whose positions follow each other."""
    cuts = np.flatnonzero(np.diff(where) != 1) + 1
    edges = [0, *cuts.tolist(), len(where)]
    return ((start, stop) for start, stop in pairwise(edges) if stop > start)


def _scatter(file: BinaryIO, column: Column, where: NDArray[np.int64], values: NDArray[Any]) -> None:
    for start, stop in runs(where):
        write_at(file, column.offset + int(where[start]) * column.row_bytes, values[start:stop])


def _compare(path: Path, layout: Layout, groups: Mapping[str, Coverage]) -> None:
    # From end to end: what stands in the file, row by row, against the digests the parts were written with.
    with path.open("rb", buffering=0) as file:
        for name, group in groups.items():
            place = np.cumsum(group.stored) - 1
            for part in group.parts:
                column = layout.groups[name].columns["embeddings"]
                if _digest_at(file, column, place[part.column("rows")]) != part.digests["embeddings"]:
                    raise StoreDamaged(f"the merge of {part.path} into {path} went wrong: run the same command again")


def _digest_at(file: BinaryIO, column: Column, where: NDArray[np.int64]) -> str:
    state = hashlib.blake2b(digest_size=32)
    step = max((8 << 20) // max(column.row_bytes, 1), 1)
    for start, stop in runs(where):
        for first in range(start, stop, step):
            last = min(first + step, stop)
            state.update(raw(read_rows(file, column, int(where[first]), int(where[last - 1]) + 1)))
    return state.hexdigest()
