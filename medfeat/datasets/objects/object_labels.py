"""What the labels mean that come with a program's images: numbers, words, or a row of 0 and 1 an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from medfeat.datasets.labels.labelling import Labelling, ask_something, refuse_classes_of_numbers
from medfeat.datasets.npz.npz_labels import NpzLabelling, npz_labelling, npz_words
from medfeat.errors import DataError
from medfeat.task_types import shortened
from medfeat.types import LabelArray, Progress, TaskType

UNREAD: Final = object()
"""Stands for the label of an image that could not be read, whose label came with it."""


@dataclass(frozen=True)
class ObjectLabels:
    """Labels in numbers: task and class names, and (n, k) values a group; empty when there are none."""

    task: TaskType | None = None
    classes: tuple[str, ...] = ()
    values: Mapping[str, LabelArray] = field(default_factory=dict)

    def together(self) -> Labelling | None:
        """Return the labels of all groups one after the other, None when there are none."""
        if self.task is None:
            return None
        return Labelling(self.task, self.classes, np.concatenate(list(self.values.values())))


def object_labels(
    name: str,
    labels: Mapping[str, Sequence[object]],
    task: TaskType | None,
    progress: Progress,
    *,
    known: Sequence[str] = (),
    wanted: Sequence[str] = (),
) -> ObjectLabels:
    """Tell task and classes from labels as they came with the images, over all groups.

    Parameters
    ----------
    name
        Of the set, for errors.
    labels
        One an image and group; None where it has none, `UNREAD` where it could not be read.
    task
        What they mean; None tells it from them.
    progress
        Told when they can be meant in two ways.
    known
        Class names in label order where the object knows them.
    wanted
        Those that were declared, which go before these.

    Raises
    ------
    DataError
        When some images have labels and others none, they are neither numbers, words, nor rows of numbers, there are
        more classes than names, or they cannot be what was declared.
    """
    found = _read(name, labels, task, progress, known=known, wanted=wanted)
    named = bool(wanted)
    if ask_something(name, found.task, found.classes, declared=task, named=named, progress=progress):
        return found
    return ObjectLabels()


def _read(
    name: str,
    labels: Mapping[str, Sequence[object]],
    task: TaskType | None,
    progress: Progress,
    *,
    known: Sequence[str],
    wanted: Sequence[str],
) -> ObjectLabels:
    every = [label for group in labels.values() for label in group if label is not UNREAD]
    if all(label is None for label in every):
        return ObjectLabels()
    if any(label is None for label in every):
        raise DataError(f"some images of {name} have a label and others none; give every image one, or none at all")
    # What could not be read is in no score: its label only keeps the place.
    filled = {group: [every[0] if label is UNREAD else label for label in found] for group, found in labels.items()}
    if all(isinstance(label, str) for label in every):
        # the order in which an object happens to know its classes is no order of grades
        names = tuple(wanted if task == "ordinal-regression" else wanted or known)
        return _of_words(name, filled, names, task, progress)
    found = npz_labelling(Path(name), {g: _as_rows(name, rows) for g, rows in filled.items()}, task, progress)
    if found.task == "regression":
        refuse_classes_of_numbers(wanted)
        return ObjectLabels(found.task, found.classes, found.values)
    return _named(name, found, tuple(wanted or known), task)


def _of_words(
    name: str, labels: Mapping[str, Sequence[Any]], classes: tuple[str, ...], task: TaskType | None, progress: Progress
) -> ObjectLabels:
    """Give words the numbers of the classes, of which some may have no image; without classes read them as a CSV's."""
    words = {group: [str(label) for label in found] for group, found in labels.items()}
    strange = sorted({word for found in words.values() for word in found} - set(classes))
    if not classes or task in ("regression", "multi-label"):
        read = npz_words(Path(name), words, task, progress)
        return ObjectLabels(read.task, read.classes, read.values)
    if strange:
        raise DataError(f"{name} has the label {strange[0]!r}, and the classes are {shortened(classes)}: name it too")
    number = {word: i for i, word in enumerate(classes)}
    values: dict[str, LabelArray] = {
        group: np.array([[number[word]] for word in found], dtype=np.int64) for group, found in words.items()
    }
    return ObjectLabels(task or ("binary-class" if len(classes) == 2 else "multi-class"), classes, values)


def _named(name: str, found: NpzLabelling, names: tuple[str, ...], task: TaskType | None) -> ObjectLabels:
    """Give numbered classes, or columns of labels, their names; a class that no image has is one all the same."""
    count = len(found.classes)
    if not names:
        return ObjectLabels(found.task, found.classes, found.values)
    if len(names) < count or (found.task == "multi-label" and len(names) > count):
        raise DataError(
            f"{name} has {count} classes or labels by its numbers, and {len(names)} names ({shortened(names)}): name "
            "each with classes="
        )
    many = task is None and found.task == "binary-class" and len(names) > 2
    return ObjectLabels("multi-class" if many else found.task, names, found.values)


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
