"""Zero mean and unit variance a feature, with the statistics of train."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from medfeat.types import FloatArray

BLOCK = 8192


def row_blocks(n: int) -> list[slice]:
    """Return slices that cut `n` rows into blocks of at most `BLOCK`; one empty slice when there are none."""
    return [slice(start, start + BLOCK) for start in range(0, max(n, 1), BLOCK)]


@dataclass(frozen=True)
class Standardiser:
    """Train statistics of each feature.

    Attributes
    ----------
    mean, scale
        (d,) float64; the scale of a constant feature is 1, so that it becomes zero.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def fit(cls, X: FloatArray) -> Standardiser:
        """Measure (n, d) features in float64, block by block: two passes, so that a large mean costs no digits."""
        n = len(X)
        mean = X.sum(axis=0, dtype=np.float64) / n
        squares = sum((np.square(X[rows] - mean).sum(axis=0) for rows in row_blocks(n)), np.zeros_like(mean))
        variance = squares / n
        eps = np.finfo(np.float64).eps
        # Rounding leaves a constant feature a variance up to this; dividing by it would blow noise up.
        constant = variance <= n * eps * variance + np.square(n * eps * mean)
        return cls(mean, np.where(constant, 1.0, np.sqrt(variance)))

    def transform(self, X: FloatArray, dtype: DTypeLike = np.float64) -> FloatArray:
        """Return standardised (n, d) features as `dtype`; the arithmetic is float64, a block of rows at a time."""
        out = np.empty(X.shape, dtype=dtype)
        for rows in row_blocks(len(X)):
            out[rows] = (X[rows] - self.mean) / self.scale
        return out
