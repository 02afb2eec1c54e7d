"""A store whose images have several vectors, read as if each had one: their mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat_cache.format import chunk_rows
from medfeat_cache.reader import FeatureStore, FloatArray, IdArray


def mean_of(bags: NDArray[Any]) -> NDArray[np.float32]:
    """Return (n, d) float32 means of (n, P, d) vectors, summed in float64: the same however rows are cut."""
    found: NDArray[np.float32] = bags.mean(axis=1, dtype=np.float64).astype(np.float32)
    return found


def averaged_in_words(recipe: Mapping[str, Any], shape: Sequence[int]) -> str:
    """Say that the vectors of an image are averaged; empty where its embedding is one, of shape (d,).

    Examples
    --------
    >>> averaged_in_words({"kept": "slices"}, (84, 512))
    'the 84 slices of each image are averaged'
    """
    return f"the {shape[0]} {recipe.get('kept') or 'vectors'} of each image are averaged" if len(shape) > 1 else ""


class AveragedStore(FeatureStore):
    """One vector an image, (n, dim) float32, of a store that holds several; the store stays as it is.

    Parameters
    ----------
    store
        With embeddings (n, P, dim); its file is shared.

    Attributes
    ----------
    averaged
        In words, what is averaged.
    """

    def __init__(self, store: FeatureStore) -> None:
        self.__dict__.update(store.__dict__)
        self._whole = store  # closes the file when nobody holds it any more
        self.averaged = averaged_in_words(store.recipe, store.shape)
        self.shape = (store.dim,)
        self.dtype = np.dtype(np.float32)

    def embeddings(self, group: str) -> FloatArray:
        """Return (n, dim) means in memory."""
        return self.slice(group, "embeddings", 0, self.n(group))

    def read(self, group: str) -> FloatArray:
        """Return (n, dim) means in memory."""
        return self.embeddings(group)

    def batches(self, group: str, rows: int = 65536) -> Iterator[tuple[IdArray, FloatArray]]:
        """Yield ids and means of at most `rows` rows at a time."""
        for ids, found in super().batches(group, rows):
            yield ids, mean_of(found)

    def take(self, ids: Sequence[str] | IdArray) -> FloatArray:
        """Return (m, dim) means in the order of `ids`, whichever group each is in."""
        every, at = self._whole.positions(ids), 0
        out = np.empty((len(every), self.dim), np.float32)
        for group in self.groups:
            here = np.flatnonzero((every >= at) & (every < at + self.n(group)))
            mapped, step = self._whole.embeddings(group), self._step(group)
            for start in range(0, len(here), step):
                some = here[start : start + step]
                out[some] = mean_of(mapped[every[some] - at])
            at += self.n(group)
        return out

    def slice(self, group: str, name: str, start: int, stop: int) -> NDArray[Any]:
        """Return rows [start, stop) of a column; of the embeddings their means."""
        if name != "embeddings":
            return super().slice(group, name, start, stop)
        step, out = self._step(group), np.empty((stop - start, self.dim), np.float32)
        for first in range(start, stop, step):
            last = min(first + step, stop)
            out[first - start : last - start] = mean_of(super().slice(group, name, first, last))
        return out

    def _step(self, group: str) -> int:
        column = self._whole.column(group, "embeddings")
        return 1 if column is None else chunk_rows(column)


def one_vector(store: FeatureStore) -> FeatureStore:
    """Return the store itself, or its means where its images have several vectors."""
    return AveragedStore(store) if len(store.shape) > 1 else store


def open_vectors(path: str | Path) -> FeatureStore:
    """Open a store as `one_vector` reads it."""
    return one_vector(FeatureStore(path))
