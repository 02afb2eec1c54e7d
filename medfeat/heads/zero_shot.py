"""Zero-shot: the class whose texts lie nearest, without any label (Radford et al., CLIP, ICML 2021)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from medfeat.heads.inputs import decide
from medfeat.heads.texts import TextSource, evidence, probabilities, texts_of
from medfeat.types import Candidate, FloatArray, LabelArray, Progress, TaskType


class ZeroShotProbe(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Softmax over scaled cosines between an image and its classes' texts; of labels with and without.

    Parameters
    ----------
    towards, away, scale
        As in `medfeat.heads.texts.ClassTexts`.
    task_type
        Several labels get a sigmoid each.
    """

    def __init__(
        self,
        towards: NDArray[np.float64],
        away: NDArray[np.float64] | None,
        scale: float,
        *,
        task_type: TaskType = "multi-class",
    ) -> None:
        self.towards = towards
        self.away = away
        self.scale = scale
        self.task_type = task_type

    def fit(self, X: FloatArray, y: LabelArray) -> ZeroShotProbe:
        """Learn nothing."""
        del X, y
        return self

    def scores(self, X: FloatArray) -> FloatArray:
        """Return (n, c) probabilities of (n, d) projected images."""
        return probabilities(evidence(X, self.towards, self.away, self.scale), self.task_type)

    predict_proba = scores

    def predict(self, X: FloatArray) -> LabelArray:
        """Return (n,) class numbers, or (n, k) 0/1 labels at a threshold of 0.5."""
        return decide(self.scores(X), self.task_type)


class ZeroShotHead:
    """The one classifier that the texts make.

    Attributes
    ----------
    texts
        Where it gets them; set by whoever makes the head.
    """

    name = "zero-shot"

    def __init__(self) -> None:
        self.texts: TextSource | None = None

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
        """Yield one candidate; no label is looked at."""
        del val, n_classes, seed, progress
        found = texts_of(self.name, self.texts, task_type, train[0])
        yield Candidate({}, ZeroShotProbe(found.towards, found.away, found.scale, task_type=task_type), 0.0)
