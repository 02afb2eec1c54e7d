"""Copies of an image as they occur in practice, and how alike the fine detail of two images is."""

from __future__ import annotations

import io
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medfeat.types import UInt8Array

Grey = NDArray[np.float64]
# Detail is compared at this side at most; a whole-image comparison needs no more, and memory stays small.
SIDE = 32
BLUR = 9
REACH = 2
JPEG_QUALITY = 75


def shifted(image: UInt8Array, *, volume: bool = False) -> UInt8Array:
    """Move an image (or each slice of a volume) by one pixel to the right; the edge is repeated."""
    axis = 2 if volume else 1
    first = np.take(image, [0], axis=axis)
    return np.concatenate([first, np.delete(image, -1, axis=axis)], axis=axis)


def brighter(image: UInt8Array, *, volume: bool = False) -> UInt8Array:
    """Multiply by 1.15."""
    del volume
    return _scaled(image, 1.15)


def darker(image: UInt8Array, *, volume: bool = False) -> UInt8Array:
    """Multiply by 0.85."""
    del volume
    return _scaled(image, 0.85)


def recompressed(image: UInt8Array, *, volume: bool = False) -> UInt8Array:
    """Save as JPEG and read again, slice by slice for a volume."""
    if volume:
        return np.stack([recompressed(part) for part in image])
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=JPEG_QUALITY)
    return np.array(Image.open(file), np.uint8)


class CopyChange(Protocol):
    """Makes a copy of an image, or of a volume: three of its slices from right to left would pass for colour."""

    def __call__(self, image: UInt8Array, *, volume: bool = False) -> UInt8Array:
        """Return the copy, of the same shape."""
        ...


COPIES: dict[str, CopyChange] = {
    "shifted by a pixel": shifted,
    "brighter": brighter,
    "darker": darker,
    f"JPEG {JPEG_QUALITY}": recompressed,
}


def _scaled(image: UInt8Array, factor: float) -> UInt8Array:
    levels: UInt8Array = np.clip(np.rint(image * factor), 0, 255).astype(np.uint8)
    return levels


def thumbnail(image: UInt8Array, *, volume: bool = False) -> UInt8Array:
    """Return a grey picture of at most `SIDE` pixels a side; of a volume, its middle slice."""
    if image.ndim == 3:
        image = image[len(image) // 2] if volume else image.mean(axis=-1).astype(np.uint8)
    if max(image.shape) <= SIDE:
        return image
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX), np.uint8)


def detail_correlation(one: UInt8Array, other: UInt8Array) -> float:
    """Return the correlation of two thumbnails' fine detail, at the best shift of up to two pixels.

    Coarse shading, which all images of a kind have in common, is taken away first; brightness does not matter.
    """
    a, b = _detail(one), _detail(other)
    if a.shape != b.shape:
        return -1.0
    steps = range(-REACH, REACH + 1)
    return max(_correlation(_moved(a, dy, dx), _moved(b, -dy, -dx)) for dy in steps for dx in steps)


def _detail(image: UInt8Array) -> Grey:
    from scipy.ndimage import uniform_filter

    grey = image.astype(np.float64)
    fine: Grey = grey - uniform_filter(grey, BLUR, mode="nearest")
    return fine


def _moved(image: Grey, dy: int, dx: int) -> Grey:
    height, width = image.shape
    return image[max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)]


def _correlation(a: Grey, b: Grey) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / size) if size > 0 else 0.0
