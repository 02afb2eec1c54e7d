"""Reading the data once for several backbones: images small enough stay in memory after the first pass."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from medfeat.types import Dataset, DatasetInfo, IdArray, ImageBatch, LabelArray

LIMIT_BYTES = 384 << 20


def kept_in_memory(dataset: Dataset, limit_bytes: int = LIMIT_BYTES) -> Dataset:
    """Wrap a dataset so that batches read once are kept, up to `limit_bytes` of pixels; beyond it, reads go through."""
    return _Kept(dataset, limit_bytes)


class _Kept:
    """A dataset that remembers what a full pass over a group gave."""

    def __init__(self, dataset: Dataset, limit_bytes: int) -> None:
        self._dataset = dataset
        self._room = limit_bytes
        self._batches: dict[tuple[str, int], list[ImageBatch]] = {}

    @property
    def info(self) -> DatasetInfo:
        """Of the dataset behind."""
        return self._dataset.info

    def ids(self, group: str) -> IdArray:
        """Ids of the dataset behind."""
        return self._dataset.ids(group)

    def labels(self, group: str) -> LabelArray | None:
        """Labels of the dataset behind."""
        return self._dataset.labels(group)

    def batches(self, group: str, batch_size: int, rows: NDArray[np.int64] | None = None) -> Iterator[ImageBatch]:
        """Give what was kept, else read and keep it while there is room."""
        everything = rows is None or len(rows) == self.info.counts[group]
        key = (group, batch_size)
        if not everything:
            yield from self._dataset.batches(group, batch_size, rows)
        elif key in self._batches:
            yield from self._batches[key]
        else:
            kept: list[ImageBatch] | None = []
            for batch in self._dataset.batches(group, batch_size, rows):
                kept = self._keep(kept, batch)
                yield batch
            if kept is not None:
                self._batches[key] = kept

    def _keep(self, kept: list[ImageBatch] | None, batch: ImageBatch) -> list[ImageBatch] | None:
        """Add a batch, or give up on this group, and give back its room, when there is none left."""
        if kept is None:
            return None
        self._room -= _pixels(batch)
        if self._room >= 0:
            kept.append(batch)
            return kept
        self._room += sum(_pixels(one) for one in kept) + _pixels(batch)
        return None


def _pixels(batch: ImageBatch) -> int:
    return sum(image.nbytes for image in batch.images)
