"""Is an image like those a head was trained on? Its distance to the training vectors, calibrated on val.

The distance is that to the k-th nearest training vector (Sun, Ming, Zhu and Li, Out-of-distribution detection with deep
nearest neighbors, ICML 2022), on features standardised by train and not scaled to length one: between BreastMNIST and
RetinaMNIST, by SqueezeNet and by ten statistics, that told the most images of the other set. Its p-value counts the
images of val, which the head has not seen either, that are as far (Bates et al., Testing for outliers with conformal
p-values, Annals of Statistics 51:149-178, 2023): of images like val at most the share `LEVEL` is called unlike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medfeat.evaluation.measures.patients import equal_shares
from medfeat.types import FloatArray, IdArray

LEVEL = 0.05
"""Share of images like those of val that are called unlike."""
_NEIGHBOUR = 5
_MOST_ROWS = 5000
"""Training vectors that are looked at, at most: distances change little with more, and time grows with each."""
_BLOCK = 4096
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Familiar:
    """The training vectors, and how far those of val lie from them.

    Attributes
    ----------
    train
        (m, d) standardised training vectors.
    mean, spread
        (d,) of train.
    far
        (v,) distances of val, ascending.
    at_least
        (v,) images, or patients, of val that lie no nearer than that one.
    counted
        Images of val, or patients where they are known.
    """

    train: NDArray[np.float32]
    mean: NDArray[np.float32]
    spread: NDArray[np.float32]
    far: NDArray[np.float32]
    at_least: NDArray[np.float64]
    counted: int

    @classmethod
    def of(cls, train: FloatArray, val: FloatArray, groups: IdArray | None = None) -> Familiar:
        """Learn what is familiar.

        Parameters
        ----------
        train
            (n, d) features the head was trained on, n at least 1.
        val
            (v, d) features that calibrate the distance.
        groups
            (v,) patients of val, which then count as one sample each.
        """
        train = train.astype(np.float32)
        mean, spread = train.mean(axis=0), train.std(axis=0)
        spread = np.where(spread > 0, spread, 1).astype(np.float32)
        train = (train - mean) / spread
        far = _distances(train, (val.astype(np.float32) - mean) / spread)
        shares = np.ones(len(far)) if groups is None else equal_shares(groups)
        order = np.argsort(far, kind="stable")
        at_least = np.cumsum(shares[order][::-1])[::-1]
        return cls(train, mean, spread, far[order], at_least, round(float(shares.sum())))

    @property
    def can_tell(self) -> bool:
        """Whether val is large enough for any image to be called unlike."""
        return 1 / (self.counted + 1) <= LEVEL + _ROUNDING

    def p_values(self, X: FloatArray) -> NDArray[np.float64]:
        """Return (n,) p-values of (n, d) features: small where an image lies farther from train than those of val."""
        far = _distances(self.train, (X.astype(np.float32) - self.mean) / self.spread)
        beyond = np.append(self.at_least, 0.0)[np.searchsorted(self.far, far, side="left")]
        return np.asarray((1 + beyond) / (self.counted + 1))


def unlike(p: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (n,) which p-values call an image unlike those of training."""
    return np.asarray(p <= LEVEL + _ROUNDING)


def more_than_usual(strangers: int, n: int) -> bool:
    """Tell whether so many of n images are called unlike that chance alone would have it in one of 1,000 cases."""
    from scipy.stats import binom

    return bool(binom.sf(strangers - 1, n, LEVEL) < 1e-3)


def some_rows(n: int) -> NDArray[np.int64]:
    """Return which of n rows are looked at: all, or `_MOST_ROWS` of them drawn always alike, ascending."""
    if n <= _MOST_ROWS:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, _MOST_ROWS, replace=False))


def _distances(train: NDArray[np.float32], X: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (n,) squared distances to the k-th nearest of the training vectors, or the farthest of fewer."""
    k, squares = min(_NEIGHBOUR, len(train)) - 1, (train**2).sum(axis=1)
    parts = [np.empty(0, np.float32)]
    for start in range(0, len(X), _BLOCK):
        rows = X[start : start + _BLOCK]
        near = np.partition(squares - 2 * (rows @ train.T), k, axis=1)[:, k]
        parts.append(np.maximum(near + (rows**2).sum(axis=1), 0))
    return np.concatenate(parts)
