"""Gradient-boosted trees (XGBoost, histograms), stopped early on val.

The budget is `SETTINGS`: three depths, each at most `MAX_ROUNDS` rounds and stopped once val loss has not fallen for
`PATIENCE` rounds. A histogram costs the same whether a tree uses a feature or not, so that of more than `MOST_FEATURES`
only those most correlated with a class, label or target in train are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from medfeat.heads.devices import has_gpu
from medfeat.heads.inputs import check_split, class_numbers, decide, label_matrix, target_matrix
from medfeat.heads.standardise import Standardiser, row_blocks
from medfeat.types import Candidate, FloatArray, LabelArray, Progress, TaskType

SETTINGS: tuple[dict[str, Any], ...] = ({"depth": 2, "rate": 0.3}, {"depth": 4, "rate": 0.3}, {"depth": 6, "rate": 0.2})
MAX_ROUNDS = 100
PATIENCE = 10
MOST_FEATURES = 512
MAX_BIN = 64


class BoostingProbe(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Boosted trees for every task type.

    Parameters
    ----------
    depth
        Of a tree.
    rate
        Learning rate.
    rounds
        Number of boosting rounds; with a val split the most there will be.
    task_type, n_classes, seed
        As in every head.
    """

    def __init__(
        self,
        *,
        depth: int = 4,
        rate: float = 0.1,
        rounds: int = MAX_ROUNDS,
        task_type: TaskType = "multi-class",
        n_classes: int = 2,
        seed: int = 0,
    ) -> None:
        self.depth = depth
        self.rate = rate
        self.rounds = rounds
        self.task_type = task_type
        self.n_classes = n_classes
        self.seed = seed

    def fit(self, X: FloatArray, y: LabelArray, *, val: tuple[FloatArray, LabelArray] | None = None) -> BoostingProbe:
        """Boost on (n, d) features and (n, k) labels; with `val`, keep the rounds until its loss was lowest."""
        import xgboost

        check_split(X, y, "train")
        targets = self._targets(y)
        self.features_ = _informative(X, target_matrix(y, self.task_type, self.n_classes))
        self.device_ = "cuda" if xgboost.build_info().get("USE_CUDA") and has_gpu() else "cpu"
        train = xgboost.QuantileDMatrix(self._used(X), targets, max_bin=MAX_BIN)
        parameters = {
            **_objective(self.task_type, self.n_classes),
            "tree_method": "hist",
            "device": self.device_,
            "max_bin": MAX_BIN,
            "max_depth": self.depth,
            "learning_rate": self.rate,
            "subsample": 0.8,
            "colsample_bytree": 0.5,
            "seed": self.seed,
        }
        if val is None:
            self.booster_ = xgboost.train(parameters, train, self.rounds)
            self.rounds_ = self.rounds
            return self
        check_split(*val, "val")
        watched = xgboost.QuantileDMatrix(
            self._used(val[0]), self._targets(val[1], watched=True), max_bin=MAX_BIN, ref=train
        )
        booster = xgboost.train(
            parameters,
            train,
            self.rounds,
            evals=[(watched, "val")],
            early_stopping_rounds=PATIENCE,
            verbose_eval=False,
        )
        self.booster_ = booster[: booster.best_iteration + 1]
        self.rounds_ = booster.best_iteration + 1
        return self

    def scores(self, X: FloatArray) -> FloatArray:
        """Return (n, n_classes) probabilities, or (n, k) numbers of a regression."""
        import xgboost

        found: FloatArray = self.booster_.predict(xgboost.DMatrix(self._used(X)))
        if self.task_type == "binary-class":
            return np.stack([1 - found, found], axis=1)
        return found.reshape(len(X), self.n_classes)

    predict_proba = scores

    def predict(self, X: FloatArray) -> LabelArray:
        """Return (n,) class numbers, (n, k) labels, or numbers for a regression."""
        return decide(self.scores(X), self.task_type)

    def _used(self, X: FloatArray) -> FloatArray:
        return X if len(self.features_) == X.shape[1] else X[:, self.features_]

    def _targets(self, y: LabelArray, *, watched: bool = False) -> LabelArray:
        """Return labels as XGBoost takes them; those that are only watched may hold one class."""
        if self.task_type == "regression" or (watched and self.task_type == "multi-label"):
            return y
        if self.task_type == "multi-label":
            return label_matrix(y)
        return y[:, 0] if watched else class_numbers(y, self.n_classes)


class BoostingHead:
    """Boosted trees over `SETTINGS`, shallow first."""

    name = "xgboost"

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
        """Yield one probe a depth; val decides after how many rounds each stops."""
        progress.start(len(SETTINGS), self.name, unit="settings")
        for setting in SETTINGS:
            probe = BoostingProbe(**setting, task_type=task_type, n_classes=n_classes, seed=seed)
            probe.fit(*train, val=val)
            progress.advance(1)
            # Fitting it again without val makes the rounds that val chose.
            probe.set_params(rounds=probe.rounds_)
            yield Candidate({**setting, "rounds": probe.rounds_}, probe, float(setting["depth"]))
        progress.finish()


def _informative(X: FloatArray, targets: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the positions, ascending, of the `MOST_FEATURES` features with the largest correlation with a target."""
    if X.shape[1] <= MOST_FEATURES:
        return np.arange(X.shape[1])
    T = Standardiser.fit(targets).transform(targets, dtype=np.float32)
    features = Standardiser.fit(X)
    blocks = ((rows, features.transform(X[rows], dtype=np.float32)) for rows in row_blocks(len(X)))
    products = sum((Z.T @ T[rows] for rows, Z in blocks), np.zeros((X.shape[1], T.shape[1]), dtype=np.float32))
    return np.sort(np.argsort(-np.abs(products).max(axis=1), kind="stable")[:MOST_FEATURES])


def _objective(task_type: TaskType, n_classes: int) -> dict[str, Any]:
    if task_type == "regression":
        return {"objective": "reg:squarederror"}
    if task_type in ("binary-class", "multi-label"):
        return {"objective": "binary:logistic", "eval_metric": "logloss"}
    return {"objective": "multi:softprob", "num_class": n_classes, "eval_metric": "mlogloss"}
