"""The whole regularisation path of L2 logistic regression in one go.

Minimises ``|w|^2 / 2 + C * sum(loss)`` for each C with the intercept free: the objective of scikit-learn's
``LogisticRegression``. Three things make it fast, none of which changes the solution:

* with fewer samples than features the solution lies in the row space, so the features are first reduced to it (QR);
* the problem is solved in coordinates in which its Hessian is near the identity: the eigenvectors of the features'
  covariance, computed once, scaled for each C by the curvature at the solution of the C before;
* each C starts where the solutions of the two before point to: the path is nearly straight in log C.

The features may be a numpy array or a tensor on a GPU (the array API): all that touches them is computed where they
lie. The minimiser's own few numbers stay on the processor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace, device, to_device
from numpy.typing import NDArray

from medfeat.heads.lbfgs import minimise

Link = Literal["softmax", "sigmoid"]
# A numpy array or a tensor; the array API has no type of its own.
Array = Any
_Loss = Callable[[Array, Array], tuple[Array, Array]]

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

    X: Array
    row_space: Array | None
    vectors: Array | None
    variances: NDArray[np.float64]

    def along(self, weights: Array) -> Array:
        """Return (c, r) weights on the eigenvectors as weights on the columns of `X`."""
        return weights if self.vectors is None else weights @ self.vectors.T

    def back(self, gradient: Array) -> Array:
        """Return a (c, r) gradient by the columns of `X` as one by the eigenvectors."""
        return gradient if self.vectors is None else gradient @ self.vectors

    def original(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (c, d) weights on the features that were given."""
        inner = self.along(beside(weights, self.X, self.X.dtype))
        return on_host(inner if self.row_space is None else inner @ self.row_space.T).astype(np.float64)


def working_dtype(size: int) -> type[np.float64] | type[np.float32]:
    """Return the precision of the products for features of `size` numbers."""
    return np.float64 if size <= DOUBLE_SIZE else np.float32


def tolerances(X: Array, tol: float) -> tuple[float, float]:
    """Return the relative rounding noise of a mean loss over `X`, and the tolerance that can be met beside it."""
    # Products in float32 leave the loss this much in doubt; below it no step can be told from no step.
    return (1e-15, tol) if X.dtype == array_namespace(X).float64 else (1e-8, max(tol, 1e-6))


def solve_path(
    X: Array,
    targets: NDArray[np.float64],
    grid: Sequence[float],
    *,
    link: Link,
    tol: float = 1e-8,
    sample_weights: NDArray[np.float64] | None = None,
) -> Iterator[Weights]:
    """Solve for each C of an ascending grid.

    Parameters
    ----------
    X
        (n, d) standardised features (each column has mean 0) in `working_dtype`, wherever they lie.
    targets
        (n, c) 0/1: one-hot classes for ``softmax``, labels for ``sigmoid``; no column may be constant.
    grid
        Values of C, ascending.
    link
        ``softmax`` over the columns, or an independent ``sigmoid`` for each.
    tol
        Relative excess of the objective at which a solution counts as found; at least 1e-6 in float32.
    sample_weights
        (n, c) how much each sample counts in each column, of mean 1; the same in all columns for ``softmax``.

    Yields
    ------
    Weights
        One a value of C, in the grid's order.
    """
    space = coordinates(X)
    T = np.ascontiguousarray(targets.T, dtype=np.float64)
    n, c = len(X), len(T)
    W = np.ones((1, 1)) if sample_weights is None else np.ascontiguousarray(sample_weights.T, dtype=np.float64)
    chance = (T * W).mean(axis=1, keepdims=True)
    weights = np.zeros((c, space.X.shape[1] + 1))
    weights[:, -1:] = np.log(chance) if link == "softmax" else np.log(chance / (1 - chance))
    curvature = chance * (1 - chance)
    noise, tol = tolerances(X, tol)
    loss, T, W = _softmax if link == "softmax" else _sigmoid, beside(T, X), beside(W, X)
    solved: deque[tuple[float, NDArray[np.float64]]] = deque(maxlen=2)
    for C in grid:
        # Columns: the Hessian's diagonal on the eigenvectors, then that of the intercept.
        scale = 1 / np.sqrt(np.hstack([curvature * space.variances + 1 / (C * n), curvature]))
        objective = _Objective(space, (T, W), loss, 1 / (C * n), scale)
        if len(solved) == 2:
            weights = _beyond(solved[0], solved[1], C)
        found = minimise(objective, (weights / scale).ravel(), tol=tol, noise=noise)
        weights = found.x.reshape(c, -1) * scale
        solved.append((C, weights))
        curvature = np.maximum(objective.curvature, 1e-9)
        intercept = weights[:, -1] - (weights[:, -1].mean() if link == "softmax" else 0.0)
        yield Weights(C, space.original(weights[:, :-1]), intercept, found.evaluations, found.converged)


