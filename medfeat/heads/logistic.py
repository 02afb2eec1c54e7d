"""The whole regularisation path of L2 logistic regression in one go.

Minimises ``|w|^2 / 2 + C * sum(loss)`` for each C with the intercept free: the objective of scikit-learn's
``LogisticRegression``. Three things make it fast, none of which changes the solution:

* with fewer samples than features the solution lies in the row space, so the features are first reduced to it (QR);
* the problem is solved in coordinates in which its Hessian is near the identity: the eigenvectors of the features'
  covariance, computed once, scaled for each C by the curvature at the solution of the C before;
* each C starts where the solutions of the two before point to: the path is nearly straight in log C.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medfeat.heads.lbfgs import minimise
from medfeat.types import FloatArray

Link = Literal["softmax", "sigmoid"]
_Loss = Callable[[FloatArray, NDArray[np.float64]], tuple[float, NDArray[np.float64]]]

# Above this many numbers the products run in float32 (the sums over samples stay float64).
DOUBLE_SIZE = 1 << 23
# Above this many coordinates an eigendecomposition costs more than the iterations it saves.
EIGEN_LIMIT = 6144


@dataclass(frozen=True)
class Weights:
    """A solution: the logits of standardised features are ``X @ coef.T + intercept``.

    Attributes
    ----------
    C
        Inverse strength of the penalty.
    coef, intercept
        (c, d) and (c,) float64; c classes (softmax) or labels (sigmoid).
    evaluations
        How often loss and gradient were computed for this C.
    converged
        Whether the tolerance was met.
    """

    C: float
    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]
    evaluations: int
    converged: bool


@dataclass(frozen=True)
class Coordinates:
    """Features in fewer coordinates, and the eigenvectors of their covariance there."""

    X: FloatArray
    row_space: FloatArray | None
    vectors: FloatArray | None
    variances: NDArray[np.float64]

    def along(self, weights: FloatArray) -> FloatArray:
        """Return (c, r) weights on the eigenvectors as weights on the columns of `X`."""
        return weights if self.vectors is None else weights @ self.vectors.T

    def back(self, gradient: FloatArray) -> FloatArray:
        """Return a (c, r) gradient by the columns of `X` as one by the eigenvectors."""
        return gradient if self.vectors is None else gradient @ self.vectors

    def original(self, weights: FloatArray) -> NDArray[np.float64]:
        """Return (c, d) weights on the features that were given."""
        inner = self.along(weights)
        return (inner if self.row_space is None else inner @ self.row_space.T).astype(np.float64)


def working_dtype(size: int) -> type[np.float64] | type[np.float32]:
    """Return the precision of the products for features of `size` numbers."""
    return np.float64 if size <= DOUBLE_SIZE else np.float32


def solve_path(
    X: FloatArray, targets: NDArray[np.float64], grid: Sequence[float], *, link: Link, tol: float = 1e-8
) -> Iterator[Weights]:
    """Solve for each C of an ascending grid.

    Parameters
    ----------
    X
        (n, d) standardised features (each column has mean 0).
    targets
        (n, c) 0/1: one-hot classes for ``softmax``, labels for ``sigmoid``; no column may be constant.
    grid
        Values of C, ascending.
    link
        ``softmax`` over the columns, or an independent ``sigmoid`` for each.
    tol
        Relative excess of the objective at which a solution counts as found; at least 1e-6 in float32.

    Yields
    ------
    Weights
        One a value of C, in the grid's order.
    """
    dtype = working_dtype(X.size)
    space = coordinates(X.astype(dtype, copy=False))
    T = np.ascontiguousarray(targets.T, dtype=np.float64)
    loss = _softmax if link == "softmax" else _sigmoid
    n, c = len(X), len(T)
    chance = T.mean(axis=1, keepdims=True)
    weights = np.zeros((c, space.X.shape[1] + 1))
    weights[:, -1:] = np.log(chance) if link == "softmax" else np.log(chance / (1 - chance))
    curvature = chance * (1 - chance)
    # Products in float32 leave the mean loss this much in doubt; below it no step can be told from no step.
    noise, tol = (1e-15, tol) if dtype == np.float64 else (1e-8, max(tol, 1e-6))
    solved: deque[tuple[float, NDArray[np.float64]]] = deque(maxlen=2)
    for C in grid:
        # Columns: the Hessian's diagonal on the eigenvectors, then that of the intercept.
        scale = 1 / np.sqrt(np.hstack([curvature * space.variances + 1 / (C * n), curvature]))
        objective = _Objective(space, T, loss, 1 / (C * n), scale)
        if len(solved) == 2:
            weights = _beyond(solved[0], solved[1], C)
        found = minimise(objective, (weights / scale).ravel(), tol=tol, noise=noise)
        weights = found.x.reshape(c, -1) * scale
        solved.append((C, weights))
        curvature = np.maximum(objective.curvature, 1e-9)
        intercept = weights[:, -1] - (weights[:, -1].mean() if link == "softmax" else 0.0)
        yield Weights(C, space.original(weights[:, :-1].astype(dtype)), intercept, found.evaluations, found.converged)


def _beyond(
    first: tuple[float, NDArray[np.float64]], second: tuple[float, NDArray[np.float64]], C: float
) -> NDArray[np.float64]:
    """Return the weights at `C` on the line in log C through those of two smaller values."""
    ahead = np.log(C / second[0]) / np.log(second[0] / first[0])
    beyond: NDArray[np.float64] = second[1] + (second[1] - first[1]) * ahead
    return beyond


def coordinates(X: FloatArray) -> Coordinates:
    """Reduce to the row space when there are fewer samples than features, and find the covariance's eigenvectors."""
    from scipy.linalg import eigh, qr

    row_space = None
    if len(X) < X.shape[1]:
        row_space, triangle = qr(X.T, mode="economic", check_finite=False)
        X = np.ascontiguousarray(triangle.T)
    r = X.shape[1]
    if r > EIGEN_LIMIT:
        return Coordinates(X, row_space, None, np.ones(r))
    # Any orthogonal basis keeps the problem the same, so that a sample of the rows is enough to find a good one.
    sample = X[:: max(1, len(X) // (8 * r))]
    variances, vectors = eigh(sample.T @ sample / len(sample), driver="evd", check_finite=False)
    return Coordinates(X, row_space, vectors, np.maximum(variances, 0).astype(np.float64))


class _Objective:
    """Mean loss plus penalty and its gradient, in coordinates divided by `scale`; keeps the last mean curvature."""

    def __init__(
        self,
        space: Coordinates,
        targets: NDArray[np.float64],
        loss: _Loss,
        penalty: float,
        scale: NDArray[np.float64],
    ) -> None:
        self.space, self.targets, self.loss, self.penalty, self.scale = space, targets, loss, penalty, scale
        self.curvature = np.zeros((len(targets), 1))

    def __call__(self, point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        X, n = self.space.X, self.targets.shape[1]
        weights = point.reshape(self.scale.shape) * self.scale
        slopes, intercept = weights[:, :-1], weights[:, -1:]
        logits = (self.space.along(slopes.astype(X.dtype)) @ X.T) + intercept
        total, residual = self.loss(logits, self.targets)
        probability = residual + self.targets
        self.curvature = (probability * (1 - probability)).mean(axis=1, keepdims=True)
        residual /= n
        gradient = np.empty_like(weights)
        gradient[:, :-1] = self.space.back(residual.astype(X.dtype) @ X) + self.penalty * slopes
        gradient[:, -1] = residual.sum(axis=1)
        value = total / n + self.penalty / 2 * float(np.square(slopes).sum())
        return value, (gradient * self.scale).ravel()


def _softmax(logits: FloatArray, targets: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Return the summed cross-entropy and (c, n) probability minus target."""
    logits = logits - logits.max(axis=0)
    odds = np.exp(logits)
    total = odds.sum(axis=0)
    return float(np.log(total).sum() - (logits * targets).sum()), odds / total - targets


def _sigmoid(logits: FloatArray, targets: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Return the summed logistic loss over all labels and (c, n) probability minus target."""
    odds = np.exp(-np.abs(logits))
    loss = np.maximum(logits, 0) - logits * targets + np.log1p(odds)
    return float(loss.sum()), np.where(logits >= 0, 1.0, odds) / (1 + odds) - targets
