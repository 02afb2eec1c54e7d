"""Nearest class mean by angle: the head of few labels (Snell et al., Prototypical networks, NeurIPS 2017)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from medfeat.heads.inputs import CLASS_TASKS, check_split, decide, refuse_task, spread
from medfeat.heads.linear import varying_targets
from medfeat.heads.standardise import Standardiser
from medfeat.types import Candidate, FloatArray, LabelArray, Progress, TaskType

TEMPERATURES = (1.0, 0.1, 0.03)


class PrototypesProbe(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Softmax over the cosines between a sample and the mean of each class's unit vectors.

    Parameters
    ----------
    temperature
        By which cosines are divided; small is sure of the nearest.
    standardised
        Standardise features before measuring angles.
    task_type, n_classes
        As in every head; a label is its mean against the mean of all others. A class absent from train gets
        probability 0.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        *,
        standardised: bool = False,
        task_type: TaskType = "multi-class",
        n_classes: int = 2,
    ) -> None:
        self.temperature = temperature
        self.standardised = standardised
        self.task_type = task_type
        self.n_classes = n_classes

    def fit(self, X: FloatArray, y: LabelArray) -> PrototypesProbe:
        """Average (n, d) features by (n, k) labels."""
        refuse_task("prototypes", self.task_type, (*CLASS_TASKS, "multi-label"))
        check_split(X, y, "train")
        d = X.shape[1]
        statistics = Standardiser.fit(X) if self.standardised else Standardiser(np.zeros(d), np.ones(d))
        self.mean_, self.scale_ = statistics.mean, statistics.scale
        targets, self.present_, _ = varying_targets(y, self.task_type, self.n_classes)
        self.chance_ = y.mean(axis=0) if self.task_type == "multi-label" else np.zeros(self.n_classes)
        unit = self._unit(X)
        self.towards_, self.away_ = (_directions(unit, part) for part in (targets, 1 - targets))
        return self

    def scores(self, X: FloatArray) -> FloatArray:
        """Return (n, n_classes) probabilities of (n, d) features."""
        unit = self._unit(X)
        near = unit @ self.towards_.T / self.temperature
        several = self.task_type == "multi-label"
        if several or near.shape[1] == 1:
            p = 1 / (1 + np.exp(unit @ self.away_.T / self.temperature - near))
            if several:
                full = np.tile(self.chance_, (len(p), 1)).astype(np.float64)
                full[:, self.present_] = p
                return full
            p = np.hstack([1 - p, p])
        else:
            odds = np.exp(near - near.max(axis=1, keepdims=True))
            p = odds / odds.sum(axis=1, keepdims=True)
        return spread(p, self.present_, self.n_classes)

    predict_proba = scores

    def predict(self, X: FloatArray) -> LabelArray:
        """Return (n,) class numbers, or (n, k) 0/1 labels at a threshold of 0.5."""
        return decide(self.scores(X), self.task_type)

    def _unit(self, X: FloatArray) -> NDArray[np.float64]:
        Z = Standardiser(self.mean_, self.scale_).transform(X)
        return np.asarray(Z / np.maximum(np.linalg.norm(Z, axis=1, keepdims=True), np.finfo(np.float64).tiny))


def _directions(unit: NDArray[np.float64], members: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (c, d) means over each column's members, at length one."""
    means = members.T @ unit
    return np.asarray(means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), np.finfo(np.float64).tiny))


class PrototypesHead:
    """Prototypes over `TEMPERATURES`, with features as they are and standardised; soft ones first."""

    name = "prototypes"

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
        """Yield one probe a setting; nothing is random and val is not looked at."""
        del val, seed
        progress.start(2 * len(TEMPERATURES), self.name, unit="settings")
        for temperature in TEMPERATURES:
            for flag in (False, True):
                probe = PrototypesProbe(temperature, standardised=flag, task_type=task_type, n_classes=n_classes)
                progress.advance(1)
                yield Candidate({"temperature": temperature, "standardised": flag}, probe.fit(*train), 1 / temperature)
        progress.finish()