def _beyond(
    first: tuple[float, NDArray[np.float64]], second: tuple[float, NDArray[np.float64]], C: float
) -> NDArray[np.float64]:
    """Return the weights at `C` on the line in log C through those of two smaller values."""
    ahead = np.log(C / second[0]) / np.log(second[0] / first[0])
    beyond: NDArray[np.float64] = second[1] + (second[1] - first[1]) * ahead
    return beyond


def coordinates(X: Array) -> Coordinates:
    """Reduce to the row space when there are fewer samples than features, and find the covariance's eigenvectors."""
    linalg = array_namespace(X).linalg
    row_space = None
    if X.shape[0] < X.shape[1]:
        row_space, triangle = linalg.qr(X.T)
        X = triangle.T
    r = X.shape[1]
    if r > EIGEN_LIMIT:
        return Coordinates(X, row_space, None, np.ones(r))
    # Any orthogonal basis keeps the problem the same, so that a sample of the rows is enough to find a good one.
    sample = X[:: max(1, len(X) // (8 * r))]
    variances, vectors = linalg.eigh(sample.T @ sample / len(sample))
    return Coordinates(X, row_space, vectors, np.maximum(on_host(variances), 0).astype(np.float64))


def beside(numbers: NDArray[np.float64], X: Array, dtype: Any = None) -> Array:
    """Return numpy numbers as an array of the same kind as `X`, on its device."""
    return array_namespace(X).asarray(numbers, dtype=dtype, device=device(X))


def on_host(numbers: Array) -> NDArray[np.float64]:
    """Return an array as a numpy array."""
    return np.asarray(to_device(numbers, "cpu"))


class _Objective:
    """Mean loss plus penalty and its gradient, in coordinates divided by `scale`; keeps the last mean curvature."""

    def __init__(
        self,
        space: Coordinates,
        targets: tuple[Array, Array],
        loss: _Loss,
        penalty: float,
        scale: NDArray[np.float64],
    ) -> None:
        self.space, self.loss, self.penalty, self.scale = space, loss, penalty, scale
        self.targets, self.counts = targets  # and how much each counts
        self.curvature = np.zeros((len(targets), 1))

    def __call__(self, point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        X, n = self.space.X, self.targets.shape[1]
        xp = array_namespace(X)
        weights = point.reshape(self.scale.shape) * self.scale
        slopes, intercept = weights[:, :-1], weights[:, -1:]
        logits = (self.space.along(beside(slopes, X, X.dtype)) @ X.T) + beside(intercept, X)
        losses, residual = self.loss(logits, self.targets)
        # One row for a softmax, whose columns share their weights; a row a column otherwise.
        total = float(xp.sum(losses * self.counts[: losses.shape[0]]))
        probability = residual + self.targets
        self.curvature = on_host(xp.mean(probability * (1 - probability) * self.counts, axis=1, keepdims=True))
        residual = residual * self.counts / n
        gradient = np.empty_like(weights)
        gradient[:, :-1] = on_host(self.space.back(xp.astype(residual, X.dtype) @ X)) + self.penalty * slopes
        gradient[:, -1] = on_host(xp.sum(residual, axis=1))
        value = total / n + self.penalty / 2 * float(np.square(slopes).sum())
        return value, (gradient * self.scale).ravel()


def _softmax(logits: Array, targets: Array) -> tuple[Array, Array]:
    """Return the (1, n) cross-entropies and (c, n) probability minus target."""
    xp = array_namespace(logits)
    logits = logits - xp.max(logits, axis=0)
    odds = xp.exp(logits)
    total = xp.sum(odds, axis=0)
    losses = xp.log(total) - xp.sum(logits * targets, axis=0)
    return losses[None, :], odds / total - targets


def _sigmoid(logits: Array, targets: Array) -> tuple[Array, Array]:
    """Return the (c, n) logistic losses and (c, n) probability minus target."""
    xp = array_namespace(logits)
    odds = xp.exp(-xp.abs(logits))
    loss = xp.clip(logits, min=0.0) - logits * targets + xp.log1p(odds)
    return loss, xp.where(logits >= 0, 1.0, odds) / (1 + odds) - targets
