"""The same labels read as another type of question: grades as numbers, an order that is ignored or minded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medfeat.counted import counted
from medfeat.errors import UsageError
from medfeat.task_types import graded, order_fault, type_fault
from medfeat.tasks.check import check_task, examples
from medfeat.tasks.classes import align
from medfeat.types import TASK_TYPES, Task, TaskType

TARGET = "class number"
_TO: dict[TaskType, tuple[TaskType, ...]] = {
    "binary-class": ("multi-class", "ordinal-regression", "regression"),
    "multi-class": ("binary-class", "ordinal-regression"),
    "ordinal-regression": ("binary-class", "multi-class", "regression"),
    "multi-label": ("binary-class", "multi-class", "ordinal-regression"),
    "regression": (),
}


def retype(task: Task, task_type: TaskType, *, name: str | None = None, stated: bool = False) -> Task:
    """Read a task's labels as another type.

    Parameters
    ----------
    task
        Any task.
    task_type
        The type wanted: ordered classes can become the numbers of a regression, class tasks one another, and labels of
        which every sample has exactly one classes.
    name
        Of the new task; by default the old one with the type behind it.
    stated
        Whether somebody said that the classes stand in their order; otherwise their names must say it
        (`medfeat.task_types.graded`), for grades cannot be in that of the alphabet.

    Raises
    ------
    UsageError
        Labels that do not mean such a thing.
    """
    if task_type == task.task_type:
        return task
    if task_type not in TASK_TYPES:
        raise UsageError(f"task type must be one of {', '.join(TASK_TYPES)}, got {task_type!r}")
    if task_type not in _TO[task.task_type]:
        allowed = ", ".join(_TO[task.task_type]) or "nothing else"
        raise UsageError(
            f"task {task.name!r} is {task.task_type}, which can be read as {allowed}, not as {task_type}: "
            "give other labels with --labels FILE.csv"
        )
    if fault := type_fault(task_type, task.classes):
        raise UsageError(f"task {task.name!r} {fault}")
    new = replace(
        _of_one_class(task, task_type) if task.task_type == "multi-label" else task,
        name=name or f"{task.name}-{task_type}",
        task_type=task_type,
        origin=f"{task.origin}, read as {task_type}",
    )
    if task_type == "ordinal-regression" and not stated:
        new = _graded(new, task.name)
    if task_type == "regression":
        new = replace(new, classes=(TARGET,), labels=task.labels.astype(np.float64))
    return check_task(new)


def _of_one_class(task: Task, task_type: TaskType) -> Task:
    """Read columns of 0 and 1 as the one class of each sample."""
    wrong = task.ids[task.labels.sum(axis=1) != 1]
    if len(wrong):
        raise UsageError(
            f"task {task.name!r} has {counted(len(wrong), 'sample')} without exactly one label, and {task_type} takes "
            f"one: {examples(wrong)}; leave --task out, or give other labels with --labels FILE.csv"
        )
    return replace(task, labels=task.labels.argmax(axis=1).astype(np.int64)[:, None])


def _graded(task: Task, name: str) -> Task:
    order = graded(task.classes)
    if order is None:
        raise UsageError(f"task {name!r} {order_fault(task.classes)}")
    return align(task, tuple(task.classes[i] for i in order))
