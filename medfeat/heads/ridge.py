"""L2 linear regression of numbers: every alpha from one eigendecomposition."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from medfeat.heads.inputs import check_split, refuse_task
from medfeat.heads.standardise import Standardiser, row_blocks
from medfeat.types import Candidate, FloatArray, LabelArray, Progress, TaskType

ALPHAS = tuple(10.0 ** (half / 2) for half in range(12, -3, -1))


class RidgeProbe(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Ridge regression of k targets, equal to scikit-learn's ``Ridge(alpha)`` behind a ``StandardScaler``.

    Parameters
    ----------
    alpha
        Strength of the penalty; the intercept is free.
    n_classes
        Number of targets.
    task_type
        Always ``regression``.
    """

    def __init__(self, alpha: float = 1.0, *, n_classes: int = 1, task_type: TaskType = "regression") -> None:
        self.alpha = alpha
        self.n_classes = n_classes
        self.task_type = task_type

    def fit(self, X: FloatArray, y: LabelArray) -> RidgeProbe:
        """Fit to (n, d) features and (n, k) numbers."""
        return next(fit_path(X, y, (self.alpha,), task_type=self.task_type))

    def scores(self, X: FloatArray) -> FloatArray:
        """Return (n, k) predicted numbers."""
        blocks = [(X[rows] - self.mean_) / self.scale_ for rows in row_blocks(len(X))]
        return np.concatenate([block @ self.coef_.T + self.intercept_ for block in blocks])

    predict = scores


def fit_path(
    X: FloatArray, y: LabelArray, alphas: tuple[float, ...], *, task_type: TaskType = "regression"
) -> Iterator[RidgeProbe]:
    """Fit one probe for each alpha.

    Raises
    ------
    DataError
        Another task type, or features or targets that are empty or not finite.
    """
    refuse_task("ridge", task_type, ("regression",))
    check_split(X, y, "train")
    statistics = Standardiser.fit(X)
    Z, mean = statistics.transform(X), y.mean(axis=0)
    eigen, basis, moments = _eigen(Z, y - mean)
    for alpha in alphas:
        probe = RidgeProbe(alpha, n_classes=y.shape[1])
        probe.mean_, probe.scale_, probe.intercept_ = statistics.mean, statistics.scale, mean
        probe.coef_ = (basis @ (moments / (eigen[:, None] + alpha))).T
        yield probe


def _eigen(Z: FloatArray, y: FloatArray) -> tuple[NDArray[np.float64], FloatArray, FloatArray]:
    """Return eigenvalues (r,), a (d, r) basis and (r, k) moments: ``coef = basis @ (moments / (eigenvalues + alpha))``.

    Of the covariance or, with fewer samples than features, of the Gram matrix, whichever is smaller.
    """
    from scipy.linalg import eigh

    if len(Z) >= Z.shape[1]:
        eigen, vectors = eigh(Z.T @ Z, driver="evd", check_finite=False)
        return np.maximum(eigen, 0), vectors, vectors.T @ (Z.T @ y)
    eigen, vectors = eigh(Z @ Z.T, driver="evd", check_finite=False)
    return np.maximum(eigen, 0), Z.T @ vectors, vectors.T @ y


class RidgeHead:
    """Ridge over `ALPHAS`, strongest penalty first."""

    name = "ridge"

    def candidates(
        self,
        train: tuple[FloatArray, LabelArray],
        val: tuple[FloatArray, LabelArray],
        task_type: TaskType,
        n_classes: int,
        *,
        seed: int,
        progress: Progress,
    ) -> Iterator[Candidate]:
        """Yield one probe an alpha; nothing is random and val is not looked at."""
        del val, seed, n_classes
        progress.start(len(ALPHAS), self.name, unit="settings")
        for probe in fit_path(*train, ALPHAS, task_type=task_type):
            progress.advance(1)
            yield Candidate({"alpha": probe.alpha}, probe, -np.log10(probe.alpha))
        progress.finish()
