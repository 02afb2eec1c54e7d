"""Finding damage: digests first, then values that no frozen backbone should give."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medfeat_cache.errors import StoreDamaged
from medfeat_cache.format import Layout, chunk_rows, column_digest, digest_blocks, read_rows


def damaged_columns(layout: Layout, file: BinaryIO, group: str) -> list[str]:
    """Return the columns of a group whose bytes are not the ones that were written (embeddings have blocks instead)."""
    facts = layout.groups[group]
    written = json.loads(facts.attributes["digests"])
    small = {name: column for name, column in facts.columns.items() if name != "embeddings"}
    return [name for name, column in small.items() if column_digest(file, column) != written.get(name)]


def chunks(layout: Layout, file: BinaryIO, group: str) -> Iterator[tuple[int, NDArray[Any], NDArray[np.bool_]]]:
    """Yield (first row, embeddings, which blocks differ from their digest), a few megabytes at a time."""
    facts = layout.groups[group]
    embeddings, step = facts.columns["embeddings"], int(facts.attributes["rows_per_block"])
    written = facts.columns["block_digests"]
    stride = chunk_rows(embeddings, step)
    for start in range(0, embeddings.shape[0], stride):
        rows = read_rows(file, embeddings, start, min(start + stride, embeddings.shape[0]))
        found = digest_blocks(rows, step)
        expected = read_rows(file, written, start // step, start // step + len(found))
        yield start, rows, (found != expected).any(axis=1)


def damaged_rows(layout: Layout, file: BinaryIO, group: str) -> NDArray[np.int64]:
    """Return the rows of all blocks that differ from their digest."""
    step = int(layout.groups[group].attributes["rows_per_block"])
    found = [
        start + np.flatnonzero(np.repeat(bad, step)[: len(rows)]) for start, rows, bad in chunks(layout, file, group)
    ]
    return np.concatenate([np.empty(0, np.int64), *found])


def check_digests(path: Path, layout: Layout, file: BinaryIO) -> None:
    """Raise `StoreDamaged` when any byte that matters is not the one that was written."""
    for group in layout.groups:
        columns = damaged_columns(layout, file, group)
        if columns:
            raise StoreDamaged(f"{path}: {', '.join(columns)} of {group!r} are damaged: see `medfeat cache verify`")
        rows = damaged_rows(layout, file, group)
        if len(rows):
            raise StoreDamaged(
                f"{path}: embeddings of {group!r} are damaged in {len(rows)} rows, first {rows[0]}: "
                "mend them with `medfeat cache repair`"
            )
