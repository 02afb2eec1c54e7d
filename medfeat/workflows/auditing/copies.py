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
_BLUR = 9
_REACH = 2
_JPEG_QUALITY = 75


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
    Image.fromarray(image).save(file, "JPEG", quality=_JPEG_QUALITY)
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
    f"JPEG {_JPEG_QUALITY}": recompressed,
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
    if one.shape != other.shape:
        return -1.0
    first, second = np.array([0]), np.array([1])
    return float(detail_correlations(np.stack([one, other]), first, second)[0])


def detail_correlations(images: UInt8Array, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return `detail_correlation` for many pairs of (n, height, width) thumbnails, named by their positions.

    An image is moved once for all its pairs: its 25 shifts times the details of its partners are one product.
    """
    details = _details(images).reshape(len(images), -1)
    shifts = (_shifts(one) for one in details.reshape(images.shape))
    moments = np.array([(moved.sum(axis=1), np.square(moved).sum(axis=1)) for moved in shifts])
    count = np.maximum(np.count_nonzero(_shifts(np.ones(images.shape[1:])), axis=1), 1)
    best = np.empty(len(first))
    order = np.argsort(first, kind="stable")
    for pairs in np.split(order, np.flatnonzero(np.diff(first[order])) + 1) if len(order) else ():
        i, j = first[pairs[0]], second[pairs]
        product = details[j] @ _shifts(details[i].reshape(images.shape[1:])).T
        # What overlaps of the partner is what overlaps of it at the opposite shift.
        (sums, squares), others = moments[i], moments[j][:, :, ::-1]
        shared = product - sums * others[:, 0] / count
        spread = _spread(sums, squares, count) * _spread(others[:, 0], others[:, 1], count)
        best[pairs] = np.divide(shared, np.sqrt(spread), out=np.zeros_like(shared), where=spread > 0).max(axis=1)
    return best


def _shifts(image: Grey) -> Grey:
    """Return (25, height * width): the image at each shift of up to `_REACH` pixels, zeros where nothing overlaps."""
    padded = np.pad(image, _REACH)
    windows = np.lib.stride_tricks.sliding_window_view(padded, image.shape)
    moved: Grey = windows.reshape(-1, image.size)
    return moved


def _spread(sums: Grey, squares: Grey, count: NDArray[np.int64]) -> Grey:
    """Return the sum of squares about the mean; 0 where rounding alone would make one."""
    spread: Grey = squares - sums**2 / count
    spread[spread <= 1e-12 * squares] = 0.0
    return spread


def _details(images: UInt8Array) -> Grey:
    from scipy.ndimage import uniform_filter

    grey = images.astype(np.float64)
    fine: Grey = grey - uniform_filter(grey, (1, _BLUR, _BLUR), mode="nearest")
    return fine
