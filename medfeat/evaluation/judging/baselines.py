"""What a score must beat to mean anything: the majority class, ten image statistics, raw pixels."""

from __future__ import annotations

import numpy as np

from medfeat.types import FloatArray, LabelArray, TaskType

BASELINE_BACKBONES = ("stats", "pixels")


def looking_at_nothing(task_type: TaskType) -> str:
    """Return what the simplest baseline is called: ``majority class``, or ``mean of train`` for regression."""
    return "mean of train" if task_type == "regression" else "majority class"


def majority_scores(train_labels: LabelArray, n: int, task_type: TaskType, n_classes: int) -> FloatArray:
    """Return (n, n_classes) scores of a model that looks at nothing: the frequencies of train, one row a sample.

    Its AUC is 0.5 by construction, its ACC the share of the class that is most frequent in train.
    """
    from medfeat.heads.majority import Majority

    nothing = np.zeros((len(train_labels), 1))
    return Majority(task_type=task_type, n_classes=n_classes).fit(nothing, train_labels).scores(np.zeros((n, 1)))
