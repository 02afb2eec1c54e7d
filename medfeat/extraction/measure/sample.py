"""A fixed sample of images to measure on: the same rows every time, from the first stretch of the largest group."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.bounds import BATCH_BYTES, stacked
from medfeat.errors import DataError
from medfeat.types import Dataset, Images, UInt8Array

_SAMPLE_SIZE = 256
# Rows beyond these are not looked at: a compressed file would have to be inflated to its end for one image.
_STRETCH = 4096


def sample_rows(count: int, size: int = _SAMPLE_SIZE) -> NDArray[np.int64]:
    """Pick `size` rows evenly spread over `count`, always the same ones."""
    return np.unique(np.linspace(0, max(count - 1, 0), min(size, count)).astype(np.int64))


def spread(images: Images, number: int) -> Images:
    """Return `number` of some images (or all of them), evenly spread."""
    picks = sample_rows(len(images), number)
    return [images[i] for i in picks] if isinstance(images, list) else images[picks]


def read_sample(dataset: Dataset) -> Images:
    """Read up to 256 images, or as many volumes as hold about 256 slices a plane; of large ones a batch.

    Raises
    ------
    DataError
        When not one image can be read.
    """
    group = max(dataset.info.counts, key=lambda name: dataset.info.counts[name])
    size = _SAMPLE_SIZE if dataset.info.ndim == 2 else max(4, _SAMPLE_SIZE // max(dataset.info.size, 28))
    rows = sample_rows(min(dataset.info.counts[group], _STRETCH), size)
    images: list[UInt8Array] = []
    reasons: list[str] = []
    held = 0
    for batch in dataset.batches(group, 64, rows):
        images.extend(batch.images)
        held += sum(image.nbytes for image in batch.images)
        reasons.extend(f"{bad.id}: {bad.reason}" for bad in batch.bad)
        if held >= BATCH_BYTES:
            break
    if not images:
        first = f", first {reasons[0]}" if reasons else ""
        raise DataError(f"not one image of {dataset.info.name} could be read{first}")
    return stacked(images)
