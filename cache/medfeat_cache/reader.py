"""Reading a store: numpy arrays straight from the file, joined by id."""

from __future__ import annotations

import json
import mmap
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from medfeat_cache.errors import StoreDamaged, UnknownIdsError
from medfeat_cache.format import Column, chunk_rows, read_rows, spell_shape
from medfeat_cache.layout import open_layout
from medfeat_cache.verify import check_columns, check_digests, chunks, refuse_rows

IdArray = NDArray[np.str_]
FloatArray = NDArray[np.floating[Any]]
_BATCH_BYTES = 256 << 20


class FeatureStore:
    """A published store, open for reading; also usable as a context manager.

    Parameters
    ----------
    path
        The ``.h5`` file.
    verify
        Check every digest first and raise `StoreDamaged` naming the rows; otherwise only the header is checked.

    Attributes
    ----------
    path
        Where it is.
    recipe
        Everything that changed the bytes of the embeddings.
    digest
        The recipe's digest, 64 hex digits.
    groups
        In the order they were written: ``("train", "val", "test")`` or ``("all",)``.
    dim, dtype
        Of a vector: its length, float32 or float16.
    shape
        Of one image's embedding: (dim,), or (P, dim) where its slices or tokens were kept.
    info
        What is known beside the recipe: dataset, backbone, environment, settings, bad images, licence, citation.
    created_by, created_utc
        Who wrote it, and when.

    Examples
    --------
    >>> with FeatureStore(path) as store:                                       # doctest: +SKIP
    ...     X, ids = store.embeddings("train"), store.ids("train")
    """

    def __init__(self, path: str | Path, *, verify: bool = False) -> None:
        self.path = Path(path)
        self._layout, self._file = open_layout(self.path)
        weakref.finalize(self, self._file.close)  # a store that is not used with `with` closes itself
        attributes = self._layout.attributes
        self.recipe: dict[str, Any] = json.loads(attributes["recipe"])
        self.digest: str = attributes["recipe_digest"]
        self.info: dict[str, Any] = json.loads(attributes["info"])
        self.groups: tuple[str, ...] = tuple(json.loads(attributes["groups"]))
        self.created_by: str = attributes["created_by"]
        self.created_utc: str = attributes["created_utc"]
        first = self._column(self.groups[0], "embeddings")
        self.dim: int = first.shape[-1]
        self.shape: tuple[int, ...] = first.shape[1:]
        self.dtype: np.dtype[Any] = first.dtype
        self._map: mmap.mmap | None = None
        self._index: tuple[IdArray, NDArray[np.int64]] | None = None
        if verify:
            check_digests(self.path, self._layout, self._file)

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        rows = ", ".join(f"{group} {self.n(group)}" for group in self.groups)
        return f"FeatureStore({str(self.path)!r}: {rows} x {spell_shape(self.shape)} {self.dtype})"

    def close(self) -> None:
        """Let go of the file; arrays that were handed out stay valid."""
        self._map = None
        self._file.close()

    def _column(self, group: str, name: str) -> Column:
        if group not in self._layout.groups:
            raise UnknownIdsError(f"group must be one of {', '.join(self.groups)} in {self.path}, got {group!r}")
        return self._layout.groups[group].columns[name]

    def _read(self, group: str, name: str) -> NDArray[Any]:
        column = self._column(group, name)
        return read_rows(self._file, column, 0, column.shape[0])

    def n(self, group: str) -> int:
        """Return the number of stored rows of a group."""
        return self._column(group, "embeddings").shape[0]

    def embeddings(self, group: str) -> FloatArray:
        """Return (n, *shape) embeddings, mapped from the file: nothing is read before use, nothing can be changed."""
        column = self._column(group, "embeddings")
        if not column.nbytes:
            return np.empty(column.shape, column.dtype)
        if self._map is None:
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        flat = np.frombuffer(self._map, column.dtype, column.nbytes // column.dtype.itemsize, column.offset)
        return cast(FloatArray, np.require(flat.reshape(column.shape), requirements="A"))

    def read(self, group: str) -> FloatArray:
        """Return (n, *shape) embeddings in memory, at the speed of reading the file."""
        return self._read(group, "embeddings")

    def ids(self, group: str) -> IdArray:
        """Return the (n,) ids of a group, in the order of its rows."""
        try:
            return np.char.decode(self._read(group, "ids"), "utf-8")
        except UnicodeDecodeError as error:
            raise StoreDamaged(f"{self.path}: the ids of {group!r} are damaged: extract again") from error

    def labels(self, group: str) -> NDArray[np.int64] | NDArray[np.float64] | None:
        """Return (n, k) official labels, or None when the source has none."""
        self._column(group, "rows")
        return self._read(group, "labels") if "labels" in self._layout.groups[group].columns else None

    def image_hash(self, group: str) -> NDArray[np.uint8]:
        """Return the (n, 16) blake2b of each image's decoded pixels; zeros where it is unknown."""
        return self._read(group, "image_hash")

    def rows(self, group: str) -> NDArray[np.int64]:
        """Return (n,) positions in the source, ascending; bad images are absent."""
        return self._read(group, "rows")

    def source_rows(self, group: str) -> int:
        """Return how many images the source has, bad ones included."""
        self._column(group, "rows")
        return int(self._layout.groups[group].attributes["source_rows"])

    def batches(self, group: str, rows: int = 65536) -> Iterator[tuple[IdArray, FloatArray]]:
        """Yield ids and embeddings of at most `rows` rows at a time, in memory that does not grow with n or P."""
        column, ids = self._column(group, "embeddings"), self._column(group, "ids")
        step = max(min(rows, _BATCH_BYTES // max(column.row_bytes, 1)), 1)
        for start in range(0, column.shape[0], step):
            stop = min(start + step, column.shape[0])
            names = np.char.decode(read_rows(self._file, ids, start, stop), "utf-8")
            yield names, read_rows(self._file, column, start, stop)

    def take(self, ids: Sequence[str] | IdArray) -> FloatArray:
        """Return (m, *shape) embeddings in the order of `ids`, whichever group each is in.

        Raises
        ------
        UnknownIdsError
            Some are not stored; the message names the first.
        """
        return self._gather(self.positions(ids))

    def positions(self, ids: Sequence[str] | IdArray) -> NDArray[np.int64]:
        """Return (m,) where `ids` stand, counted through all groups one after the other; raises as `take` does."""
        wanted = np.asarray(ids, dtype=np.str_)
        names, order = self._id_index()
        at = np.searchsorted(names, wanted)
        known = at < len(names)
        known[known] = names[at[known]] == wanted[known]
        if not known.all():
            first = ", ".join(map(repr, wanted[~known][:5].tolist()))
            raise UnknownIdsError(f"{int((~known).sum())} of {len(wanted)} ids are not in {self.path}, first {first}")
        found: NDArray[np.int64] = order[at]
        return found

    def _id_index(self) -> tuple[IdArray, NDArray[np.int64]]:
        if self._index is None:
            names = np.concatenate([self.ids(group) for group in self.groups])
            order = np.argsort(names, kind="stable")
            self._index = names[order], order
        return self._index

    def _gather(self, positions: NDArray[np.int64]) -> FloatArray:
        out = np.empty((len(positions), *self.shape), self.dtype)
        first = 0
        for group in self.groups:
            here = (positions >= first) & (positions < first + self.n(group))
            out[here] = self.embeddings(group)[positions[here] - first]
            first += self.n(group)
        return out

    def column(self, group: str, name: str) -> Column | None:
        """Return where a column lies in the file, its type and shape; None when the group has no such column."""
        self._column(group, "rows")
        return self._layout.groups[group].columns.get(name)

    def iter_verified(self, group: str) -> Iterator[FloatArray]:
        """Yield the embeddings a few megabytes at a time, all digests of the group checked on the way.

        Raises
        ------
        StoreDamaged
            At the first rows that are not what was written.
        """
        self._column(group, "rows")
        check_columns(self.path, self._layout, self._file, group)
        for start, rows, bad in chunks(self._layout, self._file, group):
            refuse_rows(self.path, group, start + np.flatnonzero(bad))
            yield rows

    def slice(self, group: str, name: str, start: int, stop: int) -> NDArray[Any]:
        """Return rows [start, stop) of a column as stored: ids come as UTF-8 bytes."""
        return read_rows(self._file, self._column(group, name), start, stop)

    def iter_column(self, group: str, name: str) -> Iterator[NDArray[Any]]:
        """Yield a column a few megabytes at a time, as stored: ids come as UTF-8 bytes."""
        column = self._column(group, name)
        step = chunk_rows(column)
        for start in range(0, column.shape[0], step):
            yield read_rows(self._file, column, start, min(start + step, column.shape[0]))
