"""Labels and scores of the same samples, checked against each other once and then handed on as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medfeat.errors import DataError
from medfeat.types import TaskType

_THRESHOLD = 0.5
OneVsRest = list[tuple[NDArray[np.bool_], NDArray[np.float64]]]


@dataclass(frozen=True)
class LabelledScores:
    """What is known of some samples and what a head said of them, in the one form that every measure takes.

    Attributes
    ----------
    labels
        (n,) int64 class numbers; (n, k) of 0 and 1 for multi-label; (n, targets) float64 for regression.
    scores
        (n, c) float64 probabilities, all finite, or (n, targets) predictions of a regression.
    task_type
        One of `medfeat.types.TASK_TYPES`.
    """

    labels: NDArray[Any]
    scores: NDArray[np.float64]
    task_type: TaskType

    @classmethod
    def of(cls, labels: ArrayLike, scores: ArrayLike, task_type: TaskType) -> LabelledScores:
        """Bring labels and scores to their one form, or say what is wrong with them.

        Parameters
        ----------
        labels
            (n,) or (n, k).
        scores
            (n,) or (n, c).
        task_type
            One of `medfeat.types.TASK_TYPES`.

        Raises
        ------
        DataError
            When shapes disagree, or the score of a class is not finite.
        """
        y, s = _table(np.asarray(labels)), _table(np.asarray(scores, np.float64))
        if len(y) != len(s):
            raise DataError(f"labels and scores must have one row a sample: {len(y)} labels, {len(s)} rows of scores")
        if task_type in ("multi-label", "regression") and y.shape[1] != s.shape[1]:
            part = "label" if task_type == "multi-label" else "target"
            raise DataError(
                f"{task_type} scores must have one column a {part} ({y.shape[1]}), got {s.shape[1]} columns"
            )
        if task_type == "regression":
            return cls(y.astype(np.float64), s, task_type)
        if not np.isfinite(s).all():
            bad = int(np.flatnonzero(~np.isfinite(s).all(axis=1))[0])
            raise DataError(
                f"scores must be finite, got {s[bad].tolist()} in row {bad}; look for NaN among the features"
            )
        y = y.astype(np.int64)
        return cls(y if task_type == "multi-label" else y[:, 0], s, task_type)

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """What the scores decide, in the shape of the labels of classes."""
        return predictions(self.scores, self.task_type)

    @property
    def one_vs_rest(self) -> OneVsRest:
        """The (positives, score) pairs whose AUCs the official AUC averages."""
        labels, scores = self.labels, self.scores
        if self.task_type == "binary-class":
            return [(labels == 1, scores[:, -1])]
        if self.task_type == "multi-label":
            return [(labels[:, i] == 1, scores[:, i]) for i in range(scores.shape[1])]
        return [(labels == i, scores[:, i]) for i in range(scores.shape[1])]

    @property
    def by_class(self) -> NDArray[np.float64]:
        """The scores with a column for each class: a binary score of one column is that of class 1."""
        s = self.scores
        return np.column_stack([1 - s, s]) if self.task_type == "binary-class" and s.shape[1] == 1 else s


def predictions(scores: NDArray[np.float64], task_type: TaskType) -> NDArray[np.int64]:
    """Return what scores decide: (n,) classes, or (n, k) zeros and ones for multi-label."""
    if task_type == "multi-label":
        return (scores > _THRESHOLD).astype(np.int64)
    if task_type == "binary-class":
        return (scores[:, -1] > _THRESHOLD).astype(np.int64)
    return np.asarray(np.argmax(scores, axis=1), np.int64)


def _table(values: NDArray[Any]) -> NDArray[Any]:
    return values[:, None] if values.ndim == 1 else values.reshape(len(values), int(np.prod(values.shape[1:])))
