"""Proportional odds: one direction in feature space, and a threshold between each two neighbouring classes.

``P(y <= k) = sigmoid(threshold_k - w . x)``; McCullagh, Regression Models for Ordinal Data, JRSS B 42, 1980.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit
from sklearn.base import BaseEstimator

from medfeat.heads.inputs import check_split, class_numbers, decide, refuse_task, spread
from medfeat.heads.lbfgs import minimise
from medfeat.heads.linear import GRID
from medfeat.heads.logistic import Coordinates, coordinates, tolerances, working_dtype
from medfeat.heads.standardise import Standardiser, row_blocks
from medfeat.types import Candidate, FloatArray, LabelArray, Progress, TaskType

Vector = NDArray[np.float64]


class OrdinalProbe(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Cumulative logistic regression with an L2 penalty; with two classes it is logistic regression.

    Parameters
    ----------
    C
        Inverse strength of the penalty on the direction: minimises ``|w|^2 / 2 + C * sum(loss)``.
    n_classes
        Number of classes, in order; one absent from train gets probability 0.
    task_type
        ``ordinal-regression`` or ``binary-class``.
    tol
        Relative excess of the objective at which it counts as minimal, as in `LinearProbe`.
    """

    def __init__(
        self,
        C: float = 1.0,
        *,
        n_classes: int = 2,
        task_type: TaskType = "ordinal-regression",
        tol: float = 1e-8,
    ) -> None:
        self.C = C
        self.n_classes = n_classes
        self.task_type = task_type
        self.tol = tol

    def fit(self, X: FloatArray, y: LabelArray) -> OrdinalProbe:
        """Fit to (n, d) features and (n, 1) class numbers."""
        return next(fit_path(X, y, (self.C,), task_type=self.task_type, n_classes=self.n_classes, tol=self.tol))

    def scores(self, X: FloatArray) -> FloatArray:
        """Return (n, n_classes) probabilities."""
        blocks = [(X[rows] - self.mean_) / self.scale_ for rows in row_blocks(len(X))]
        along = np.concatenate([block @ self.coef_ for block in blocks])
        below = expit(self.thresholds_ - along[:, None])
        edges = np.hstack([np.zeros((len(X), 1)), below, np.ones((len(X), 1))])
        return spread(np.diff(edges, axis=1), self.present_, self.n_classes)

    predict_proba = scores

    def predict(self, X: FloatArray) -> LabelArray:
        """Return (n,) most probable classes."""
        return decide(self.scores(X), self.task_type)


def fit_path(
    X: FloatArray,
    y: LabelArray,
    grid: tuple[float, ...],
    *,
    task_type: TaskType,
    n_classes: int,
    tol: float = 1e-8,
) -> Iterator[OrdinalProbe]:
    """Fit one probe for each C of an ascending grid, each started from the one before.

    Raises
    ------
    DataError
        Another task type, or features or labels that cannot be learnt from.
    """
    refuse_task("ordinal", task_type, ("ordinal-regression", "binary-class"))
    check_split(X, y, "train")
    present, ranks = np.unique(class_numbers(y, n_classes), return_inverse=True)
    statistics = Standardiser.fit(X)
    space = coordinates(statistics.transform(X, dtype=working_dtype(X.size)))
    share = np.cumsum(np.bincount(ranks) / len(ranks))[:-1]
    cuts = np.log(share / (1 - share))
    # Free parameters: the direction, the first threshold, and the logarithms of the gaps between thresholds.
    solution = np.concatenate([np.zeros(space.X.shape[1]), cuts[:1], np.log(np.diff(cuts))])
    noise, tol = tolerances(space.X, tol)
    curvature = 0.25
    for C in grid:
        penalty = 1 / (C * len(X))
        # The Hessian's diagonal on the eigenvectors, with the curvature at the solution of the C before.
        diagonal = np.concatenate([curvature * space.variances + penalty, np.full(len(cuts), curvature)])
        objective = _Objective(space, ranks, penalty, 1 / np.sqrt(diagonal))
        found = minimise(objective, solution * np.sqrt(diagonal), tol=tol, noise=noise)
        solution, curvature = found.x / np.sqrt(diagonal), max(objective.curvature, 1e-9)
        probe = OrdinalProbe(C, n_classes=n_classes, task_type=task_type, tol=tol)
        probe.mean_, probe.scale_, probe.present_ = statistics.mean, statistics.scale, present
        probe.coef_ = space.original(solution[None, : -len(cuts)])[0]
        probe.thresholds_ = _thresholds(solution[-len(cuts) :])
        probe.n_iter_, probe.converged_ = found.evaluations, found.converged
        yield probe


def _thresholds(free: Vector) -> Vector:
    return np.cumsum(np.concatenate([free[:1], np.exp(free[1:])]))


class _Objective:
    """Mean negative log-likelihood plus penalty and its gradient, in coordinates divided by `scale`.

    With ``a`` and ``b`` the thresholds above and below a sample's class, minus its score, the likelihood is
    ``sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a))``, which never cancels. Keeps the mean
    curvature along the score of its last call.
    """

    def __init__(self, space: Coordinates, ranks: NDArray[np.int64], penalty: float, scale: Vector) -> None:
        self.space, self.ranks, self.penalty, self.scale = space, ranks, penalty, scale
        self.curvature = 0.0

    def __call__(self, point: Vector) -> tuple[float, Vector]:
        X, ranks = self.space.X, self.ranks
        n, r = X.shape
        solution = point * self.scale
        weights, free = solution[:r], solution[r:]
        edges = np.concatenate([[-np.inf], _thresholds(free), [np.inf]])
        along = X @ self.space.along(weights[None].astype(X.dtype))[0]
        above, below = edges[ranks + 1] - along, edges[ranks] - along
        gap = above - below
        loss = -(log_expit(above) + log_expit(-below) + np.log(-np.expm1(-gap))).sum() / n
        over, under = expit(-above), expit(below)
        self.curvature = float((over * (1 - over) + under * (1 - under)).mean())
        # Derivatives of the negative log-likelihood; a missing neighbour has an infinite gap and adds nothing.
        with np.errstate(over="ignore"):
            shared = 1 / np.expm1(gap)
        upper, lower = -(over + shared) / n, (under + shared) / n
        on_along = -(upper + lower)
        on_edges = np.bincount(ranks + 1, upper, len(edges)) + np.bincount(ranks, lower, len(edges))
        # A gap moves every threshold after it.
        after = np.cumsum(on_edges[1:-1][::-1])[::-1]
        gradient = np.empty_like(solution)
        gradient[:r] = self.space.back((on_along.astype(X.dtype) @ X)[None])[0] + self.penalty * weights
        gradient[r] = after[0]
        gradient[r + 1 :] = after[1:] * np.exp(free[1:])
        return float(loss + self.penalty / 2 * (weights @ weights)), gradient * self.scale


class OrdinalHead:
    """Proportional odds over the linear head's grid, smallest C first."""

    name = "ordinal"
    # One threshold between two classes is an intercept: the same model, fitted to the same minimum.
    same_as: ClassVar[dict[TaskType, str]] = {"binary-class": "linear"}

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
        """Yield one probe a value of C; nothing is random and val is not looked at."""
        del val, seed
        progress.start(len(GRID), self.name, unit="settings")
        for probe in fit_path(*train, GRID, task_type=task_type, n_classes=n_classes):
            progress.advance(1)
            yield Candidate({"C": probe.C}, probe, np.log10(probe.C))
        progress.finish()
