"""Pillow's resize as two small matrix products, equal to it bit for bit on any device.

Pillow filters along the width, rounds to whole levels, then filters along the height and rounds again. Its weights
are fixed-point numbers with 22 fractional bits. A product of an 8-bit level and such a weight, and any sum of them,
is exact in float64, so a float64 matrix product gives Pillow's integers whatever order it adds in.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from medfeat.types import Interpolation

_FIXED_POINT = float(1 << 22)
# Rows of a matrix multiplied at once: fewer skip more zeros, more keep the products efficient; 32 measured best
_BAND_ROWS = 32
# Bytes of float64 filtered at once: on the CPU they stay in its cache, on a GPU they leave room for the network.
_CPU_PIECE_BYTES = 1 << 22
_GPU_PIECE_BYTES = 1 << 28


def _bilinear(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(1.0 - np.abs(x), 0.0, None)


def _bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    a = -0.5  # Pillow's choice; OpenCV and torch's non-antialiased filter use -0.75
    x = np.abs(x)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.abs(x) < 3.0, np.sinc(x) * np.sinc(x / 3.0), 0.0)


_FILTERS: dict[str, tuple[Callable[[NDArray[Any]], NDArray[Any]], float]] = {
    "bilinear": (_bilinear, 1.0),
    "bicubic": (_bicubic, 2.0),
    "lanczos": (_lanczos, 3.0),
}


# A few, for images of one shape that come one by one; a matrix of a large image takes megabytes.
@lru_cache(maxsize=4)
def resize_matrix(source: int, target: int, interpolation: Interpolation) -> NDArray[np.float64]:
    """Build the matrix that resizes one axis the way Pillow does.

    Parameters
    ----------
    source, target
        Length of the axis in pixels, before and after.
    interpolation
        Filter; when shrinking, its support is widened by the ratio, which is Pillow's antialiasing.

    Returns
    -------
    ndarray
        (target, source) weights, each a multiple of 2**-22.
    """
    if interpolation == "nearest":
        return _nearest(source, target)
    function, support = _FILTERS[interpolation]
    scale = source / target
    widened = max(scale, 1.0)
    reach = support * widened
    centre = (np.arange(target) + 0.5) * scale
    # astype truncates like the C cast; the half is Pillow's own rounding of the window's ends
    first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + reach + 0.5).astype(np.int64), source)
    columns = first[:, None] + np.arange((last - first).max())
    inside = columns < last[:, None]
    # multiplied by the reciprocal, as Pillow does: a division would round some weights to another integer
    weights = np.where(inside, function((columns - centre[:, None] + 0.5) * (1.0 / widened)), 0.0)
    # summed one by one, as Pillow does; numpy's pairwise sum may differ in the last bit
    weights = weights / np.cumsum(weights, axis=1)[:, -1:]
    matrix = np.zeros((target, source))
    fixed = np.trunc(weights * _FIXED_POINT + np.copysign(0.5, weights)) / _FIXED_POINT
    matrix[np.nonzero(inside)[0], columns[inside]] = fixed[inside]
    return matrix


def piece_bytes(device: torch.device) -> int:
    """Return how many bytes of float64 are filtered at once on a device.

    Parameters
    ----------
    device
        Where the filter runs.
    """
    return _CPU_PIECE_BYTES if device.type == "cpu" else _GPU_PIECE_BYTES


def vertical_first(source: tuple[int, int], target: tuple[int, int]) -> bool:
    """Whether Pillow filters the height before the width: since version 13, when the height shrinks much more.

    Parameters
    ----------
    source, target
        (height, width) in pixels, before and after.
    """
    shorter, narrower = source[0] - target[0], source[1] - target[1]
    return shorter > 0 and shorter > 2 * narrower


class Resizer:
    """Resizes batches of images of one shape to one shape, on the device they are on.

    Parameters
    ----------
    source
        (height, width) of the images.
    target
        (height, width) to resize to.
    interpolation
        Filter.
    device
        Where the images will be.
    window
        (top, left, height, width) of the part of the resized image that is wanted; the rest is never computed.
    """

    def __init__(
        self,
        source: tuple[int, int],
        target: tuple[int, int],
        interpolation: Interpolation,
        device: torch.device,
        window: tuple[int, int, int, int] | None = None,
    ) -> None:
        top, left, height, width = window or (0, 0, *target)
        rows = resize_matrix(source[0], target[0], interpolation)[top : top + height]
        columns = resize_matrix(source[1], target[1], interpolation)[left : left + width]
        passes = [(_Pass(rows, 1, device), _is_identity(rows)), (_Pass(columns, 2, device), _is_identity(columns))]
        if not vertical_first(source, target):
            passes.reverse()
        self._passes = [one for one, idle in passes if not idle]

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Resize (B, H, W, C) uint8 images to (B, h, w, C) levels 0..255 in uint8."""
        for one in self._passes:
            images = one(images)
        return images


