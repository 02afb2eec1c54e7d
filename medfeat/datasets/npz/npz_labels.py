"""What the labels of an .npz file mean: classes, several labels an image, or numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.labels.class_spelling import BadLabel, matched
from medfeat.datasets.labels.labelling import one_column, one_hot_hint, refuse_classes_of_numbers
from medfeat.errors import DataError
from medfeat.types import LabelArray, Progress, TaskType


@dataclass(frozen=True)
class NpzLabelling:
    """Labels in numbers.

    Attributes
    ----------
    task
        What they mean; None when there are none.
    classes
        Class numbers as names; column numbers for multi-label and regression.
    values
        (n, k) int64 or float64 a group.
    """

    task: TaskType | None
    classes: tuple[str, ...]
    values: dict[str, LabelArray]


def npz_labelling(
    path: Path,
    labels: dict[str, LabelArray],
    asked: TaskType | None,
    progress: Progress,
    *,
    wanted: Sequence[str] = (),
) -> NpzLabelling:
    """Tell task and classes from the labels, over all groups.

    One column of whole numbers is classes, however they are stored; several columns of 0 and 1 are a multi-label
    set; fractions are a regression. What is declared goes before all this.

    Parameters
    ----------
    path
        The file, for errors.
    labels
        (n, k) labels a group, as stored; empty when the file has none.
    asked
        What the labels mean; None tells it from them.
    progress
        Told when labels can be meant in two ways.
    wanted
        The classes in their order; empty takes that of their numbers.

    Raises
    ------
    DataError
        When the labels do not fit the task, or classes are not numbered from 0.
    """
    if not labels:
        return NpzLabelling(None, (), {})
    if len({values.shape[1] for values in labels.values()}) > 1:
        widths = ", ".join(f"{group} {values.shape[1]}" for group, values in labels.items())
        raise DataError(f"{path} has not as many labels an image in every group ({widths}); save as many in each")
    every = np.concatenate(list(labels.values()))
    columns = tuple(str(i) for i in range(every.shape[1]))
    if asked == "regression" or (asked is None and _has_fractions(every)):
        refuse_classes_of_numbers(wanted)
        return NpzLabelling("regression", columns, labels)
    if _has_fractions(every):
        found = every[every != np.floor(every)][0]
        raise DataError(
            f"{path} has a label {found:g}, and {asked} takes whole numbers; leave the task out for numbers"
        )
    _refuse_negative(path, labels)
    whole: dict[str, LabelArray] = {group: values.astype(np.int64) for group, values in labels.items()}
    if len(columns) > 1 or asked == "multi-label":
        return _in_order(_several(path, every.astype(np.int64), whole, asked, progress), wanted)
    found = _in_order(_classes(path, whole, asked), wanted)
    _say_doubts(path, found, len(every), progress)
    return found


def npz_words(
    path: Path,
    words: Mapping[str, list[str]],
    asked: TaskType | None,
    progress: Progress,
    *,
    wanted: Sequence[str] = (),
) -> NpzLabelling:
    """Read labels in words, over all groups, as those of a CSV's column are read.

    Raises
    ------
    DataError
        Labels that cannot be meant, with the group and row of each.
    """
    where = [f"{group} labels, row {row}" for group, texts in words.items() for row in range(len(texts))]
    try:
        found = one_column([text for texts in words.values() for text in texts], "labels", asked, wanted)
    except BadLabel as error:
        raise DataError(error.told(path, where)) from error
    for line in found.said:
        progress.say(f"{path}: {line}")
    values: dict[str, LabelArray] = {}
    start = 0
    for group, texts in words.items():
        values[group] = found.values[start : start + len(texts)]
        start += len(texts)
    return NpzLabelling(found.task, found.classes, values)


def _refuse_negative(path: Path, labels: dict[str, LabelArray]) -> None:
    for group, values in labels.items():
        rows = np.flatnonzero((values < 0).any(axis=1)).tolist()
        if rows:
            more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
            raise DataError(
                f"{path} has a label {values[rows[0]].min():g} in row {rows[0]}{more} of {group}; classes are numbered "
                "from 0, and -1 often stands for a missing label: leave these images out, number classes from 0, or "
                "say --task regression if they are amounts"
            )


def _in_order(found: NpzLabelling, wanted: Sequence[str]) -> NpzLabelling:
    """Give classes numbers (or put columns) as they were asked for, by their numbers."""
    if not wanted:
        return found
    order = [found.classes.index(names[0]) for names in matched(wanted, found.classes).values()]
    classes = tuple(found.classes[i] for i in order)
    if found.task == "multi-label":
        return NpzLabelling(found.task, classes, {group: values[:, order] for group, values in found.values.items()})
    place = np.argsort(order).astype(np.int64)
    numbers: dict[str, LabelArray] = {group: place[values.astype(np.int64)] for group, values in found.values.items()}
    return NpzLabelling(found.task, classes, numbers)


def _say_doubts(path: Path, found: NpzLabelling, count: int, progress: Progress) -> None:
    """Say what makes class numbers look as if they were meant otherwise."""
    there = np.unique(np.concatenate([values[:, 0] for values in found.values.values()]))
    if len(there) > 2 and len(there) > count / 2:
        progress.say(
            f"{path}: {len(there)} classes in {count} labels: more classes than half the images; say --task regression "
            "if they are numbers"
        )
    absent = [name for i, name in enumerate(found.classes) if i not in there]
    if absent:
        progress.say(
            f"{path}: no image is of class {', '.join(absent[:6])}{' ...' if len(absent) > 6 else ''}, as classes are "
            f"numbered 0 to {len(found.classes) - 1}; such a class leaves the AUC undefined"
        )


def _has_fractions(values: LabelArray) -> bool:
    return values.dtype == np.float64 and bool((values != np.floor(values)).any())


def _several(
    path: Path, every: NDArray[np.int64], whole: dict[str, LabelArray], asked: TaskType | None, progress: Progress
) -> NpzLabelling:
    """Take columns of 0 and 1 as labels of their own, or as one class an image where that is declared."""
    count = every.shape[1]
    if every.max() > 1:
        raise DataError(f"{path} has {count} labels an image and a value {every.max()}; each is 0 or 1")
    names = tuple(str(i) for i in range(count))
    ones = every.sum(axis=1)
    if asked in (None, "multi-label"):
        if asked is None and (ones == 1).all():
            progress.say(f"{path}: {one_hot_hint(count)}")
        return NpzLabelling("multi-label", names, whole)
    if (ones != 1).any():
        raise DataError(
            f"{path} has an image with {ones[ones != 1][0]} of {count} labels, and {asked} takes exactly one; "
            "say --task multi-label"
        )
    numbers: dict[str, LabelArray] = {group: values.argmax(axis=1)[:, None] for group, values in whole.items()}
    return NpzLabelling(asked, names, numbers)


def _classes(path: Path, whole: dict[str, LabelArray], asked: TaskType | None) -> NpzLabelling:
    low = min(int(values.min()) for values in whole.values())
    high = max(int(values.max()) for values in whole.values())
    if low > 0:
        # A class 0 without an image would be counted in every metric.
        raise DataError(
            f"{path} has the labels {low}..{high} and none is 0; number classes from 0 (save labels - {low}), or say "
            "--task regression if they are amounts"
        )
    classes = tuple(str(i) for i in range(high + 1))
    return NpzLabelling(asked or ("binary-class" if len(classes) <= 2 else "multi-class"), classes, whole)
