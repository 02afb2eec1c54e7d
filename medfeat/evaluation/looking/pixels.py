"""What the pixels of a dataset look like, class by class: histograms, mean levels, mean and spread image; one pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medfeat.types import UInt8Array

LEVELS = 256


class ClassPixels:
    """Gathers pictures of one shape, each of no, one or several classes.

    Parameters
    ----------
    classes
        How many there are.
    shape
        (P, H, W, C) of a picture: planes (1, or 3 for a volume), rows, columns, channels.

    Attributes
    ----------
    count
        (k,) pictures of each class.
    histogram
        (k, C, 256) how often each level was seen; of all pixels of an image, not of its picture alone.
    """

    def __init__(self, classes: int, shape: tuple[int, int, int, int]) -> None:
        self.count = np.zeros(classes, np.int64)
        self.histogram = np.zeros((classes, shape[-1], LEVELS), np.int64)
        self._sum = np.zeros((classes, *shape))
        self._squares = np.zeros((classes, *shape))

    def add(self, member: NDArray[np.bool_], picture: UInt8Array, pixels: UInt8Array) -> None:
        """Add one image.

        Parameters
        ----------
        member
            (k,) classes it is of.
        picture
            As it is shown.
        pixels
            (..., C) all its pixels.
        """
        values = picture.astype(np.float64)
        flat = pixels.reshape(-1, pixels.shape[-1])
        levels = np.stack([np.bincount(flat[:, c], minlength=LEVELS) for c in range(flat.shape[1])])
        for k in np.flatnonzero(member):
            self.count[k] += 1
            self.histogram[k] += levels
            self._sum[k] += values
            self._squares[k] += values**2

    def mean(self, k: int) -> NDArray[np.float64]:
        """Return the (P, H, W, C) mean picture of a class; zeros for a class without images."""
        found: NDArray[np.float64] = self._sum[k] / max(int(self.count[k]), 1)
        return found

    def spread(self, k: int) -> NDArray[np.float64]:
        """Return the standard deviation of each pixel of a class's pictures."""
        n = max(int(self.count[k]), 1)
        found: NDArray[np.float64] = np.sqrt(np.maximum(self._squares[k] / n - (self._sum[k] / n) ** 2, 0))
        return found
