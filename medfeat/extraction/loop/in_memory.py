"""Reading the data once for several backbones: images small enough stay in memory after the first pass."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.bounds import stacked
from medfeat.datasets.reading import Reading, reading_of
from medfeat.types import BadImage, Dataset, DatasetInfo, IdArray, ImageBatch, LabelArray, UInt8Array

LIMIT_BYTES = 384 << 20


def kept_in_memory(dataset: Dataset, limit_bytes: int = LIMIT_BYTES) -> Dataset:
    """Wrap a dataset so that batches read once are kept, up to `limit_bytes` of pixels; beyond it, reads go through."""
    return _KeptImages(dataset, limit_bytes)


@dataclass
class _Group:
    """A whole group: its images in order, and what could not be read, by row."""

    images: list[UInt8Array] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    bad: dict[int, BadImage] = field(default_factory=dict)
    nbytes: int = 0

    def add(self, batch: ImageBatch) -> None:
        """Take in one batch of the source."""
        self.images.extend(batch.images)
        self.nbytes += _nbytes(batch)
        self.rows.extend(batch.rows.tolist())
        self.bad |= {bad.row: bad for bad in batch.bad if bad.row is not None}

    def batches(self, count: int, size: int) -> Iterator[ImageBatch]:
        """Give it back in batches of any size."""
        at = np.asarray(self.rows, np.int64)
        for start in range(0, count, size):
            first, last = np.searchsorted(at, (start, start + size))
            some = self.images[first:last]
            images = stacked(some)
            bad = tuple(self.bad[row] for row in range(start, min(start + size, count)) if row in self.bad)
            yield ImageBatch(at[first:last], images, bad)


class _KeptImages:
    """A dataset that remembers what a full pass over a group gave."""

    def __init__(self, dataset: Dataset, limit_bytes: int) -> None:
        self._dataset = dataset
        self._room = limit_bytes
        self._one_at_a_time = threading.Lock()
        self._groups: dict[str, _Group] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_groups": {}}  # another process reads for itself

    @property
    def info(self) -> DatasetInfo:
        """Of the dataset behind."""
        return self._dataset.info

    @property
    def reading(self) -> Reading:
        """Of the dataset behind."""
        return reading_of(self._dataset)

    def ids(self, group: str) -> IdArray:
        """Ids of the dataset behind."""
        return self._dataset.ids(group)

    def labels(self, group: str) -> LabelArray | None:
        """Labels of the dataset behind."""
        return self._dataset.labels(group)

    def batches(self, group: str, batch_size: int, rows: NDArray[np.int64] | None = None) -> Iterator[ImageBatch]:
        """Give what was kept, else read and keep it while there is room."""
        count = self.info.counts[group]
        if rows is not None and len(rows) != count:
            yield from self._dataset.batches(group, batch_size, rows)
        elif group in self._groups:
            yield from self._groups[group].batches(count, batch_size)
        else:
            yield from self._read(group, batch_size, count)

    def _read(self, group: str, batch_size: int, count: int) -> Iterator[ImageBatch]:
        kept: _Group | None = _Group()
        whole = False
        try:
            for batch in self._dataset.batches(group, batch_size, np.arange(count)):
                if kept is not None and self._take(_nbytes(batch)):
                    kept.add(batch)
                elif kept is not None:
                    self._take(-kept.nbytes)
                    kept = None
                yield batch
            whole = True
        finally:
            if kept is not None and whole:
                self._groups[group] = kept
            elif kept is not None:
                self._take(-kept.nbytes)

    def _take(self, count: int) -> bool:
        """Take room for some bytes, or give it back; False where there is none. Groups may be read at the same time."""
        with self._one_at_a_time:
            fits = count <= self._room
            self._room -= count if fits else 0
        return fits


def _nbytes(batch: ImageBatch) -> int:
    return sum(image.nbytes for image in batch.images)
