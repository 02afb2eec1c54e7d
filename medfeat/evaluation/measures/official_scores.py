"""The two official MedMNIST scores, AUC and ACC, computed as the benchmark's own evaluator computes them.

The evaluator is `medmnist/evaluator.py` of the package ``medmnist`` 3.0.2 (Yang et al., MedMNIST v2, Scientific Data
10:41, 2023). It is restated here because importing that package costs seconds, imports torch and creates a folder in
the user's home; a test holds both to each other.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import DataError
from medfeat.types import FloatArray, LabelArray, TaskType

THRESHOLD = 0.5


def auc(labels: LabelArray, scores: FloatArray, task_type: TaskType) -> float:
    """Return the official AUC.

    Multi-class and ordinal: the unweighted mean over classes of one-vs-rest AUC. Binary: the AUC of the score of
    class 1. Multi-label: the unweighted mean over labels.

    Parameters
    ----------
    labels
        (n,) or (n, k) class numbers, 0/1 for multi-label.
    scores
        (n, c) probabilities.
    task_type
        Any type but ``regression``.

    Returns
    -------
    float
        Between 0 and 1; NaN where a class (or its opposite) is absent, which leaves the official score undefined:
        `undefined_auc` says which.

    Raises
    ------
    DataError
        When shapes disagree, a score is not finite, or the task is a regression.

    Examples
    --------
    >>> import numpy as np
    >>> auc(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]]), "binary-class")
    1.0
    """
    return float(np.mean(class_aucs(labels, scores, task_type)))


def acc(labels: LabelArray, scores: FloatArray, task_type: TaskType) -> float:
    """Return the official ACC.

    Multi-class and ordinal: the share of samples whose highest score is at their class. Binary: the score of class 1
    against 0.5, strictly. Multi-label: the unweighted mean over labels of the accuracy at 0.5.

    Parameters
    ----------
    labels, scores, task_type
        As in `auc`.

    Returns
    -------
    float
        Between 0 and 1.
    """
    labels, scores = checked(labels, scores, task_type)
    return float(np.mean(predictions(scores, task_type) == labels))


def binary_auc(positive: NDArray[np.bool_], score: FloatArray) -> float:
    """Return the area under the ROC curve as the Mann-Whitney statistic, ties counting half.

    Parameters
    ----------
    positive
        (n,) which samples are positive.
    score
        (n,) higher for positives.

    Returns
    -------
    float
        NaN when there are no positives or no negatives. Formula: Hanley and McNeil, Radiology 143:29-36, 1982.
    """
    n_positive = int(np.count_nonzero(positive))
    n_negative = positive.size - n_positive
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    from scipy.stats import rankdata  # a second of imports that reading runs does not need

    rank_sum = float(rankdata(score)[positive].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def class_aucs(labels: LabelArray, scores: FloatArray, task_type: TaskType) -> NDArray[np.float64]:
    """Return one AUC a class (multi-label: a label; binary: class 1 alone), NaN where undefined."""
    pairs = one_vs_rest(*checked(labels, scores, task_type), task_type)
    return np.array([binary_auc(positive, score) for positive, score in pairs])


def undefined_auc(labels: LabelArray, scores: FloatArray, task_type: TaskType, classes: tuple[str, ...]) -> str:
    """Say in one line which classes leave the official AUC undefined; empty when it is defined."""
    missing = np.flatnonzero(np.isnan(class_aucs(labels, scores, task_type)))
    if not missing.size:
        return ""
    if task_type == "binary-class":
        return "official AUC is undefined: these samples are all of one class"
    names = [classes[i] if i < len(classes) else str(i) for i in missing]
    named = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    numbers = task_type == "multi-class" and all(re.fullmatch(r"-?\d+", name) for name in classes)
    hint = "; if the labels are amounts, ask for --task regression" if numbers else ""
    return f"official AUC is undefined: no sample, or every sample, is of class {named}; see the table of classes{hint}"


def predictions(scores: NDArray[np.float64], task_type: TaskType) -> NDArray[np.int64]:
    """Return what the scores decide: (n,) classes, or (n, k) zeros and ones for multi-label."""
    if task_type == "multi-label":
        return (scores > THRESHOLD).astype(np.int64)
    if task_type == "binary-class":
        return (scores[:, -1] > THRESHOLD).astype(np.int64)
    return np.asarray(np.argmax(scores, axis=1), np.int64)


def one_vs_rest(
    labels: NDArray[np.int64], scores: NDArray[np.float64], task_type: TaskType
) -> list[tuple[NDArray[np.bool_], NDArray[np.float64]]]:
    """Return the (positives, score) pairs whose AUCs the official AUC averages; input as `checked` returns it."""
    if task_type == "binary-class":
        return [(labels == 1, scores[:, -1])]
    if task_type == "multi-label":
        return [(labels[:, i] == 1, scores[:, i]) for i in range(scores.shape[1])]
    return [(labels == i, scores[:, i]) for i in range(scores.shape[1])]


def checked(
    labels: LabelArray, scores: FloatArray, task_type: TaskType
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Bring labels and scores to their one form, or say what is wrong with them.

    Returns
    -------
    tuple
        Labels (n,), or (n, k) for multi-label, and float64 scores (n, c).
    """
    if task_type == "regression":
        raise DataError("AUC and ACC are scores of classes; a regression task has MAE, RMSE, R2 and Spearman instead")
    y = np.asarray(labels)
    y = y.reshape(len(y), -1)
    y = y if task_type == "multi-label" else y[:, 0]
    s = np.asarray(scores, dtype=np.float64)
    s = s.reshape(len(s), -1)
    if len(y) != len(s):
        raise DataError(f"labels and scores must have one row a sample, got {len(y)} labels and {len(s)} score rows")
    if task_type == "multi-label" and y.shape[1] != s.shape[1]:
        raise DataError(f"multi-label scores must have one column a label ({y.shape[1]}), got {s.shape[1]} columns")
    if not np.isfinite(s).all():
        bad = int(np.flatnonzero(~np.isfinite(s).all(axis=1))[0])
        raise DataError(f"scores must be finite, got {s[bad].tolist()} in row {bad}; look for NaN among the features")
    return y.astype(np.int64), s
