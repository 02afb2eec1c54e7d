"""What a score must beat to mean anything: the majority class, ten image statistics, raw pixels."""

from __future__ import annotations

import numpy as np

from medfeat.types import FloatArray, LabelArray, TaskType

BASELINE_BACKBONES = ("stats", "pixels")
MAJORITY = "majority class"


def majority_scores(train_labels: LabelArray, n: int, task_type: TaskType, n_classes: int) -> FloatArray:
    """Return the scores of a model that looks at nothing: the frequencies of train, the same for every sample.

    Parameters
    ----------
    train_labels
        (m, k) labels of train.
    n
        Number of samples to score.
    task_type
        One of `medfeat.types.TASK_TYPES`.
    n_classes
        Number of classes, labels or targets.

    Returns
    -------
    ndarray
        (n, n_classes); for regression the mean of train. Its AUC is 0.5 by construction.
    """
    if task_type in ("multi-label", "regression"):
        constant = np.asarray(train_labels, np.float64).mean(axis=0)
    else:
        constant = np.bincount(train_labels[:, 0].astype(np.int64), minlength=n_classes) / len(train_labels)
    return np.tile(constant, (n, 1))
