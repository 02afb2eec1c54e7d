"""The same labels read as another type of question: grades as numbers, an order that is ignored or minded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medfeat.errors import UsageError
from medfeat.tasks.check import check_task
from medfeat.types import TASK_TYPES, Task, TaskType

TARGET = "class number"
_TO: dict[TaskType, tuple[TaskType, ...]] = {
    "binary-class": ("multi-class", "ordinal-regression", "regression"),
    "multi-class": ("binary-class", "ordinal-regression"),
    "ordinal-regression": ("binary-class", "multi-class", "regression"),
    "multi-label": (),
    "regression": (),
}


def retype(task: Task, task_type: TaskType, *, name: str | None = None) -> Task:
    """Read a task's labels as another type.

    Parameters
    ----------
    task
        Any task.
    task_type
        The type wanted: ordered classes can become the numbers of a regression, class tasks one another.
    name
        Of the new task; by default the old one with the type behind it.

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
    if task_type == "binary-class" and len(task.classes) != 2:
        raise UsageError(
            f"task {task.name!r} has {len(task.classes)} classes, a binary one has 2: merge with --relabel"
        )
    new = replace(
        task, name=name or f"{task.name}-{task_type}", task_type=task_type, origin=f"{task.origin}, read as {task_type}"
    )
    if task_type == "regression":
        new = replace(new, classes=(TARGET,), labels=task.labels.astype(np.float64))
    return check_task(new)
