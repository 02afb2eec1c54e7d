"""The layers of an image as a bag of vectors, each with columns of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from medfeat.heads.standardise import Standardiser
from medfeat.types import FloatArray


class Layers:
    """(n, P, d) bags of (n, d) features of P layers side by side, made when they are asked for.

    Layers are of different widths, and a number in one means nothing in another: so the vector of a layer holds its
    standardised features in the columns they have side by side, and zeros elsewhere.

    Parameters
    ----------
    X
        (n, d) features.
    statistics
        Of each column over train.
    widths
        Of the layers; they sum to d.
    """

    ndim = 3

    def __init__(self, X: FloatArray, statistics: Standardiser, widths: Sequence[int]) -> None:
        self._X, self._statistics, self._widths = X, statistics, tuple(widths)
        self.shape: tuple[int, int, int] = (len(X), len(self._widths), X.shape[1])
        self.dtype = X.dtype

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._X)

    def __getitem__(self, samples: Any) -> Layers:
        """Return the bags of some samples: a slice, positions or a mask."""
        return Layers(self._X[samples], self._statistics, self._widths)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Make them."""
        if copy is False:
            raise ValueError("layers are placed when they are asked for: an array of them is always a copy")
        out = np.zeros(self.shape, dtype or self.dtype)
        Z, end = self._statistics.transform(self._X, dtype=out.dtype), 0
        for number, width in enumerate(self._widths):
            out[:, number, end : end + width] = Z[:, end : end + width]
            end += width
        return out
