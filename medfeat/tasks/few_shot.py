"""A few labelled samples a class, drawn from a seed; the test split is never thinned."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import UsageError
from medfeat.tasks.check import subset
from medfeat.types import Task

# Below this many shots a val split of as many is too small to select by, and the shots are cross-validated.
VAL_SHOTS = 5
_MOST_FOLDS = 5


@dataclass(frozen=True)
class FewShot:
    """One draw.

    Attributes
    ----------
    task
        `shots` a class in train and as many in val, and the whole test split; fit the chosen settings on its train.
    folds
        Below `VAL_SHOTS`, the same labelled samples, train and val pooled, as cross-validation: each task has its own
        train and val and no test. Settings are chosen by the mean of val scores over them. Otherwise empty: select on
        the val split of `task`.
    """

    task: Task
    folds: tuple[Task, ...] = ()


def few_shot(task: Task, shots: int, *, draw: int = 0, seed: int = 0) -> FewShot:
    """Draw `shots` samples a class from train and as many from val.

    The draws of one seed are nested: those of 2 shots hold those of 1. A class (or label) that has fewer gives all it
    has, and the origin of the task says so. For multi-label, `shots` samples with each label and as many with none.

    Parameters
    ----------
    task
        Any task with classes.
    shots
        Samples a class.
    draw, seed
        The number of this draw, and the seed of all.

    Raises
    ------
    UsageError
        No shots, or a regression.
    """
    if shots < 1:
        raise UsageError(f"shots must be 1 or more a class (or 'all'), got {shots}")
    if task.task_type == "regression":
        raise UsageError(f"few-shot needs classes, and task {task.name!r} is a regression")
    rng = np.random.default_rng([seed, draw])
    order = rng.permutation(len(task.ids))
    train, short = _drawn(task, order[task.split[order] == "train"], shots)
    val, _ = _drawn(task, order[task.split[order] == "val"], shots)
    test = np.flatnonzero(task.split == "test")
    words = f"{task.origin}; {shots} shots a class, draw {draw} of seed {seed}"
    words += f" (all there are of {', '.join(short)})" if short else ""
    name = f"{task.name}-{shots}shot-{draw}"
    few = subset(task, np.sort(np.concatenate([train, val, test])), name=name, origin=words)
    if shots >= VAL_SHOTS:
        return FewShot(few)
    return FewShot(few, _folds(subset(few, few.split != "test"), min(2 * shots, _MOST_FOLDS), rng))


def _drawn(task: Task, order: NDArray[np.int64], shots: int) -> tuple[NDArray[np.int64], list[str]]:
    """Take the first `shots` of each class along `order`; return positions and the classes with fewer."""
    if task.task_type == "multi-label":
        return _drawn_labels(task, order, shots)
    labels = task.labels[order, 0]
    members = [order[labels == number][:shots] for number in range(len(task.classes))]
    short = [name for name, found in zip(task.classes, members, strict=True) if len(found) < shots]
    return np.concatenate(members), short


def _drawn_labels(task: Task, order: NDArray[np.int64], shots: int) -> tuple[NDArray[np.int64], list[str]]:
    present = task.labels[order] > 0
    chosen = np.zeros(len(order), dtype=bool)
    # Rare labels first: their samples often carry the common ones too.
    for label in np.argsort(present.sum(axis=0), kind="stable"):
        wanted = shots - int((present[:, label] & chosen).sum())
        chosen[np.flatnonzero(present[:, label] & ~chosen)[: max(wanted, 0)]] = True
    chosen[np.flatnonzero(~present.any(axis=1))[:shots]] = True
    short = [name for name, count in zip(task.classes, present.sum(axis=0), strict=True) if count < shots]
    return order[chosen], short


def _folds(pool: Task, count: int, rng: np.random.Generator) -> tuple[Task, ...]:
    """Deal the samples of each class over the folds; a patient's samples stay together."""
    strata = np.unique(pool.labels, axis=0, return_inverse=True)[1].reshape(-1)
    keys = pool.ids if pool.group is None else pool.group
    home: dict[str, int] = {}
    turn = 0
    for i in sorted(rng.permutation(len(pool.ids)), key=lambda i: strata[i]):
        if keys[i] not in home:
            home[str(keys[i])] = turn % count
            turn += 1
    fold = np.array([home[str(key)] for key in keys])
    parts = [np.where(fold == number, "val", "train") for number in range(count) if (fold == number).any()]
    return tuple(
        replace(pool, name=f"{pool.name}-fold{number}", split=split)
        for number, split in enumerate(parts)
        if (split == "train").any()
    )
