"""Bags: the several vectors of each sample (slices, tokens), read from a store a few samples at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from medfeat_cache import FeatureStore

_BLOCK_BYTES = 64 << 20


class Bags:
    """(n, P, d) vectors of samples that stay in a store's file until they are asked for.

    It has the shape of an array and is indexed by samples as one; indexing gives other bags and reads nothing.
    ``np.asarray(bags)`` reads.

    Attributes
    ----------
    shape
        (n, P, d).
    """

    ndim = 3
    dtype = np.dtype(np.float32)

    def __init__(self, groups: Sequence[NDArray[Any]], at: NDArray[np.int64]) -> None:
        self._groups, self._at = tuple(groups), at
        self.shape: tuple[int, int, int] = (len(at), *groups[0].shape[1:])

    @classmethod
    def of(cls, store: FeatureStore, ids: Sequence[str] | NDArray[np.str_]) -> Bags:
        """Return the bags of some samples of a store, in the order of `ids`."""
        return cls([store.embeddings(group) for group in store.groups], store.positions(ids))

    @property
    def size(self) -> int:
        """How many numbers they hold."""
        n, vectors, dim = self.shape
        return n * vectors * dim

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._at)

    def __getitem__(self, samples: Any) -> Bags:
        """Return the bags of some samples: a slice, positions or a mask."""
        return Bags(self._groups, np.atleast_1d(self._at[samples]))

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Read them, as float32 unless another type is asked for."""
        if copy is False:
            raise ValueError("bags are read from a file: an array of them is always a copy")
        out, start = np.empty(self.shape, dtype or self.dtype), 0
        for group in self._groups:
            here = np.flatnonzero((self._at >= start) & (self._at < start + len(group)))
            for first in range(0, len(here), step := block_samples(self.shape)):
                some = here[first : first + step]
                out[some] = group[self._at[some] - start]
            start += len(group)
        return out

    def joined(self, other: Bags) -> Bags:
        """Return these samples and then others of the same store."""
        return Bags(self._groups, np.concatenate([self._at, other._at]))


def block_samples(shape: tuple[int, ...]) -> int:
    """Return how many samples of (n, P, d) float32 vectors are read at once: some 64 MB."""
    return max(_BLOCK_BYTES // max(4 * int(np.prod(shape[1:])), 1), 1)


def blocks(X: NDArray[Any] | Bags) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Yield (n, P, d) vectors some samples at a time, with where they stand."""
    step = block_samples(X.shape)
    for start in range(0, len(X), step):
        some = slice(start, min(start + step, len(X)))
        yield some, np.asarray(X[some])


def joined(first: Any, second: Any) -> Any:
    """Return samples of two splits one after the other; bags stay in their file."""
    if isinstance(first, Bags) and isinstance(second, Bags):
        return first.joined(second)
    return np.concatenate([first, second])
