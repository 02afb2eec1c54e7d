"""Immutable parts of a store that is being written: one file each, whole and digested, or not there.

Layout: magic, header length (4 bytes, little-endian), header (JSON), blake2b of the header (32 bytes), then the rows'
positions (int64), their image hashes (16 bytes each) and their embeddings, each covered by a digest in the header.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medfeat_cache.errors import StoreDamaged, StoreError, saying
from medfeat_cache.files import raw, write_whole
from medfeat_cache.format import HASH_BYTES, Column, chunk_rows, column_digest, read_rows
from medfeat_cache.key import canonical_json
from medfeat_cache.reading import look_at

_MAGIC = b"medfeat part 1\n\0"
_HEADER_LIMIT = 1 << 28
_BODY = ("rows", "image_hash", "embeddings")


@dataclass(frozen=True)
class BadRow:
    """An image that could not be read: its row in the source, its id, and the reason."""

    row: int
    id: str
    reason: str


@dataclass(frozen=True)
class Part:
    """What a part's header says; the bytes stay in the file."""

    path: Path
    recipe_digest: str
    group: str
    bad: tuple[BadRow, ...]
    columns: dict[str, Column]
    digests: dict[str, str]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image's embedding: (d,), or (P, d) where several vectors are kept."""
        return self.columns["embeddings"].shape[1:]

    @property
    def dtype(self) -> str:
        """Type of the embeddings: ``<f4`` or ``<f2``."""
        return self.columns["embeddings"].dtype.str

    def column(self, name: str) -> NDArray[Any]:
        """Read one column into memory, checked against its digest."""
        with self.path.open("rb", buffering=0) as file:
            values = read_rows(file, self.columns[name], 0, self.columns[name].shape[0])
        self._check(name, hashlib.blake2b(raw(values), digest_size=32).hexdigest())
        return values

    def _check(self, name: str, found: str) -> None:
        if found != self.digests[name]:
            raise StoreDamaged(f"part {self.path} changed since it was written: run the same command again")

    def chunks(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield (first, embeddings) a few megabytes at a time; damage found on the way is raised at the end."""
        embeddings, state = self.columns["embeddings"], hashlib.blake2b(digest_size=32)
        step = chunk_rows(embeddings)
        with self.path.open("rb", buffering=0) as file:
            for start in range(0, embeddings.shape[0], step):
                rows = read_rows(file, embeddings, start, min(start + step, embeddings.shape[0]))
                state.update(raw(rows))
                yield start, rows
        self._check("embeddings", state.hexdigest())


def _columns(rows: int, shape: tuple[int, ...], dtype: str, offset: int) -> dict[str, Column]:
    kinds: tuple[np.dtype[Any], ...] = (np.dtype("<i8"), np.dtype("|u1"), np.dtype(dtype))
    shapes: tuple[tuple[int, ...], ...] = ((rows,), (rows, HASH_BYTES), (rows, *shape))
    columns = {}
    for name, kind, whole in zip(_BODY, kinds, shapes, strict=True):
        columns[name] = Column(offset, kind, whole)
        offset += columns[name].nbytes
    return columns


def write_part(
    folder: Path,
    recipe_digest: str,
    group: str,
    values: dict[str, NDArray[Any]],
    bad: Sequence[BadRow],
) -> Part:
    """Write `rows`, `image_hash` and `embeddings` as one part; it is durable when this returns."""
    first = min([*values["rows"][:1].tolist(), *(entry.row for entry in bad)])
    path = folder / f"{group}-{first:012d}.part"
    embeddings = values["embeddings"]
    digests = {name: hashlib.blake2b(raw(values[name]), digest_size=32).hexdigest() for name in _BODY}
    facts = {
        "recipe_digest": recipe_digest,
        "group": group,
        "rows": len(embeddings),
        "shape": embeddings.shape[1:],
        "dtype": embeddings.dtype.str,
        "bad": [[entry.row, entry.id, entry.reason] for entry in bad],
        "digests": digests,
    }
    header = canonical_json(facts).encode()
    front = _MAGIC + len(header).to_bytes(4, "little") + header + hashlib.blake2b(header, digest_size=32).digest()
    body = (raw(values[name]) for name in _BODY)
    write_whole(path, [front, *body], "writing the part")
    columns = _columns(len(embeddings), embeddings.shape[1:], embeddings.dtype.str, len(front))
    return Part(path, recipe_digest, group, tuple(bad), columns, digests)


def read_part(path: Path, *, check: bool = True) -> Part:
    """Read a part's header, and with `check` compare all its bytes with their digests.

    Raises
    ------
    StoreDamaged
        It is not whole, or not what was written.
    """
    with saying(path, "reading the part"):
        look_at(path)
    with saying(path, "reading the part"), path.open("rb", buffering=0) as file:
        try:
            part = _read_header(path, file)
            good = not check or all(column_digest(file, part.columns[name]) == part.digests[name] for name in _BODY)
        except (ValueError, KeyError, TypeError, StoreError) as error:
            raise StoreDamaged(f"part {path} is damaged ({error})") from error
    if not good:
        raise StoreDamaged(f"part {path} is damaged: its bytes are not the ones that were written")
    return part


def _read_header(path: Path, file: BinaryIO) -> Part:
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("not a part")
    size = int.from_bytes(file.read(4), "little")
    header = file.read(size) if size <= _HEADER_LIMIT else b""
    if hashlib.blake2b(header, digest_size=32).digest() != file.read(32):
        raise ValueError("its header is not the one that was written")
    facts = json.loads(header)
    shape = tuple(facts["shape"]) if "shape" in facts else (facts["dim"],)  # of before an image had several vectors
    columns = _columns(facts["rows"], shape, facts["dtype"], file.tell())
    bad = tuple(BadRow(*entry) for entry in facts["bad"])
    return Part(path, facts["recipe_digest"], facts["group"], bad, columns, facts["digests"])
