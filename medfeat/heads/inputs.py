"""What every head asks of its input before it trains, and how class numbers become targets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medfeat.counted import counted
from medfeat.errors import DataError, UnsuitedHeadError
from medfeat.tasks.bags import block_samples
from medfeat.types import FloatArray, LabelArray, TaskType
from medfeat_cache.commands import command
from medfeat_cache.format import finite_rows

CLASS_TASKS = ("binary-class", "multi-class", "ordinal-regression")


def check_split(X: FloatArray, labels: LabelArray, split: str) -> None:
    """Refuse features or labels that no head can learn from.

    Parameters
    ----------
    X
        (n, d) features, or (n, P, d) of bags for heads that take these.
    labels
        (n, k) labels.
    split
        ``train`` or ``val``, for the message.

    Raises
    ------
    DataError
        Nothing there, lengths that differ, or features (or labels) that are not finite.
    """
    if X.ndim not in (2, 3) or labels.ndim != 2 or len(X) != len(labels):
        raise DataError(f"{split} must be features (n, d) with labels (n, k), got shapes {X.shape} and {labels.shape}")
    if not X.size:
        raise DataError(
            f"{split} is empty ({X.shape[0]} samples of {X.shape[-1]} features): choose another split or task"
        )
    bad = bad_rows(X)
    if len(bad):
        raise DataError(
            f"{split} features of {counted(len(bad), 'sample')} are NaN or infinite (first at row {bad[0]}): "
            f"{command('cache', 'verify')} names them, {command('cache', 'repair', 'STORE')} computes them again"
        )
    if not np.isfinite(labels).all():
        raise DataError(f"{split} labels hold NaN or infinite values; drop those samples from the task")


def bad_rows(X: FloatArray, block: int = 8192) -> NDArray[np.int64]:
    """Return the positions of rows with a NaN or infinite value, looking at `block` rows at a time."""
    step = block if X.ndim == 2 else min(block, block_samples(X.shape))
    # A sum is finite only when all its terms are (or it overflows, which the exact look then clears).
    suspects = [
        start
        for start in range(0, len(X), step)
        if not np.isfinite(np.asarray(X[start : start + step]).sum(dtype=np.float64))
    ]
    found = [start + np.flatnonzero(~finite_rows(np.asarray(X[start : start + step]))) for start in suspects]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def class_numbers(labels: LabelArray, n_classes: int) -> NDArray[np.int64]:
    """Return (n,) class numbers of a task with one label a sample.

    Raises
    ------
    DataError
        Several columns, a number outside ``0..n_classes-1``, or fewer than two classes present.
    """
    if labels.shape[1] != 1:
        raise DataError(f"a class task has one label a sample, got {labels.shape[1]} columns: is it multi-label?")
    y = labels[:, 0].astype(np.int64)
    if y.min() < 0 or y.max() >= n_classes:
        raise DataError(f"class numbers must be 0..{n_classes - 1}, got {y.min()}..{y.max()}")
    if (y == y[0]).all():
        raise DataError(f"train holds one class only (class {y[0]}, {len(y)} samples): two are needed to learn from")
    return y


def label_matrix(labels: LabelArray) -> NDArray[np.int64]:
    """Return (n, k) 0/1 labels of a multi-label task.

    Raises
    ------
    DataError
        Other values than 0 and 1, or no label that varies.
    """
    Y = labels.astype(np.int64)
    if not np.isin(Y, (0, 1)).all():
        raise DataError(f"multi-label labels must be 0 or 1, got {Y.min()}..{Y.max()}")
    if (Y[:1] == Y).all():
        raise DataError("every label has one value only in train: two are needed to learn from")
    return Y


def refuse_task(head: str, task_type: TaskType, allowed: tuple[str, ...]) -> None:
    """Refuse a task type that a head cannot learn.

    Raises
    ------
    UnsuitedHeadError
        `task_type` is not one of `allowed`.
    """
    if task_type not in allowed:
        known = ", ".join(allowed)
        raise UnsuitedHeadError(f"the {head} head learns {known}; this task is {task_type}: choose another head")


def spread(scores: FloatArray, present: NDArray[np.int64], n_classes: int) -> FloatArray:
    """Return (n, n_classes) scores from those of the classes that `present` lists; the others get probability 0."""
    if len(present) == n_classes:
        return scores
    full = np.zeros((len(scores), n_classes), dtype=scores.dtype)
    full[:, present] = scores
    return full


def target_matrix(labels: LabelArray, task_type: TaskType, n_classes: int) -> NDArray[np.float64]:
    """Return (n, c) targets: one-hot classes, 0/1 labels, or the numbers of a regression."""
    if task_type == "regression":
        return labels.astype(np.float64)
    if task_type == "multi-label":
        return label_matrix(labels).astype(np.float64)
    onehot: NDArray[np.float64] = np.eye(n_classes)[class_numbers(labels, n_classes)]
    return onehot


def decide(scores: FloatArray, task_type: TaskType) -> LabelArray:
    """Return what scores say: (n,) classes, (n, k) labels at a threshold of 0.5, or the (n, k) numbers themselves."""
    if task_type == "regression":
        return scores.astype(np.float64)
    if task_type == "multi-label":
        return (scores > 0.5).astype(np.int64)
    numbers: NDArray[np.int64] = scores.argmax(axis=1)
    return numbers


def mean_scores(scores: Sequence[FloatArray]) -> FloatArray:
    """Return the mean of (n, c) scores of several heads, in float64."""
    found: FloatArray = np.mean([np.asarray(one, np.float64) for one in scores], axis=0)
    return found
