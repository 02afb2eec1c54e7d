"""L2 logistic regression on standardised features: multi-class, binary and multi-label; ordinal sets as multi-class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from medfeat.errors import DataError
from medfeat.heads.class_weights import BALANCED, NONE, sample_weights, weight_settings, weights_tried
from medfeat.heads.devices import device_of, on_gpu
from medfeat.heads.inputs import CLASS_TASKS, check_split, class_numbers, decide, label_matrix, refuse_task, spread
from medfeat.heads.logistic import Link, solve_path, working_dtype
from medfeat.heads.standardise import Standardiser, row_blocks
from medfeat.types import Candidate, FloatArray, LabelArray, Progress, TaskType

GRID = tuple(10.0 ** (half / 2) for half in range(-10, 5))


class LinearProbe(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Logistic regression, equal to scikit-learn's ``LogisticRegression(C)`` behind a ``StandardScaler``.

    Parameters
    ----------
    C
        Inverse strength of the L2 penalty; the intercept is free.
    task_type
        Multi-label fits an independent sigmoid a label, the others a softmax (binary: one sigmoid, two columns).
    n_classes
        Number of classes, or of labels; a class absent from train gets probability 0.
    tol
        Relative excess of the objective at which it counts as minimal; at least 1e-6 for more than 8 million numbers,
        where products run in float32.
    class_weight
        ``none``, or ``balanced``: every class (or label and its absence) counts alike.
    """

    def __init__(
        self,
        C: float = 1.0,
        *,
        task_type: TaskType = "multi-class",
        n_classes: int = 2,
        tol: float = 1e-8,
        class_weight: str = NONE,
    ) -> None:
        self.C = C
        self.task_type = task_type
        self.n_classes = n_classes
        self.tol = tol
        self.class_weight = class_weight

    def fit(self, X: FloatArray, y: LabelArray) -> LinearProbe:
        """Fit to (n, d) features and (n, k) labels."""
        return next(fit_path(X, y, (self.C,), **{key: part for key, part in self.get_params().items() if key != "C"}))

    def scores(self, X: FloatArray) -> FloatArray:
        """Return (n, n_classes) probabilities of (n, d) features."""
        return self.scores_of(np.concatenate([self._logits(X[rows]) for rows in row_blocks(len(X))]))

    def scores_of(self, logits: FloatArray) -> FloatArray:
        """Return (n, n_classes) probabilities of (n, c) logits, one a class (or label) that varies in train."""
        if self.task_type == "multi-label":
            full = np.tile(self.chance_, (len(logits), 1))
            full[:, self.present_] = _sigmoid(logits)
            return full
        if logits.shape[1] == 1:
            positive = _sigmoid(logits)
            return spread(np.hstack([1 - positive, positive]), self.present_, self.n_classes)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return spread(odds / odds.sum(axis=1, keepdims=True), self.present_, self.n_classes)

    predict_proba = scores

    def predict(self, X: FloatArray) -> LabelArray:
        """Return (n,) class numbers, or (n, k) 0/1 labels at a threshold of 0.5."""
        return decide(self.scores(X), self.task_type)

    def _logits(self, X: FloatArray) -> FloatArray:
        logits: FloatArray = ((X - self.mean_) / self.scale_) @ self.coef_.T + self.intercept_
        return logits


def fit_path(
    X: FloatArray,
    y: LabelArray,
    grid: tuple[float, ...],
    *,
    task_type: TaskType,
    n_classes: int,
    tol: float = 1e-8,
    class_weight: str = NONE,
) -> Iterator[LinearProbe]:
    """Fit one probe for each C of an ascending grid; each costs far less than a fit of its own.

    Parameters
    ----------
    X, y
        (n, d) features and (n, k) labels of train.
    grid
        Values of C, ascending.
    task_type, n_classes, tol, class_weight
        As in `LinearProbe`.

    Yields
    ------
    LinearProbe
        Fitted, in the grid's order.

    Raises
    ------
    DataError
        Features or labels that cannot be learnt from; see `medfeat.heads.inputs`.
    """
    refuse_task("linear", task_type, (*CLASS_TASKS, "multi-label"))
    check_split(X, y, "train")
    if min(grid) <= 0:
        raise DataError(f"C must be positive, got {min(grid)}")
    targets, present, link = varying_targets(y, task_type, n_classes)
    statistics = Standardiser.fit(X)
    standardised = statistics.transform(X, dtype=working_dtype(X.size))
    chance = (y if task_type == "multi-label" else targets).mean(axis=0)
    # What is small enough for float64 is solved before a GPU has woken up.
    features = standardised if standardised.dtype == np.float64 else on_gpu(standardised)
    counts = sample_weights(targets) if class_weight == BALANCED else None
    asked: dict[str, Any] = {"task_type": task_type, "n_classes": n_classes, "tol": tol, "class_weight": class_weight}
    for weights in solve_path(features, targets, grid, link=link, tol=tol, sample_weights=counts):
        probe = LinearProbe(weights.C, **asked)
        probe.mean_, probe.scale_ = statistics.mean, statistics.scale
        probe.present_, probe.chance_ = present, chance
        probe.coef_, probe.intercept_ = weights.coef, weights.intercept
        probe.n_iter_, probe.converged_, probe.device_ = weights.evaluations, weights.converged, device_of(features)
        yield probe


class LinearHead:
    """The linear probe over `GRID`, smallest C first."""

    name = "linear"

    def __init__(self, class_weight: str = NONE) -> None:
        self.class_weight = class_weight

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
        tried = weights_tried(self.class_weight)
        progress.start(len(tried) * len(GRID), "linear", unit="settings")
        for how in tried:
            for probe in fit_path(*train, GRID, task_type=task_type, n_classes=n_classes, class_weight=how):
                progress.advance(1)
                settings = {"C": probe.C, **weight_settings(how, self.class_weight)}
                yield Candidate(settings, probe, np.log10(probe.C))
        progress.finish()


def varying_targets(
    y: LabelArray, task_type: TaskType, n_classes: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], Link]:
    """Return (n, c) 0/1 targets without constant columns, the classes or labels they stand for, and the link."""
    if task_type == "multi-label":
        Y = label_matrix(y)
        varies = np.flatnonzero((Y[:1] != Y).any(axis=0))
        return Y[:, varies].astype(np.float64), varies, "sigmoid"
    numbers = class_numbers(y, n_classes)
    present = np.unique(numbers)
    onehot = (numbers[:, None] == present).astype(np.float64)
    return (onehot[:, 1:], present, "sigmoid") if len(present) == 2 else (onehot, present, "softmax")


def _sigmoid(logits: FloatArray) -> FloatArray:
    odds = np.exp(-np.abs(logits))
    probability: FloatArray = np.where(logits >= 0, 1.0, odds) / (1 + odds)
    return probability
