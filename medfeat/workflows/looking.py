"""One pass over a dataset's images: thumbnails, pixel statistics by class, rows of pixels, what cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medfeat.datasets import image_hash
from medfeat.evaluation.pixels import ClassPixels
from medfeat.types import BadImage, Dataset, Progress, UInt8Array

# Images that are looked at; of larger sets a sample, which the page says.
MOST = 20_000
# Of each class at least this many are in the sample, so that a rare class is not lost.
FEWEST = 50
SIDE, VOLUME_SIDE, MONTAGE = 64, 16, 8


@dataclass(frozen=True)
class Kinds:
    """What images are sorted by: classes, labels, or ranges of a number.

    Attributes
    ----------
    names
        Of each kind, in label order.
    member
        (n, k) which images are of it; of several where there are several labels.
    """

    names: tuple[str, ...]
    member: NDArray[np.bool_]


@dataclass(frozen=True)
class Seen:
    """What the pass found, row by row of the images it could read.

    Attributes
    ----------
    rows
        (m,) positions among all ids.
    pictures
        (m, P, H, W, C) uint8: planes 1, or 3 for a volume.
    levels
        (m,) mean pixel value of each image.
    features
        (m, d) uint8 pixels, for the map of pixels.
    hashes
        (m, 16) of the pixels, as stores keep them.
    pixels
        By class.
    shapes
        Shapes that occur, and how often.
    bad
        Images that could not be read.
    """

    rows: NDArray[np.int64]
    pictures: UInt8Array
    levels: NDArray[np.float64]
    features: UInt8Array
    hashes: UInt8Array
    pixels: ClassPixels
    shapes: dict[tuple[int, ...], int]
    bad: tuple[BadImage, ...]


def sample_rows(kinds: Kinds, most: int, seed: int) -> NDArray[np.int64]:
    """Return which images to look at: all, or a random sample in which each class has at least a few."""
    n = len(kinds.member)
    if n <= most:
        return np.arange(n)
    order = np.random.default_rng(seed).permutation(n)
    chosen = np.zeros(n, np.bool_)
    for k in range(len(kinds.names)):
        chosen[order[kinds.member[order, k]][: min(FEWEST, most // max(len(kinds.names), 1))]] = True
    rest = order[~chosen[order]]
    chosen[rest[: max(0, most - int(chosen.sum()))]] = True
    return np.flatnonzero(chosen)


def look(dataset: Dataset, kinds: Kinds, rows: NDArray[np.int64], progress: Progress) -> Seen:
    """Read some images of a dataset once.

    Parameters
    ----------
    dataset
        Open.
    kinds
        Over all its images, groups one after the other.
    rows
        Ascending positions among all images.
    progress
        Hears of images.
    """
    info = dataset.info
    channels = 1 if info.channels == 1 or info.ndim == 3 else 3
    side = min(info.size or SIDE, SIDE)
    shape = (1 if info.ndim == 2 else 3, side, side, channels)
    pixels, bad = ClassPixels(len(kinds.names), shape), []
    found, shapes = _Found(), {}
    progress.start(len(rows), f"looking at {info.name}")
    for start, batch in _batches(dataset, rows):
        for row, one in zip((start + batch.rows).tolist(), batch.images, strict=True):
            image = np.asarray(one)
            whole = with_channels(image, channels)
            picture = planes(image, side, channels)
            pixels.add(kinds.member[row], picture, whole)
            found.add(row, picture, float(image.mean()), _features(image, picture), image_hash(image))
            shapes[image.shape] = shapes.get(image.shape, 0) + 1
        bad += batch.bad
        progress.advance(len(batch.rows) + len(batch.bad))
    progress.finish()
    return Seen(*found.arrays(shape), pixels=pixels, shapes=shapes, bad=tuple(bad))


def _batches(dataset: Dataset, rows: NDArray[np.int64]) -> Iterator[tuple[int, Any]]:
    start = 0
    for group, count in dataset.info.counts.items():
        mine = rows[(rows >= start) & (rows < start + count)] - start
        if len(mine):
            for batch in dataset.batches(group, 256, mine):
                yield start, batch
        start += count


class _Found:
    """Columns that grow by one image at a time."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._pictures: list[UInt8Array] = []
        self._levels: list[float] = []
        self._features: list[UInt8Array] = []
        self._hashes = bytearray()

    def add(self, row: int, picture: UInt8Array, level: float, features: UInt8Array, hashed: bytes) -> None:
        self._rows.append(row)
        self._pictures.append(picture)
        self._levels.append(level)
        self._features.append(features)
        self._hashes += hashed

    def arrays(self, shape: tuple[int, ...]) -> tuple[Any, ...]:
        n = len(self._rows)
        return (
            np.array(self._rows, np.int64),
            np.stack(self._pictures) if n else np.empty((0, *shape), np.uint8),
            np.array(self._levels),
            np.stack(self._features) if n else np.empty((0, 1), np.uint8),
            np.frombuffer(bytes(self._hashes), np.uint8).reshape(n, -1),
        )


def with_channels(image: UInt8Array, channels: int) -> UInt8Array:
    """Return an image with a last axis of 1 or 3 channels; of a volume, that of its levels."""
    if image.ndim == 3 and image.shape[-1] == 3 and channels == 3:
        return image
    if image.ndim == 3 and image.shape[-1] == 3:
        return image.mean(axis=-1, keepdims=True).astype(np.uint8)
    return np.repeat(image[..., None], channels, axis=-1)


def planes(image: UInt8Array, side: int, channels: int) -> UInt8Array:
    """Return (P, side, side, channels): an image, or the three middle planes of a volume."""
    volume = image.ndim == 3 and image.shape[-1] != 3
    parts = [np.take(image, image.shape[axis] // 2, axis=axis) for axis in range(3)] if volume else [image]
    return np.stack([_resized(with_channels(part, channels), side) for part in parts])


def _resized(image: UInt8Array, side: int) -> UInt8Array:
    if image.shape[:2] == (side, side):
        return image
    flat = image[..., 0] if image.shape[-1] == 1 else image
    resized = np.asarray(Image.fromarray(np.ascontiguousarray(flat)).resize((side, side), Image.Resampling.BOX))
    return resized[..., None] if resized.ndim == 2 else resized


def _features(image: UInt8Array, picture: UInt8Array) -> UInt8Array:
    """Return the pixels of an image as one row: of a volume, of a coarser one."""
    if image.ndim == 3 and image.shape[-1] != 3:
        at = [np.linspace(0, length - 1, min(length, VOLUME_SIDE)).astype(int) for length in image.shape]
        coarse: UInt8Array = image[np.ix_(*at)]
        full = np.zeros((VOLUME_SIDE,) * 3, np.uint8)
        full[tuple(slice(0, length) for length in coarse.shape)] = coarse
        return full.reshape(-1)
    step = max(1, -(-picture.shape[1] // 32))
    return picture[0, ::step, ::step].reshape(-1)