class _Pass:
    """Filters one axis of (B, H, W, C) images: a matrix product for each band of the matrix."""

    def __init__(self, matrix: NDArray[np.float64], axis: int, device: torch.device) -> None:
        self._axis = axis
        self._length = len(matrix)
        self._bands = [(rows, columns, _tensor(block, device)) for rows, columns, block in _bands(matrix)]
        self._half = torch.full((1, 1), 0.5, dtype=torch.float64, device=device)
        # Weights below zero make levels outside of 0..255; the others sum to 1 but for their last bits.
        self._overshoots = bool((matrix < 0).any())

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Filter in strips along the other axis, each independent of the rest: float64 is eight times the image."""
        other = 3 - self._axis
        line = 8 * images.numel() // images.shape[other]
        strip = max(1, piece_bytes(images.device) // line)
        if strip >= images.shape[other]:
            return self._filter(images)
        shape = [*images.shape]
        shape[self._axis] = self._length
        found = images.new_empty(shape)
        # Each into its place at once: were they kept to be joined, every small strip would lie where a large one had
        # been filtered, the next would find no room there, and a large image would take ten times its own.
        for start in range(0, images.shape[other], strip):
            count = min(strip, images.shape[other] - start)
            found.narrow(other, start, count).copy_(self._filter(images.narrow(other, start, count)))
        return found

    def _filter(self, images: torch.Tensor) -> torch.Tensor:
        # The filtered axis comes first, so that a band is one product of two plain matrices. While it is still in the
        # cache it becomes levels: half up, then clipped, as Pillow's integers are.
        first = images.movedim(self._axis, 0).contiguous()
        lines = first.to(torch.float64).reshape(len(first), -1)
        levels = first.new_empty(self._length, lines.shape[1])
        for rows, columns, block in self._bands:
            band = torch.addmm(self._half, block, lines[columns])
            levels[rows] = band.clamp_(0.0, 255.0) if self._overshoots else band
        return levels.reshape(self._length, *first.shape[1:]).movedim(0, self._axis)


def _bands(matrix: NDArray[np.float64]) -> list[tuple[slice, slice, NDArray[np.float64]]]:
    """Cut a banded matrix into blocks of rows with the columns they touch: most of the rest is zeros."""
    bands = []
    for start in range(0, len(matrix), _BAND_ROWS):
        block = matrix[start : start + _BAND_ROWS]
        touched = np.flatnonzero(block.any(axis=0))
        columns = slice(int(touched[0]), int(touched[-1]) + 1)
        bands.append((slice(start, start + len(block)), columns, block[:, columns]))
    return bands


def _tensor(array: NDArray[np.float64], device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def _is_identity(matrix: NDArray[np.float64]) -> bool:
    return matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, np.eye(matrix.shape[0]))


def _nearest(source: int, target: int) -> NDArray[np.float64]:
    # which pixel Pillow picks depends on its fixed-point stepping, so Pillow is asked
    from PIL import Image

    line = Image.fromarray(np.arange(source, dtype=np.int32)[None])
    picked = np.asarray(line.resize((target, 1), Image.Resampling.NEAREST))[0]
    matrix: NDArray[np.float64] = np.eye(source)[picked]
    return matrix
