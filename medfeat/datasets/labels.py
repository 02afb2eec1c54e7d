"""From labels as people write them to a task type, class names and numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medfeat.types import LabelArray, TaskType

SEPARATOR = "|"


class BadLabel(ValueError):  # noqa: N818 - the reader of the CSV turns it into a DataError with the line
    """A label that cannot be meant; `row` is its position."""

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(reason)
        self.row = row


@dataclass(frozen=True)
class Labelling:
    """Labels in numbers.

    Attributes
    ----------
    task
        What they mean.
    classes
        Class names in label order; label names for multi-label, the target's name for regression.
    values
        (n, k) int64 or float64.
    """

    task: TaskType
    classes: tuple[str, ...]
    values: LabelArray

    def taken(self, order: Sequence[int]) -> Labelling:
        """Return the labels in another order."""
        return Labelling(self.task, self.classes, self.values[np.asarray(order, dtype=np.int64)])


def one_column(texts: Sequence[str], name: str, task: TaskType | None = None) -> Labelling:
    """Read one label a sample.

    Whole numbers and words are classes; a ``|`` anywhere makes the set multi-label (``a|b``, and ``|`` alone for none
    of them); fractions make it a regression. What is declared in `task` goes before all this.

    Parameters
    ----------
    texts
        (n,) the labels as written.
    name
        The column, which names the target of a regression.
    task
        What the labels mean; None tells it from the labels.

    Raises
    ------
    BadLabel
        For a label that is empty or does not fit the task.
    """
    for row, text in enumerate(texts):
        if not text:
            raise BadLabel(row, f"the label in column {name!r} is empty; every image needs one, or none at all")
    if task == "multi-label" or (task is None and any(SEPARATOR in text for text in texts)):
        return _several_in_one(texts)
    if task == "regression" or (task is None and _are_fractions(texts)):
        return Labelling("regression", (name,), _numbers(texts, name))
    return classes_of(texts, task)


def classes_of(texts: Sequence[str], task: TaskType | None = None) -> Labelling:
    """Give each class a number: whole numbers in their order, words in that of the alphabet."""
    names = sorted(set(texts), key=_class_order)
    number = {name: i for i, name in enumerate(names)}
    values = np.array([[number[text]] for text in texts], dtype=np.int64)
    return Labelling(task or ("binary-class" if len(names) == 2 else "multi-class"), tuple(names), values)


def several_columns(columns: Sequence[Sequence[str]], names: Sequence[str], task: TaskType | None = None) -> Labelling:
    """Read a label a column: 0 or 1 each, or numbers when the task is a regression."""
    if task == "regression":
        numbers = [_numbers(texts, name) for texts, name in zip(columns, names, strict=True)]
        return Labelling("regression", tuple(names), np.concatenate(numbers, axis=1))
    for texts, name in zip(columns, names, strict=True):
        for row, text in enumerate(texts):
            if text not in ("0", "1", "0.0", "1.0"):
                raise BadLabel(row, f"column {name!r} must be 0 or 1, as each of several label columns, got {text!r}")
    values = np.array([[int(float(text)) for text in row] for row in zip(*columns, strict=True)], dtype=np.int64)
    return Labelling("multi-label", tuple(names), values)


def _several_in_one(texts: Sequence[str]) -> Labelling:
    sets = [{part.strip() for part in text.split(SEPARATOR) if part.strip()} for text in texts]
    names = sorted(set().union(*sets), key=_class_order)
    values = np.array([[int(name in labels) for name in names] for labels in sets], dtype=np.int64)
    return Labelling("multi-label", tuple(names), values.reshape(len(texts), len(names)))


def _numbers(texts: Sequence[str], name: str) -> NDArray[np.float64]:
    values = []
    for row, text in enumerate(texts):
        number = _as_number(text)
        if number is None:
            raise BadLabel(row, f"column {name!r} must be a number, got {text!r}")
        values.append([number])
    return np.array(values, dtype=np.float64)


def _as_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _are_fractions(texts: Sequence[str]) -> bool:
    numbers = [_as_number(text) for text in texts]
    return all(number is not None for number in numbers) and any(number != int(number) for number in numbers if number)


def _class_order(name: str) -> tuple[int, float, str]:
    number = _as_number(name)
    return (0, number, name) if number is not None else (1, 0.0, name)
