"""What must hold for every task, and how to take part of one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.counted import counted_are
from medfeat.errors import DataError
from medfeat.task_types import type_fault
from medfeat.types import OFFICIAL_GROUPS, IdArray, Task


def check_task(task: Task) -> Task:
    """Return the task when it can be trusted.

    Raises
    ------
    DataError
        A task type that the classes cannot be, ids twice, a label outside the classes, an unknown split, a patient in
        two splits, lengths that differ.
    """
    n = len(task.ids)
    if fault := type_fault(task.task_type, task.classes):
        raise DataError(f"task {task.name!r} {fault}")
    columns = len(task.classes) if task.task_type in ("multi-label", "regression") else 1
    if task.labels.shape != (n, columns) or task.split.shape != (n,):
        raise DataError(
            f"task {task.name!r}: {n} ids need labels ({n}, {columns}) and {n} splits, "
            f"got {task.labels.shape} and {task.split.shape}"
        )
    if not n:
        raise DataError(f"task {task.name!r} has no samples left: keep more classes or give more labels")
    repeated = repeats(task.ids)
    if len(repeated):
        raise DataError(
            f"task {task.name!r}: {counted_are(len(repeated), 'id')} given more than once: {examples(repeated)}"
        )
    strange = sorted(set(np.unique(task.split).tolist()) - set(OFFICIAL_GROUPS))
    if strange:
        raise DataError(f"task {task.name!r}: split must be one of train, val, test, got {examples(strange)}")
    _check_labels(task)
    _check_groups(task)
    return task


def subset(task: Task, which: NDArray[np.bool_] | NDArray[np.int64], **changes: Any) -> Task:
    """Return the samples that `which` picks (a mask or positions), with fields replaced by `changes`; checked."""
    group = None if task.group is None else task.group[which]
    part = replace(task, ids=task.ids[which], labels=task.labels[which], split=task.split[which], group=group)
    return check_task(replace(part, **changes))


def repeats(ids: IdArray) -> IdArray:
    """Return the ids that occur more than once, sorted."""
    names, counts = np.unique(ids, return_counts=True)
    return names[counts > 1]


def examples(values: Any, count: int = 3) -> str:
    """Spell the first few of many values for a message."""
    shown = ", ".join(map(str, list(values)[:count]))
    return f"{shown}, ..." if len(values) > count else shown


def _check_labels(task: Task) -> None:
    labels = task.labels
    if task.task_type == "regression":
        if not np.isfinite(labels).all():
            count = int((~np.isfinite(labels)).any(axis=1).sum())
            raise DataError(f"task {task.name!r}: {counted_are(count, 'target')} NaN or infinite: leave them out")
        return
    top = 1 if task.task_type == "multi-label" else len(task.classes) - 1
    if labels.dtype.kind != "i" or labels.min() < 0 or labels.max() > top:
        raise DataError(
            f"task {task.name!r}: {task.task_type} labels must be whole numbers 0..{top}, "
            f"got {labels.min()}..{labels.max()} ({labels.dtype})"
        )


def _check_groups(task: Task) -> None:
    if task.group is None:
        return
    if task.group.shape != task.ids.shape:
        raise DataError(f"task {task.name!r}: {len(task.ids)} ids need as many groups, got {len(task.group)}")
    crossing = crossing_groups(task.group, task.split)
    if len(crossing):
        said = counted_are(len(crossing), "patient (or other group)", "patients (or other groups)")
        raise DataError(
            f"task {task.name!r}: {said} in more than one split: "
            f"{examples(crossing)}; give each one split in a column split, or give images, labels and patients as one "
            "CSV (--data), which has a split drawn by patient: vectors are copied"
        )


def crossing_groups(group: IdArray, split: IdArray) -> IdArray:
    """Return the patients (or other groups) of (n,) samples that are in more than one split."""
    pairs = np.unique(np.stack([group, split], axis=1), axis=0)
    return repeats(pairs[:, 0])
