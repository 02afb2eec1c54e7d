"""Other classes for a task: merged, left out, or put in another order."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import UsageError
from medfeat.task_types import listed
from medfeat.tasks.check import check_task, subset
from medfeat.types import Task, TaskType


def relabel(task: Task, rule: str, *, name: str | None = None) -> Task:
    """Merge classes into new ones.

    Parameters
    ----------
    task
        A class task or a multi-label one (a new label is then present when one of its old ones is).
    rule
        ``"0,1,2=abnormal;3=normal"``: class numbers or names before the sign, the new name after it. Each class
        of the task is named once; leave classes out with `drop` first.
    name
        Of the new task; by default made of the new classes.

    Returns
    -------
    Task
        New classes in the order of the rule.

    Raises
    ------
    UsageError
        A rule that is not of this form, names an unknown class, one twice, or not all of them.

    Examples
    --------
    >>> relabel(task, "drusen,dme,cnv=abnormal;normal=normal").classes          # doctest: +SKIP
    ('abnormal', 'normal')
    """
    _refuse_regression(task, "relabel")
    parts = [part for part in rule.split(";") if part.strip()]
    pairs = [tuple(side.strip() for side in part.rpartition("=")[::2]) for part in parts]
    if len(pairs) < 2 - (task.task_type == "multi-label") or not all(old and new for old, new in pairs):
        raise UsageError(f'a relabelling must be like "0,1,2=abnormal;3=normal", with two new classes, got {rule!r}')
    new_names = tuple(new for _, new in pairs)
    if len(set(new_names)) < len(new_names):
        raise UsageError(f"each new class may be given once, got {', '.join(new_names)}: join its classes by commas")
    members = [_class_positions(task, old) for old, _ in pairs]
    named = np.concatenate(members)
    if len(np.unique(named)) < len(named):
        twice = sorted({task.classes[i] for i in named if (named == i).sum() > 1})
        raise UsageError(f"each class may be named once in a relabelling, got {', '.join(twice)} twice")
    missing = [old for i, old in enumerate(task.classes) if i not in named]
    if missing:
        raise UsageError(f"the relabelling leaves out {', '.join(missing)}: name every class, or drop these first")
    return check_task(
        replace(
            task,
            name=name or _name(task, new_names),
            task_type=_task_type(task.task_type, members),
            classes=new_names,
            labels=_merged(task, members),
            origin=f"{task.origin}, relabelled {rule.strip()}",
        )
    )


def keep(task: Task, classes: str, *, name: str | None = None) -> Task:
    """Keep only samples of some classes (or, for multi-label and regression, only some labels or targets).

    Parameters
    ----------
    task
        Any task.
    classes
        Class numbers or names, separated by commas.
    name
        Of the new task; by default made of the classes kept.
    """
    return _kept(task, np.unique(_class_positions(task, classes)), name)


def drop(task: Task, classes: str, *, name: str | None = None) -> Task:
    """Leave out the samples of some classes (or some labels or targets); the counterpart of `keep`."""
    gone = _class_positions(task, classes)
    return _kept(task, np.setdiff1d(np.arange(len(task.classes)), gone), name)


def align(
    task: Task, classes: tuple[str, ...], *, here: str = "here", there: str = "there", how: str = "--relabel"
) -> Task:
    """Give a task's classes the numbers they have in another, for a probe that was trained there.

    Parameters
    ----------
    task
        Whose classes are numbered anew.
    classes
        Of the other.
    here, there
        Where both are, for a message.
    how
        The option that maps the classes of the task.

    Raises
    ------
    UsageError
        The names differ; both are listed, and `relabel` can make them equal.
    """
    if sorted(task.classes) != sorted(classes):
        raise UsageError(
            f"classes differ: {listed(task.classes)} {here}, {listed(classes)} {there}; map them with {how}"
        )
    order = np.array([task.classes.index(name) for name in classes])
    if task.task_type in ("multi-label", "regression"):
        return check_task(replace(task, classes=classes, labels=task.labels[:, order]))
    return check_task(replace(task, classes=classes, labels=np.argsort(order)[task.labels]))


def in_order(task: Task, classes: tuple[str, ...]) -> Task:
    """Give a task's classes (or labels) the order that somebody named, all of them.

    Raises
    ------
    UsageError
        A class that is not there, or one that was left out; or the task is a regression.
    """
    from medfeat.datasets.labels.class_spelling import matched

    _refuse_regression(task, "--classes")
    names = tuple(found[0] for found in matched(classes, task.classes).values())
    return align(replace(task, origin=f"{task.origin}, classes in the order {', '.join(names)}"), names)


def _class_positions(task: Task, text: str) -> NDArray[np.int64]:
    """Return the positions of classes named, or numbered, in a comma list.

    A name wins over a number, and one that holds commas is found whole.

    Raises
    ------
    UsageError
        A class the task does not have.
    """
    lower = [name.lower() for name in task.classes]
    whole = text.strip().lower()
    found = []
    for part in [whole] if whole in lower else [part.strip().lower() for part in text.split(",") if part.strip()]:
        if part in lower:
            found.append(lower.index(part))
        elif re.fullmatch(r"\d+", part) and int(part) < len(lower):
            found.append(int(part))
        else:
            known = ", ".join(f"{i} {name}" for i, name in enumerate(task.classes))
            raise UsageError(f"unknown class {part!r} of task {task.name!r}; it has {known}")
    return np.array(found, dtype=np.int64)


def _kept(task: Task, positions: NDArray[np.int64], name: str | None) -> Task:
    classes = tuple(task.classes[i] for i in positions)
    columns = task.task_type in ("multi-label", "regression")
    if len(classes) < (1 if columns else 2):
        raise UsageError(f"too few classes would be left of task {task.name!r} ({', '.join(classes) or 'none'})")
    changes = {
        "name": name or _name(task, classes),
        "classes": classes,
        "origin": f"{task.origin}, only {', '.join(classes)}",
    }
    if columns:
        return check_task(replace(task, labels=task.labels[:, positions], **changes))  # type: ignore[arg-type]  # names above
    here = np.isin(task.labels[:, 0], positions)
    changes["task_type"] = _task_type(task.task_type, list(positions[:, None]))
    return subset(task, here, labels=np.searchsorted(positions, task.labels[here]), **changes)


def _merged(task: Task, members: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    if task.task_type == "multi-label":
        return np.stack([task.labels[:, old].max(axis=1) for old in members], axis=1).astype(np.int64)
    number = np.empty(len(task.classes), dtype=np.int64)
    for new, old in enumerate(members):
        number[old] = new
    return number[task.labels.astype(np.int64)]


def _task_type(task_type: TaskType, members: list[NDArray[np.int64]]) -> TaskType:
    """Return the type of a task whose classes were merged: still ordinal when the order means what it meant."""
    if task_type == "multi-label":
        return "multi-label"
    if len(members) == 2:
        return "binary-class"
    ordered = all(low.max() < high.min() for low, high in pairwise(members))
    return "ordinal-regression" if task_type == "ordinal-regression" and ordered else "multi-class"


def _name(task: Task, classes: tuple[str, ...]) -> str:
    words = "-".join(re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower() for name in classes)
    return f"{task.name}-{words}"[:80].rstrip("-.")


def _refuse_regression(task: Task, what: str) -> None:
    if task.task_type == "regression":
        raise UsageError(f"{what} needs classes, and task {task.name!r} is a regression")
