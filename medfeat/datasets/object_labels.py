"""What the labels mean that come with a program's images: numbers, words, or a row of 0 and 1 an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from medfeat.datasets.labels import Labelling, classes_of
from medfeat.datasets.npzlabels import npz_labelling
from medfeat.errors import DataError
from medfeat.types import LabelArray, Progress, TaskType


UNREAD: Final = object()
"""Stands for the label of an image that could not be read, whose label came with it."""


@dataclass(frozen=True)
class ObjectLabels:
    """Labels in numbers: task and class names, and (n, k) values a group; empty when there are none."""

    task: TaskType | None = None
    classes: tuple[str, ...] = ()
    values: Mapping[str, LabelArray] = field(default_factory=dict)


def object_labels(
    name: str,
    labels: Mapping[str, Sequence[object]],
    classes: Sequence[str],
    task: TaskType | None,
    progress: Progress,
) -> ObjectLabels:
    """Tell task and classes from labels as they came with the images, over all groups.

    Parameters
    ----------
    name
        Of the set, for errors.
    labels
        One an image and group; None where it has none, `UNREAD` where it could not be read.
    classes
        Names in label order where the object knows them.
    task
        What they mean; None tells it from them.
    progress
        Told when they can be meant in two ways.

    Raises
    ------
    DataError
        When some images have labels and others none, or they are neither numbers, words, nor rows of numbers.
    """
    every = [label for group in labels.values() for label in group if label is not UNREAD]
    if all(label is None for label in every):
        return ObjectLabels()
    if any(label is None for label in every):
        raise DataError(f"some images of {name} have a label and others none; give every image one, or none at all")
    # What could not be read is in no score: its label only keeps the place.
    filled = {group: [every[0] if label is UNREAD else label for label in found] for group, found in labels.items()}
    if isinstance(every[0], str):
        return _of_words(name, filled, classes, task)
    values = {group: _as_rows(name, found) for group, found in filled.items()}
    found = npz_labelling(Path(name), values, task, progress)
    if found.task == "regression" or len(classes) < len(found.classes):
        return ObjectLabels(found.task, found.classes, found.values)
    # Classes that no image has are classes all the same.
    many = task is None and found.task == "binary-class" and len(classes) > 2
    return ObjectLabels("multi-class" if many else found.task, tuple(classes), found.values)


def _of_words(
    name: str, labels: Mapping[str, Sequence[Any]], classes: Sequence[str], task: TaskType | None
) -> ObjectLabels:
    words = [str(label) for group in labels.values() for label in group]
    if task not in (None, "binary-class", "multi-class", "ordinal-regression"):
        raise DataError(f"the labels of {name} are words, such as {words[0]!r}, and {task} takes numbers")
    found = _numbered(words, classes, task) if set(words) <= set(classes) else classes_of(words, task)
    ends = np.cumsum([len(group) for group in labels.values()])[:-1]
    return ObjectLabels(found.task, found.classes, dict(zip(labels, np.split(found.values, ends), strict=True)))


def _numbered(words: Sequence[str], classes: Sequence[str], task: TaskType | None) -> Labelling:
    number = {word: i for i, word in enumerate(classes)}
    values = np.array([[number[word]] for word in words], dtype=np.int64)
    return Labelling(task or ("binary-class" if len(classes) == 2 else "multi-class"), tuple(classes), values)


def _as_rows(name: str, labels: Sequence[Any]) -> LabelArray:
    """Return (n, k) numbers from numbers, arrays, tensors or lists, one an image."""
    try:
        rows = [np.asarray(label.detach().cpu() if hasattr(label, "detach") else label).reshape(-1) for label in labels]
        values = np.stack(rows)
    except (TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"the labels of {name} are not alike ({reason}): give every image as many") from error
    if values.dtype.kind not in "uifb" or values.shape[1] == 0:
        raise DataError(f"the labels of {name} are of type {values.dtype}; give class numbers, words or numbers")
    if values.dtype.kind != "f":
        return values.astype(np.int64)
    if not np.isfinite(values).all():
        raise DataError(f"a label of {name} is no number (NaN or infinite); every image needs a label")
    return values.astype(np.float64)
