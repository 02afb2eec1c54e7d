"""From labels as people write them to a task type, class names and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.labels.cells import (
    DOUBTFUL,
    UnclearNumber,
    any_number,
    folded,
    is_infinite,
    is_missing,
    read_numbers,
    whole_number,
)
from medfeat.datasets.labels.class_spelling import BadLabel, Classes, matched, tell_classes
from medfeat.errors import DataError, UsageError
from medfeat.task_types import CLASS_TYPES, graded, order_fault, type_fault
from medfeat.types import LabelArray, Progress, TaskType
from medfeat_cache.commands import command

SEPARATOR = "|"
YES, NO = ("1", "true", "yes"), ("0", "false", "no")


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
    said
        What a person should hear of how they were read.
    """

    task: TaskType
    classes: tuple[str, ...]
    values: LabelArray
    said: tuple[str, ...] = ()

    def taken(self, order: Sequence[int]) -> Labelling:
        """Return the labels in another order."""
        return replace(self, values=self.values[np.asarray(order, dtype=np.int64)])


def one_column(texts: Sequence[str], name: str, task: TaskType | None = None, wanted: Sequence[str] = ()) -> Labelling:
    """Read one label a sample.

    Whole numbers and words are classes; a ``|`` anywhere makes the set multi-label (``a|b``, and ``|`` alone for none
    of them); fractions make it a regression. What is declared in `task` and `wanted` goes before all this.

    Parameters
    ----------
    texts
        (n,) the labels as written.
    name
        The column, which names the target of a regression.
    task
        What the labels mean; None tells it from the labels.
    wanted
        The classes in their order; a word such as ``none`` or ``unknown`` that it holds is a class, not a label that is
        missing.

    Raises
    ------
    BadLabel
        For a label that is missing or does not fit the task or the others.
    UsageError
        `wanted` does not name exactly the classes there are.
    """
    if task == "multi-label" or (task is None and any(SEPARATOR in text for text in texts)):
        _refuse_missing(texts, name, wanted)
        return _several_in_one(texts, wanted)
    _refuse_missing(texts, name, wanted)
    if task == "regression" or (task is None and not wanted and _are_fractions(texts, name)):
        refuse_classes_of_numbers(wanted)
        values, said = _numbers(texts, name)
        return Labelling("regression", (name,), values, said)
    if not wanted:
        _refuse_amounts(texts, name, task)
        _refuse_several(texts, task)
    return _classes_of(texts, task, wanted)


def _refuse_several(texts: Sequence[str], task: TaskType | None) -> None:
    rows = [row for row, text in enumerate(texts) if SEPARATOR in text]
    if rows:
        found = f"{texts[rows[0]]!r} names several labels, and {task} takes one"
        raise BadLabel(rows, found, "say --task multi-label, or name the classes with --classes if it is one of them")


def of_folders(texts: Sequence[str], task: TaskType | None = None, wanted: Sequence[str] = ()) -> Labelling:
    """Read the names of class folders, one an image: a folder is a class on purpose, whatever it is called.

    Raises
    ------
    BadLabel, UsageError
        As `one_column` does, missing labels aside.
    """
    if task == "regression":
        refuse_classes_of_numbers(wanted)
        values, said = _numbers(texts, "folder")
        return Labelling("regression", ("folder",), values, said)
    found = _several_in_one(texts, wanted) if task == "multi-label" else _classes_of(texts, task, wanted)
    named = {folded(one).casefold() for one in wanted}
    missing = [name for name in dict.fromkeys(texts) if is_missing(name) and folded(name).casefold() not in named]
    aloud = [f"the folder {name!r} is taken for a class: move it away if its images have no label" for name in missing]
    return replace(found, said=(*found.said, *aloud))


def _classes_of(texts: Sequence[str], task: TaskType | None = None, wanted: Sequence[str] = ()) -> Labelling:
    """Give each class a number: in the order of `wanted`, else numbers in theirs, words in that of the alphabet.

    Raises
    ------
    BadLabel
        The task is ordinal and neither `wanted` nor the names say the order; or names differ in capitals alone.
    """
    told = tell_classes(texts, wanted)
    if task == "ordinal-regression":
        told = in_order(told, stated=bool(wanted))
    values = np.array([[told.number[text]] for text in texts], dtype=np.int64)
    kind = task or ("binary-class" if len(told.names) == 2 else "multi-class")
    return Labelling(kind, told.names, values, told.said)


