"""What the labels of an .npz file mean: classes, several labels an image, or numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
    path: Path, labels: dict[str, LabelArray], asked: TaskType | None, progress: Progress
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
        return NpzLabelling("regression", columns, labels)
    if _has_fractions(every):
        found = every[every != np.floor(every)][0]
        raise DataError(
            f"{path} has a label {found:g}, and {asked} takes whole numbers; leave the task out for numbers"
        )
    if every.min() < 0:
        raise DataError(f"{path} has a label {every.min():g}; classes are numbered from 0")
    whole: dict[str, LabelArray] = {group: values.astype(np.int64) for group, values in labels.items()}
    if len(columns) > 1 or asked == "multi-label":
        return _several(path, every.astype(np.int64), whole, asked, progress)
    return _classes(path, whole, asked)


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
            progress.say(
                f"{path}: every image has exactly one of {count} labels; they are taken for a multi-label set, "
                "say --task multi-class if they are classes"
            )
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
