"""Bags: the several vectors of each sample (slices, tokens, images), read from a store a few samples at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from medfeat.tasks.readable import Probed
from medfeat.types import IdArray
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


class PatientBags:
    """The vectors of all images of each patient, of whom each may have another number; read when they are asked for.

    Indexing gives other bags and reads nothing; ``np.asarray(bags)`` reads, with zeros where a patient has no more.

    Attributes
    ----------
    names
        Of each patient, the ids of the images.
    shape
        (n, P, d) where P is the most images that one of these has.
    """

    ndim = 3
    dtype = np.dtype(np.float32)

    def __init__(self, store: Probed, names: Sequence[IdArray]) -> None:
        self._store, self.names = store, list(names)
        self._counts = np.array([len(some) for some in self.names], np.int64)
        self.shape: tuple[int, int, int] = (len(self.names), int(self._counts.max(initial=0)), store.dim)

    @property
    def present(self) -> NDArray[np.bool_]:
        """(n, P) where there is an image."""
        return np.asarray(np.arange(self.shape[1]) < self._counts[:, None])

    @property
    def size(self) -> int:
        """How many numbers they hold."""
        return int(self._counts.sum()) * self.shape[2]

    def __len__(self) -> int:
        """Return the number of patients."""
        return len(self.names)

    def __getitem__(self, patients: Any) -> PatientBags:
        """Return the bags of some patients: a slice, positions or a mask."""
        return PatientBags(self._store, [self.names[i] for i in np.atleast_1d(np.arange(len(self))[patients])])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Read them, as float32 unless another type is asked for."""
        if copy is False:
            raise ValueError("bags are read from a file: an array of them is always a copy")
        out = np.zeros(self.shape, dtype or self.dtype)
        if len(self):
            out[self.present] = self._store.take(np.concatenate(self.names))
        return out

    def joined(self, other: PatientBags) -> PatientBags:
        """Return these patients and then others of the same store."""
        return PatientBags(self._store, [*self.names, *other.names])


def present_in(X: Any) -> NDArray[np.bool_] | None:
    """Return (n, P) where bags hold a vector; None where all of them hold P."""
    found: NDArray[np.bool_] | None = getattr(X, "present", None)
    return found


def bag_means(vectors: NDArray[Any], present: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    """Return (n, d) means over what is present of (n, P, d) vectors, which are zeros elsewhere; summed in float64."""
    if present is None:
        return np.asarray(vectors.mean(axis=1, dtype=np.float64))
    return np.asarray(vectors.sum(axis=1, dtype=np.float64) / present.sum(axis=1)[:, None])


def block_samples(shape: tuple[int, ...]) -> int:
    """Return how many samples of (n, P, d) float32 vectors are read at once: some 64 MB."""
    return max(_BLOCK_BYTES // max(4 * int(np.prod(shape[1:])), 1), 1)


def blocks(X: Any) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Yield (n, P, d) vectors some samples at a time, with where they stand; P may be smaller of some than of all."""
    step = block_samples(X.shape)
    for start in range(0, len(X), step):
        some = slice(start, min(start + step, len(X)))
        yield some, np.asarray(X[some])


def joined(first: Any, second: Any) -> Any:
    """Return samples of two splits one after the other; bags stay in their file."""
    if isinstance(first, Bags | PatientBags):
        return first.joined(second)
    return np.concatenate([first, second])
