"""Weights that let rare classes count as much as common ones, as scikit-learn's ``balanced`` has them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import UsageError
from medfeat.types import FloatArray, TaskType

NONE, BALANCED, AUTO = WAYS = ("none", "balanced", "auto")


def check_class_weight(how: str) -> None:
    """Refuse a way to weigh classes that does not exist."""
    if how not in WAYS:
        raise UsageError(f"--class-weight must be {', '.join(WAYS[:-1])} or {AUTO}, got {how!r}")


def refuse_numbers(how: str, task_type: TaskType) -> None:
    """Refuse weights of classes where there are none."""
    if how != NONE and task_type == "regression":
        raise UsageError("--class-weight weighs classes, and this task is a regression: leave it out")


def weights_tried(how: str) -> tuple[str, ...]:
    """Return the ways a head tries: ``auto`` tries both, and val chooses."""
    return (NONE, BALANCED) if how == AUTO else (how,)


def weight_settings(tried: str, asked: str) -> dict[str, str]:
    """Return what a candidate's settings say of its weights; nothing where none were asked for."""
    return {} if asked == NONE else {"class_weight": tried}


def sample_weights(targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n, c) weights of mean 1 a column.

    Parameters
    ----------
    targets
        (n, c) 0/1 without constant columns. Where each row holds a single one, all columns share the weights of its
        classes, n / (c n_of_class); a column of its own is weighed as two classes.
    """
    n, c = targets.shape
    counts = targets.sum(axis=0)
    if c > 1 and (targets.sum(axis=1) == 1).all():
        return np.repeat((targets @ (n / (c * counts)))[:, None], c, axis=1)
    return np.asarray(np.where(targets == 1, n / (2 * counts), n / (2 * (n - counts))))


def evened(p: FloatArray, shares: NDArray[np.float64], *, several: bool) -> FloatArray:
    """Return (n, c) probabilities as they would be if classes (or a label and its absence) were equally frequent.

    Parameters
    ----------
    p
        (n, c) probabilities.
    shares
        (c,) of train; a class (or label) that train never or always shows keeps its probability.
    several
        Whether columns are independent labels.
    """
    odds = np.divide(1, shares, out=np.ones_like(shares), where=shares > 0)
    if not several:
        weighed = p * odds
        return np.asarray(weighed / weighed.sum(axis=1, keepdims=True))
    against = np.divide(1, 1 - shares, out=np.ones_like(shares), where=shares < 1)
    plain = (shares <= 0) | (shares >= 1)
    odds, against = np.where(plain, 1, odds), np.where(plain, 1, against)
    return np.asarray(p * odds / (p * odds + (1 - p) * against))
