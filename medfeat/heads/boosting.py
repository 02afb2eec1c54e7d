"""Gradient-boosted trees (XGBoost, histograms), stopped early on val.

The budget is `SETTINGS`: three depths, each at most `MAX_ROUNDS` rounds and stopped once val loss has not fallen for
`PATIENCE` rounds. A histogram costs the same whether a tree uses a feature or not, so that of more than `MOST_FEATURES`
only those most correlated with a class, label or target in train are used.

A budget in seconds is turned into depths and rounds before anything is trained, by what a tree costs on one core of a
2024 server: the same command grows the same trees wherever it runs, and however busy the machine is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
FEWEST_ROUNDS = 20
# Seconds of one core, measured: of binning a number; of a level of a tree for each row and feature; of a feature of
# each node. They decide what a budget buys and nothing else.
BIN_SECONDS, ROW_SECONDS, NODE_SECONDS = 1.6e-7, 1.2e-9, 5e-7


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

    def fit(
        self,
        X: FloatArray,
        y: LabelArray,
        *,
        val: tuple[FloatArray, LabelArray] | None = None,
        binned: Binned | None = None,
    ) -> BoostingProbe:
        """Boost on (n, d) features and (n, k) labels; with `val`, keep the rounds until its loss was lowest.

        `binned` is what was already made of the same splits.
        """
        import xgboost

        check_split(X, y, "train")
        binned = binned or Binned.of((X, y), val, self.task_type, self.n_classes)
        self.features_, train = binned.features, binned.train
        self.device_ = "cuda" if xgboost.build_info().get("USE_CUDA") and has_gpu() else "cpu"
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
        if binned.val is None:
            self.booster_ = xgboost.train(parameters, train, self.rounds)
            self.rounds_ = self.rounds
            return self
        booster = xgboost.train(
            parameters,
            train,
            self.rounds,
            evals=[(binned.val, "val")],
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
        return _columns(X, self.features_)


@dataclass(frozen=True)
class Binned:
    """Train, and val where there is one, as histograms are made of them: once for trees of every depth.

    Attributes
    ----------
    features
        Positions of the features that are used.
    train, val
        What XGBoost takes; the bins of val are those of train.
    """

    features: NDArray[np.int64]
    train: Any
    val: Any

    @classmethod
    def of(
        cls,
        train: tuple[FloatArray, LabelArray],
        val: tuple[FloatArray, LabelArray] | None,
        task_type: TaskType,
        n_classes: int,
    ) -> Binned:
        """Choose the features by train, and sort every number into its bin."""
        import xgboost

        check_split(*train, "train")
        X, y = train
        targets = _targets(y, task_type, n_classes)
        features = _informative(X, target_matrix(y, task_type, n_classes))
        bins = xgboost.QuantileDMatrix(_columns(X, features), targets, max_bin=MAX_BIN)
        if val is None:
            return cls(features, bins, None)
        check_split(*val, "val")
        watched = _targets(val[1], task_type, n_classes, watched=True)
        seen = xgboost.QuantileDMatrix(_columns(val[0], features), watched, max_bin=MAX_BIN, ref=bins)
        return cls(features, bins, seen)


def _columns(X: FloatArray, features: NDArray[np.int64]) -> FloatArray:
    return X if len(features) == X.shape[1] else X[:, features]


def _targets(y: LabelArray, task_type: TaskType, n_classes: int, *, watched: bool = False) -> LabelArray:
    """Return labels as XGBoost takes them; those that are only watched may hold one class."""
    if task_type == "regression" or (watched and task_type == "multi-label"):
        return y
    if task_type == "multi-label":
        return label_matrix(y)
    return y[:, 0] if watched else class_numbers(y, n_classes)


def planned(budget: float | None, rows: int, features: int, trees: int) -> list[dict[str, Any]]:
    """Return the settings that a budget buys, each with the most ``rounds`` it may take.

    Parameters
    ----------
    budget
        In seconds of one core; None for everything.
    rows, features
        Of train; at most `MOST_FEATURES` features count.
    trees
        That a round grows: one a class, label or target, one in all for two classes.

    Examples
    --------
    >>> [(one["depth"], one["rounds"]) for one in planned(10, 10_000, 512, 8)]
    [(2, 27), (4, 27)]
    """
    settings = [{**one, "rounds": MAX_ROUNDS} for one in SETTINGS]
    if budget is None:
        return settings
    used = min(features, MOST_FEATURES)
    left = budget - BIN_SECONDS * rows * used
    while settings:
        a_round = sum(
            trees * used * (ROW_SECONDS * rows * one["depth"] + NODE_SECONDS * 2 ** one["depth"]) for one in settings
        )
        rounds = max(int(min(left / a_round, MAX_ROUNDS)), 1)
        if rounds >= FEWEST_ROUNDS or len(settings) == 1:
            break
        settings.pop()  # the deepest costs most: fewer depths, each with enough rounds
    return [{**one, "rounds": rounds} for one in settings]


class BoostingHead:
    """Boosted trees over `SETTINGS`, shallow first.

    Parameters
    ----------
    budget
        Seconds of one core that training may take, by `planned`; None for all of `SETTINGS`.
    """

    name = "xgboost"

    def __init__(self, budget: float | None = None) -> None:
        if budget is not None:  # without one, the head is what it was
            self.budget = budget

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
        budget = getattr(self, "budget", None)
        check_split(*train, "train")
        rows, features = train[0].shape
        settings = planned(budget, rows, features, 1 if task_type == "binary-class" else n_classes)
        progress.start(len(settings), self.name, unit="settings")
        binned = Binned.of(train, val, task_type, n_classes)
        for setting in settings:
            probe = BoostingProbe(**setting, task_type=task_type, n_classes=n_classes, seed=seed)
            probe.fit(*train, val=val, binned=binned)
            progress.advance(1)
            # Fitting it again without val makes the rounds that val chose.
            probe.set_params(rounds=probe.rounds_)
            limits = {} if budget is None else {"budget": budget, "most_rounds": setting["rounds"]}
            yield Candidate({**setting, "rounds": probe.rounds_, **limits}, probe, float(setting["depth"]))
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