def in_order(classes: Classes, *, stated: bool) -> Classes:
    """Return grades from least to most, as was stated or as their names say it; the order is among what is said.

    Raises
    ------
    BadLabel
        Nothing says the order: that of the alphabet is none.
    """
    count = len(classes.names)
    order = tuple(range(count)) if stated or count < 2 else graded(classes.names)
    if order is None:
        found, _, cure = order_fault(classes.names).partition(": ")
        raise BadLabel((), found, cure)
    names = tuple(classes.names[i] for i in order)
    place = {old: new for new, old in enumerate(order)}
    number = {text: place[old] for text, old in classes.number.items()}
    return Classes(names, number, (*classes.said, f"grades from least to most: {' < '.join(names)}"))


def several_columns(
    columns: Sequence[Sequence[str]], names: Sequence[str], task: TaskType | None = None, wanted: Sequence[str] = ()
) -> Labelling:
    """Read a label a column: 0 or 1 each, numbers when the task is a regression, one class a row when it is of classes.

    Raises
    ------
    BadLabel
        A cell that is missing or not 0 or 1; a row that is not of exactly one class where the task asks for that.
    UsageError
        `wanted` does not name exactly the columns.
    """
    for texts, name in zip(columns, names, strict=True):
        _refuse_missing(texts, name, ())
    if task == "regression":
        refuse_classes_of_numbers(wanted)
        read = [_numbers(texts, name) for texts, name in zip(columns, names, strict=True)]
        said = tuple(line for _, lines in read for line in lines)
        return Labelling("regression", tuple(names), np.concatenate([values for values, _ in read], axis=1), said)
    bits = np.stack([_bits(texts, name) for texts, name in zip(columns, names, strict=True)], axis=1)
    if wanted:
        order = [list(names).index(found[0]) for found in matched(wanted, names).values()]
        bits, names = bits[:, order], [names[i] for i in order]
    ones = bits.sum(axis=1)
    if task in (None, "multi-label"):
        hint = one_hot_hint(len(names)) if task is None and len(ones) and (ones == 1).all() else ""
        return Labelling("multi-label", tuple(names), bits, (hint,) * bool(hint))
    return _one_hot(bits, names, task, stated=bool(wanted))


def one_hot_hint(count: int) -> str:
    """Return what is said of columns that could be one class an image."""
    return (
        f"every image has exactly one of {count} labels; they are taken for a multi-label set, "
        "say --task multi-class if they are classes"
    )


def _one_hot(bits: NDArray[np.int64], names: Sequence[str], task: TaskType | None, *, stated: bool) -> Labelling:
    ones = bits.sum(axis=1)
    wrong = np.flatnonzero(ones != 1).tolist()
    if wrong:
        found = f"{ones[wrong[0]]} of {len(names)} labels are 1, and {task} takes exactly one"
        raise BadLabel(wrong, found, "mend these rows, or say --task multi-label")
    told = Classes(tuple(names), {name: i for i, name in enumerate(names)})
    if task == "ordinal-regression":
        told = in_order(told, stated=stated)
    place = np.array([told.names.index(name) for name in names])
    return Labelling(task or "multi-class", told.names, place[bits.argmax(axis=1)][:, None], told.said)


def _refuse_missing(texts: Sequence[str], name: str, wanted: Sequence[str]) -> None:
    """Refuse labels that are missing, all of their rows named; a word that `wanted` holds is a class."""
    named = {folded(one).casefold() for one in wanted}
    rows = [row for row, text in enumerate(texts) if is_missing(text) and folded(text).casefold() not in named]
    if not rows:
        return
    text = texts[rows[0]]
    if not folded(text):
        raise BadLabel(rows, f"the label in column {name!r} is empty", "every image needs one, or none at all")
    raise BadLabel(
        rows,
        f"the label in column {name!r} is missing ({text!r})",
        f"every image needs one, or none at all; if {text!r} is a class, name every class with --classes",
    )


def may_be_class(text: str, others: Sequence[str]) -> bool:
    """Whether a word for a missing label (``none``, ``unknown``) could be a class: beside other words, not numbers."""
    words = [other for other in others if not is_missing(other) and any_number(other) is None]
    return folded(text).casefold() in DOUBTFUL and bool(words)


