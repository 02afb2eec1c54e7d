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
    """Return the ids of the `k` rows nearest to one (d,) vector, and their cosines, nearest first.

    Raises
    ------
    DataError
        A vector of another length, or one that points nowhere.
    """
    if query.shape != (store.dim,) or not np.isfinite(query).all() or not np.any(query):
        raise DataError(f"a query must be {store.dim} finite numbers, not all zero, got shape {query.shape}")
    unit = _unit(query[None].astype(np.float32))[0]
    step = max(1, BLOCK_NUMBERS // store.dim)
    ids: IdArray = np.empty(0, np.str_)
    cosines = np.empty(0, np.float32)
    for group in store.groups:
        for names, rows in store.batches(group, step):
            ids = np.concatenate([ids, names])
            cosines = np.concatenate([cosines, _unit(rows.astype(np.float32)) @ unit])
            best = np.lexsort((ids, -cosines))[:k]
            ids, cosines = ids[best], cosines[best]
    return ids, cosines


def near_pairs(store: FeatureStore, threshold: float, *, most: int = 10) -> Near:
    """Return the pairs whose cosine is at least `threshold`; of each row, its `most` nearest others are looked at."""
    blocks = [store.embeddings(group) for group in store.groups]
    n = sum(map(len, blocks))
    most = min(most, n - 1)
    rows_at_once = max(1, min(BLOCK_NUMBERS // max(n, 1), BLOCK_NUMBERS // store.dim))
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]] = []
    for start, some in _chunks(blocks, rows_at_once):
        similar = np.empty((len(some), n), np.float32)
        for at, others in _chunks(blocks, max(1, BLOCK_NUMBERS // store.dim)):
            similar[:, at : at + len(others)] = some @ others.T
        own = np.arange(len(some))
        similar[own, start + own] = -2.0
        top = np.argpartition(-similar, most - 1, axis=1)[:, :most] if most > 0 else np.empty((len(some), 0), np.int64)
        value = np.take_along_axis(similar, top, axis=1)
        row, column = np.nonzero(value >= threshold)
        found.append((start + row, top[row, column], value[row, column]))
    first, second, cosine = (np.concatenate(parts) for parts in zip(*found, strict=True))
    low, high = np.minimum(first, second), np.maximum(first, second)
    _, once = np.unique(low * n + high, return_index=True)
    return Near(low[once], high[once], cosine[once])


def _chunks(blocks: list[FloatArray], step: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield rows of length one, and where they start among all."""
    offset = 0
    for block in blocks:
        for start in range(0, len(block), step):
            yield offset + start, _unit(block[start : start + step].astype(np.float32))
        offset += len(block)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float32] = rows / np.maximum(length, np.finfo(np.float32).tiny)
    return unit
