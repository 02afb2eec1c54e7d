"""Formats 1 and 2 as values: names, types, and which digest covers what. docs/store-format.md says the same in prose.

The chain of trust has no gap: the root attribute `digest` covers every attribute, every shape and type; the group
attribute `digests` covers the bytes of each column, `block_digests` among them; those cover the embeddings.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medfeat_cache.files import CHUNK_BYTES, raw, read_at
from medfeat_cache.key import canonical_json, digest

FORMAT = "medfeat"
FORMAT_VERSION = 2
"""The newest that is read and written; a store is written in the lowest that describes it, see `version_for`."""
EMBEDDING_DTYPES = ("<f4", "<f2")
LABEL_DTYPES = ("<i8", "<f8")
_BLOCK_BYTES = 128 << 10
_BLOCK_ROWS = 256
BLOCK_DIGEST_BYTES = 16
HASH_BYTES = 16
REQUIRED_ATTRIBUTES = ("recipe", "recipe_digest", "created_by", "created_utc", "info", "groups", "digest")
REQUIRED_COLUMNS = ("embeddings", "block_digests", "ids", "image_hash", "rows")


@dataclass(frozen=True)
class Column:
    """One contiguous dataset: where its bytes are and what they mean."""

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.dtype.itemsize * math.prod(self.shape[1:])

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return self.row_bytes * self.shape[0]


@dataclass(frozen=True)
class GroupLayout:
    """One group of a store: its attributes and its columns."""

    attributes: dict[str, Any]
    columns: dict[str, Column]


@dataclass(frozen=True)
class Layout:
    """A store without its bytes: attributes, and where each column lies in the file."""

    attributes: dict[str, Any]
    groups: dict[str, GroupLayout] = field(default_factory=dict)


def version_for(shape: tuple[int, ...]) -> int:
    """Return the lowest format that describes embeddings of a shape an image: 1 for (d,), 2 for (P, d)."""
    return 1 if len(shape) == 1 else 2


def spell_shape(shape: tuple[int, ...]) -> str:
    """Spell the shape of one image's embedding.

    Examples
    --------
    >>> spell_shape((84, 512))
    '84 x 512'
    """
    return " x ".join(map(str, shape))


def rows_per_block(row_bytes: int) -> int:
    """Return how many rows one block digest covers: about 128 KiB, so that little is recomputed after damage."""
    return int(np.clip(_BLOCK_BYTES // max(row_bytes, 1), 1, _BLOCK_ROWS))


def header_digest(layout: Layout) -> str:
    """Return the root digest: over every attribute but itself, and the type and shape of every column."""
    facts = {
        "attributes": {name: value for name, value in layout.attributes.items() if name != "digest"},
        "groups": {
            name: {
                "attributes": group.attributes,
                "columns": {key: [column.dtype.str, *column.shape] for key, column in group.columns.items()},
            }
            for name, group in layout.groups.items()
        },
    }
    return digest(canonical_json(facts).encode())


def read_rows(file: BinaryIO, column: Column, start: int, stop: int) -> NDArray[Any]:
    """Read rows [start, stop) of a column into fresh memory."""
    out = np.empty((stop - start, *column.shape[1:]), column.dtype)
    read_at(file, column.offset + start * column.row_bytes, out)
    return out


def finite_rows(embeddings: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell of each image, (n,), whether all numbers of its (d,) or (P, d) embedding are finite."""
    finite: NDArray[np.bool_] = np.isfinite(embeddings).all(axis=tuple(range(1, embeddings.ndim)))
    return finite


def chunk_rows(column: Column, multiple: int = 1) -> int:
    """Return how many rows to read at once: a few megabytes, a multiple of `multiple`."""
    return max(CHUNK_BYTES // max(column.row_bytes, 1) // multiple, 1) * multiple


def column_digest(file: BinaryIO, column: Column) -> str:
    """Return the digest over all bytes of a column, read a chunk at a time."""
    state = hashlib.blake2b(digest_size=32)
    step = chunk_rows(column)
    for start in range(0, column.shape[0], step):
        state.update(raw(read_rows(file, column, start, min(start + step, column.shape[0]))))
    return state.hexdigest()


def digest_blocks(rows: NDArray[Any], size: int) -> NDArray[np.uint8]:
    """Return (blocks, 16) digests of consecutive blocks of `size` rows, the last one possibly shorter."""
    digests = [
        hashlib.blake2b(raw(rows[start : start + size]), digest_size=BLOCK_DIGEST_BYTES).digest()
        for start in range(0, len(rows), size)
    ]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, BLOCK_DIGEST_BYTES)


def count_blocks(rows: int, size: int) -> int:
    """Return how many blocks of `size` rows hold `rows` rows."""
    return -(-rows // size)