def ask_something(
    where: object,
    task: TaskType | None,
    classes: Sequence[str],
    *,
    declared: TaskType | None,
    named: bool,
    progress: Progress,
) -> bool:
    """Tell whether labels ask anything; one class asks nothing, and that is said.

    Parameters
    ----------
    where
        They were found, for messages.
    task, classes
        What they are; a task of None is no labels.
    declared
        The task they were declared to be.
    named
        Whether classes were declared.
    progress
        Told of labels that are left out.

    Raises
    ------
    DataError
        Labels that cannot be what was declared, and a declaration without any labels.
    """
    if declared is not None and (fault := type_fault(declared, ("", "") if task is None else classes)):
        raise DataError(f"{where} {fault}")
    if task is None and (declared is not None or named):
        given = f"--task {declared}" if declared is not None else "--classes"
        raise DataError(f"{where} has no labels, and {given} is said of them: name the label column, or leave it out")
    if task not in CLASS_TYPES or len(classes) > 1:
        return True
    progress.say(
        f"{where}: every label is {classes[0]!r}, and one class asks nothing: the images are taken as unlabelled; "
        f"labels can come later with {command('probe', labels='FILE.csv')}"
    )
    return False


def refuse_classes_of_numbers(wanted: Sequence[str]) -> None:
    """Refuse ``--classes`` where labels are numbers."""
    if wanted:
        raise UsageError("--classes is for classes, and these labels are the numbers of a regression: leave one out")


def _several_in_one(texts: Sequence[str], wanted: Sequence[str]) -> Labelling:
    sets = [[part.strip() for part in text.split(SEPARATOR) if part.strip()] for text in texts]
    told = tell_classes([part for labels in sets for part in labels], wanted)
    values = np.zeros((len(texts), len(told.names)), dtype=np.int64)
    for row, labels in enumerate(sets):
        values[row, [told.number[part] for part in labels]] = 1
    return Labelling("multi-label", told.names, values, told.said)


def _bits(texts: Sequence[str], name: str) -> NDArray[np.int64]:
    values = []
    for row, text in enumerate(texts):
        word = folded(text).casefold()
        number = whole_number(word)
        if number not in (0, 1) and word not in YES + NO:
            raise BadLabel(
                (row,), f"column {name!r} must be 0 or 1, as each of several label columns, got {text!r}", "mend it"
            )
        values.append(int(number == 1 or word in YES))
    return np.array(values, dtype=np.int64)


def _numbers(texts: Sequence[str], name: str) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    try:
        read = read_numbers(texts)
    except UnclearNumber as error:
        raise BadLabel((error.row,), f"column {name!r}: {error}", "write every number with a decimal point") from error
    wrong = [row for row, value in enumerate(read.values) if value is None]
    if wrong:
        raise BadLabel(wrong, f"column {name!r} must be a number, got {texts[wrong[0]]!r}", "mend it, or leave it out")
    said = tuple(f"column {name!r}: {line}" for line in read.said)
    return np.array(read.values, dtype=np.float64)[:, None], said


def _are_fractions(texts: Sequence[str], name: str) -> bool:
    """Whether labels can only be the numbers of a regression: all are numbers, and one is not whole."""
    try:
        values = read_numbers(texts).values
    except UnclearNumber as error:
        raise BadLabel(
            (error.row,), f"column {name!r}: {error}", "write every number alike, with a decimal point"
        ) from error
    there = [value for value in values if value is not None]
    return len(there) == len(texts) and any(value != int(value) for value in there)


def _refuse_amounts(texts: Sequence[str], name: str, task: TaskType | None) -> None:
    """Refuse classes among labels that are rather numbers: fractions, infinity, or a code for a missing label."""
    numbers = [any_number(text) for text in texts]
    fractions = [row for row, number in enumerate(numbers) if number is not None and number != int(number)]
    words = [row for row, number in enumerate(numbers) if number is None]
    named = "if these are classes, name each with --classes, in order"
    if fractions and task is not None:
        found = f"column {name!r} holds the fraction {texts[fractions[0]]!r}, and {task} takes classes"
        raise BadLabel((fractions[0],), found, f"say --task regression; {named}")
    if fractions and words:
        found = f"the label {texts[words[0]]!r} in column {name!r} is no number beside {texts[fractions[0]]!r}"
        raise BadLabel(words, found, f"mend it; {named}")
    infinite = [row for row in words if is_infinite(texts[row])]
    if infinite and len(infinite) == len(words) < len(texts):
        found = f"the label {texts[infinite[0]]!r} in column {name!r} is no finite number"
        raise BadLabel(infinite, found, f"mend it; {named}")
    whole = [whole_number(text) for text in texts]
    codes = [row for row, number in enumerate(whole) if number is not None and number < 0]
    if codes and 0 in whole:
        found = f"the label {texts[codes[0]]} in column {name!r} lies below class 0 and may stand for a missing label"
        raise BadLabel(codes, found, f"leave these rows out, or say --task regression; {named}")
