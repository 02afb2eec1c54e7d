"""One pass over a dataset's images: thumbnails, pixel statistics by class, rows of pixels, what cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medfeat.datasets import image_hash
from medfeat.datasets.hashing import HASH_BYTES
from medfeat.evaluation.looking.pixels import ClassPixels
from medfeat.types import BadImage, Dataset, Progress, UInt8Array

# Images that are looked at; of larger sets a sample, which the page says.
MOST = 20_000
# Of each class at least this many are in the sample, so that a rare class is not lost.
FEWEST = 50
SIDE, VOLUME_SIDE = 64, 16


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
    found = _Found(len(rows), shape)
    shapes: dict[tuple[int, ...], int] = {}
    volume = info.ndim == 3
    progress.start(len(rows), f"looking at {info.name}")
    for start, batch in _batches(dataset, rows):
        for row, one in zip((start + batch.rows).tolist(), batch.images, strict=True):
            image = np.asarray(one)
            picture = planes(image, side, channels, volume=volume)
            pixels.add(kinds.member[row], picture, _with_channels(image, channels, volume=volume))
            found.add(row, picture, float(image.mean()), _features(image, picture, volume=volume), image_hash(image))
            shapes[image.shape] = shapes.get(image.shape, 0) + 1
        bad += batch.bad
        progress.advance(len(batch.rows) + len(batch.bad))
    progress.finish()
    rows, pictures, levels, features, hashes = found.arrays()
    return Seen(rows, pictures, levels, features, hashes, pixels, shapes, tuple(bad))


def _batches(dataset: Dataset, rows: NDArray[np.int64]) -> Iterator[tuple[int, Any]]:
    start = 0
    for group, count in dataset.info.counts.items():
        mine = rows[(rows >= start) & (rows < start + count)] - start
        if len(mine):
            for batch in dataset.batches(group, 256, mine):
                yield start, batch
        start += count


class _Found:
    """Columns that are filled by one image at a time; those that cannot be read leave the end empty."""

    def __init__(self, most: int, shape: tuple[int, ...]) -> None:
        self._n = 0
        self._rows, self._levels = np.empty(most, np.int64), np.empty(most)
        self._pictures = np.empty((most, *shape), np.uint8)
        self._hashes = np.empty((most, HASH_BYTES), np.uint8)
        self._features = np.empty((most, 0), np.uint8)

    def add(self, row: int, picture: UInt8Array, level: float, features: UInt8Array, hashed: bytes) -> None:
        if not self._n:
            self._features = np.empty((len(self._rows), len(features)), np.uint8)
        self._rows[self._n], self._levels[self._n] = row, level
        self._pictures[self._n], self._features[self._n] = picture, features
        self._hashes[self._n] = np.frombuffer(hashed, np.uint8)
        self._n += 1

    def arrays(self) -> tuple[Any, ...]:
        columns = (self._rows, self._pictures, self._levels, self._features, self._hashes)
        return tuple(column[: self._n] for column in columns)


def _with_channels(image: UInt8Array, channels: int, *, volume: bool = False) -> UInt8Array:
    """Return an image with a last axis of 1 or 3 channels: colours become grey, grey becomes colours."""
    if volume or image.ndim == 2:
        return np.repeat(image[..., None], channels, axis=-1)
    if image.shape[-1] == channels:
        return image
    grey: UInt8Array = image.mean(axis=-1, keepdims=True).astype(np.uint8)
    return grey


def planes(image: UInt8Array, side: int, channels: int, *, volume: bool = False) -> UInt8Array:
    """Return (P, side, side, channels): an image, or the three middle planes of a volume; black fills the square."""
    parts = [np.take(image, image.shape[axis] // 2, axis=axis) for axis in range(3)] if volume else [image]
    return np.stack([_resized(_with_channels(part, channels), side) for part in parts])


def _resized(image: UInt8Array, side: int) -> UInt8Array:
    if image.shape[:2] == (side, side):
        return image
    height, width = (max(1, round(side * length / max(image.shape[:2]))) for length in image.shape[:2])
    flat = image[..., 0] if image.shape[-1] == 1 else image
    small = np.asarray(Image.fromarray(np.ascontiguousarray(flat)).resize((width, height), Image.Resampling.BOX))
    square, top, left = np.zeros((side, side, image.shape[-1]), np.uint8), (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = small.reshape(height, width, -1)
    return square


def _features(image: UInt8Array, picture: UInt8Array, *, volume: bool) -> UInt8Array:
    """Return the pixels of an image as one row: of a volume, of a coarser one."""
    if volume:
        at = [np.linspace(0, length - 1, min(length, VOLUME_SIDE)).astype(int) for length in image.shape]
        coarse: UInt8Array = image[np.ix_(*at)]
        full = np.zeros((VOLUME_SIDE,) * 3, np.uint8)
        full[tuple(slice(0, length) for length in coarse.shape)] = coarse
        return full.reshape(-1)
    step = max(1, -(-picture.shape[1] // 32))
    return picture[0, ::step, ::step].reshape(-1)
