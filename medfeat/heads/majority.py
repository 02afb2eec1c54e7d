"""The baseline every head must beat: the class frequencies of train, whatever the image (regression: the mean)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.base import BaseEstimator

from medfeat.heads.inputs import check_split, decide, target_matrix
from medfeat.types import Candidate, FloatArray, LabelArray, Progress, TaskType


class Majority(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Scores that do not look at the features.

    Parameters
    ----------
    task_type, n_classes
        As in every head; for multi-label and regression `n_classes` is the number of labels or targets.
    """

    def __init__(self, *, task_type: TaskType = "multi-class", n_classes: int = 2) -> None:
        self.task_type = task_type
        self.n_classes = n_classes

    def fit(self, X: FloatArray, y: LabelArray) -> Majority:
        """Count (n, k) labels; `X` is only checked."""
        check_split(X, y, "train")
        self.prior_ = target_matrix(y, self.task_type, self.n_classes).mean(axis=0)
        return self

    def scores(self, X: FloatArray) -> FloatArray:
        """Return the same (n_classes,) scores for each row of `X`."""
        return np.tile(self.prior_, (len(X), 1))

    def predict(self, X: FloatArray) -> LabelArray:
        """Return the most frequent class (or labels more frequent than not, or the mean) for each row."""
        return decide(self.scores(X), self.task_type)


class MajorityHead:
    """One candidate, for every task type."""

    name = "majority"

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
        """Yield the one model there is."""
        del val, seed
        progress.start(1, self.name, unit="settings")
        model = Majority(task_type=task_type, n_classes=n_classes).fit(*train)
        progress.advance(1)
        yield Candidate({}, model, 0.0)
        progress.finish()
