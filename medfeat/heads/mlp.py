"""A small multi-layer perceptron on standardised features (scikit-learn's), for every task type."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from medfeat.heads.inputs import check_split, class_numbers, decide, label_matrix, spread
from medfeat.heads.standardise import Standardiser
from medfeat.types import Candidate, FloatArray, LabelArray, Progress, TaskType

SETTINGS: tuple[dict[str, Any], ...] = (
    {"hidden": 64, "alpha": 10.0},
    {"hidden": 64, "alpha": 1.0},
    {"hidden": 256, "alpha": 10.0},
    {"hidden": 256, "alpha": 1.0},
)
EPOCHS = 40


class PerceptronProbe(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """One hidden layer of rectified units, trained by Adam.

    Parameters
    ----------
    hidden
        Number of hidden units.
    alpha
        Strength of the L2 penalty.
    epochs
        Most passes over train; fewer when the training loss no longer falls.
    task_type, n_classes, seed
        As in every head.
    """

    def __init__(
        self,
        *,
        hidden: int = 64,
        alpha: float = 1.0,
        epochs: int = EPOCHS,
        task_type: TaskType = "multi-class",
        n_classes: int = 2,
        seed: int = 0,
    ) -> None:
        self.hidden = hidden
        self.alpha = alpha
        self.epochs = epochs
        self.task_type = task_type
        self.n_classes = n_classes
        self.seed = seed

    def fit(self, X: FloatArray, y: LabelArray) -> PerceptronProbe:
        """Train on (n, d) features and (n, k) labels or numbers."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        check_split(X, y, "train")
        statistics = Standardiser.fit(X)
        self.mean_, self.scale_ = statistics.mean, statistics.scale
        targets = self._targets(y)
        kind = MLPRegressor if self.task_type == "regression" else MLPClassifier
        network = kind(
            hidden_layer_sizes=(self.hidden,),
            alpha=self.alpha,
            max_iter=self.epochs,
            random_state=self.seed,
            # A small train split still gets sixteen steps an epoch.
            batch_size=min(200, max(8, len(X) // 16), len(X)),
        )
        with warnings.catch_warnings():
            # The number of epochs is a setting, not a failure.
            warnings.simplefilter("ignore", ConvergenceWarning)
            network.fit(statistics.transform(X, dtype=np.float32), targets)
        # Adam's moments are as large as the network and of no use any more.
        del network._optimizer
        self.network_ = network
        return self

    def scores(self, X: FloatArray) -> FloatArray:
        """Return (n, n_classes) probabilities, or (n, k) numbers of a regression."""
        Z = Standardiser(self.mean_, self.scale_).transform(X, dtype=np.float32)
        if self.task_type == "regression":
            found: FloatArray = self.network_.predict(Z).reshape(len(X), -1).astype(np.float64)
            return self.centre_ + found * self.spread_
        found = self.network_.predict_proba(Z).astype(np.float64)
        if self.task_type == "multi-label":
            return found[:, -self.n_classes :]
        return spread(found, self.network_.classes_, self.n_classes)

    predict_proba = scores

    def predict(self, X: FloatArray) -> LabelArray:
        """Return (n,) class numbers, (n, k) labels, or numbers for a regression."""
        return decide(self.scores(X), self.task_type)

    def _targets(self, y: LabelArray) -> LabelArray:
        if self.task_type == "regression":
            # The optimiser's steps have the size of standardised targets.
            statistics = Standardiser.fit(y.astype(np.float64))
            self.centre_, self.spread_ = statistics.mean, statistics.scale
            targets = (y - self.centre_) / self.spread_
            return targets[:, 0] if targets.shape[1] == 1 else targets
        if self.task_type == "multi-label":
            labels = label_matrix(y)
            return labels[:, 0] if labels.shape[1] == 1 else labels
        return class_numbers(y, self.n_classes)


class PerceptronHead:
    """Perceptrons over `SETTINGS`, or some of them; small and strongly penalised first."""

    name = "mlp"

    def __init__(self, settings: Sequence[dict[str, Any]] = SETTINGS) -> None:
        if settings is not SETTINGS:  # with all of them, the head is what it was
            self.settings = settings

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
        """Yield one network a setting; val is not looked at."""
        del val
        settings = getattr(self, "settings", SETTINGS)
        progress.start(len(settings), self.name, unit="settings")
        for order, setting in enumerate(settings):
            probe = PerceptronProbe(**setting, task_type=task_type, n_classes=n_classes, seed=seed).fit(*train)
            progress.advance(1)
            yield Candidate(dict(setting), probe, float(order))
        progress.finish()
