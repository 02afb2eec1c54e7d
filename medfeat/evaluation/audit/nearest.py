"""Who is near whom by cosine, a block of rows at a time: memory does not grow with the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import DataError
from medfeat.types import FloatArray, IdArray
from medfeat_cache import FeatureStore

# Similarities, and rows times features, held at a time: 64 MiB of float32 each.
BLOCK_NUMBERS = 1 << 24
# Rows of a tile of similarities, at most.
SIDE = 4096


class Near(NamedTuple):
    """Pairs of rows of a store, counted through its groups in order.

    Attributes
    ----------
    first, second
        (m,) rows, ``first < second``.
    cosine
        (m,) similarities.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    cosine: NDArray[np.float32]


def nearest(store: FeatureStore, query: FloatArray, k: int) -> tuple[IdArray, NDArray[np.float32]]:
    """Return the ids of the `k` rows nearest to one (d,) vector, and their cosines, nearest first; ties by id.

    Raises
    ------
    DataError
        A vector of another length, or one that points nowhere.
    """
    if query.shape != (store.dim,):
        raise DataError(f"a query must be {store.dim} finite numbers, not all zero, got shape {query.shape}")
    return nearest_to_each(store, query[None], k)[0]


def nearest_to_each(store: FeatureStore, queries: FloatArray, k: int) -> list[tuple[IdArray, NDArray[np.float32]]]:
    """Return what `nearest` does for each row of (m, d) vectors, reading the store once.

    Held at a time: `BLOCK_NUMBERS` features, as many similarities, and the ids of rows that may be among the nearest.
    """
    if queries.shape[1:] != (store.dim,) or not np.isfinite(queries).all() or not np.any(queries, axis=1).all():
        raise DataError(f"a query must be {store.dim} finite numbers, not all zero, got shape {queries.shape[1:]}")
    units = _unit(queries.astype(np.float32))
    best = [(np.empty(0, np.str_), np.empty(0, np.float32)) for _ in units]
    for group, start, rows in _blocks(store, max(1, BLOCK_NUMBERS // max(store.dim, len(units)))):
        similar = rows @ units.T
        names = store.slice(group, "ids", start, start + len(rows))
        best = [_with(one, similar[:, i], names, k) for i, one in enumerate(best)]
    return best


def _with(
    best: tuple[IdArray, NDArray[np.float32]], similar: NDArray[np.float32], names: NDArray[np.bytes_], k: int
) -> tuple[IdArray, NDArray[np.float32]]:
    """Return the `k` nearest of those known and a block of rows; only names that may be among them are decoded."""
    new = np.flatnonzero(similar >= (best[1][-1] if len(best[1]) == k else -np.inf))
    if len(new) > k:  # of many, those that are no farther than the k-th; ties go by id
        new = new[similar[new] >= np.partition(similar[new], len(new) - k)[len(new) - k]]
    ids = np.concatenate([best[0], np.char.decode(names[new], "utf-8")])
    cosines = np.concatenate([best[1], similar[new]])
    order = np.lexsort((ids, -cosines))[:k]
    return ids[order], cosines[order]


def near_pairs(store: FeatureStore, threshold: float, *, most: int = 10) -> Near:
    """Return the pairs whose cosine is at least `threshold`; of each row, its `most` nearest others are looked at.

    Each two rows are multiplied once: n (n - 1) d operations for n rows of d numbers. Held at a time: two blocks of
    rows, the similarities of both, and `most` neighbours a row.
    """
    n = sum(store.n(group) for group in store.groups)
    most = min(most, n - 1)
    value = np.full((n, max(most, 1)), -2.0, np.float32)
    other = np.zeros((n, max(most, 1)), np.int64)
    step = max(1, min(SIDE, BLOCK_NUMBERS // store.dim))
    for at, some in _tiles(store, step):
        for start, others in _tiles(store, step, first=at):
            similar = some @ others.T
            if start == at:
                np.fill_diagonal(similar, -2.0)
            _keep(value, other, similar, threshold, most, rows=at, columns=start)
            if start != at:
                _keep(value, other, similar.T, threshold, most, rows=start, columns=at)
    row, column = np.nonzero(value >= threshold)
    first, second, cosine = row, other[row, column], value[row, column]
    low, high = np.minimum(first, second), np.maximum(first, second)
    _, once = np.unique(low * n + high, return_index=True)
    return Near(low[once], high[once], cosine[once])


def _keep(
    value: NDArray[np.float32],
    other: NDArray[np.int64],
    similar: NDArray[np.float32],
    threshold: float,
    most: int,
    *,
    rows: int,
    columns: int,
) -> None:
    """Put what reaches the threshold among the `most` nearest of each row of a tile that starts at `rows`."""
    if most < 1:
        return
    for i in np.flatnonzero((similar >= threshold).any(axis=1)):
        new = np.flatnonzero(similar[i] >= threshold)
        found = np.concatenate([value[rows + i], similar[i, new]])
        names = np.concatenate([other[rows + i], columns + new])
        top = np.argpartition(-found, most - 1)[:most]
        value[rows + i], other[rows + i] = found[top], names[top]


def _tiles(store: FeatureStore, step: int, *, first: int = 0) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield rows of length one, and where they start among all, from the block on that starts at `first`."""
    offset = 0
    for group in store.groups:
        n = store.n(group)
        for start in range(0, n, step):
            if offset + start >= first:
                yield offset + start, _read(store, group, start, start + step)
        offset += n


def _blocks(store: FeatureStore, step: int) -> Iterator[tuple[str, int, NDArray[np.float32]]]:
    """Yield rows of length one, with their group and where they start in it."""
    for group in store.groups:
        for start in range(0, store.n(group), step):
            yield group, start, _read(store, group, start, start + step)


def _read(store: FeatureStore, group: str, start: int, stop: int) -> NDArray[np.float32]:
    """Return rows of length one, read from the file and not mapped: they leave memory when they are done with."""
    rows = store.slice(group, "embeddings", start, min(stop, store.n(group)))
    return _unit(rows.astype(np.float32, copy=False))


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float32] = rows / np.maximum(length, np.finfo(np.float32).tiny)
    return unit
