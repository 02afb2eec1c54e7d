"""Which question is asked of stores: a dataset's own, a saved one, labels from a file, or any of these changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medfeat.comma_lists import as_names
from medfeat.datasets.labels.class_spelling import class_list
from medfeat.datasets.labels.table_file import TABLES
from medfeat.errors import DataError, UsageError
from medfeat.evaluation.runs.run import task_digest
from medfeat.tasks import OFFICIAL, bound, check_task, drop, find_task, from_csv, keep, keep_task, official, relabel
from medfeat.tasks.classes import in_order
from medfeat.tasks.readable import Readable
from medfeat.tasks.retype import retype
from medfeat.types import TASK_TYPES, Progress, Task
from medfeat.workflows.asking.given_names import refuse_objects

_GIVEN = "given"
LABELS, LABEL_COLUMN = "--labels", "--label-column"


@dataclass(frozen=True)
class Question:
    """A task in the words of whoever asks; `of` makes it a task of a store, and nothing is embedded for it.

    Attributes
    ----------
    task
        A task, the name of a saved one, or a task type that the labels are to be read as; None means the dataset's own.
    labels
        CSV with ``id`` (or ``path``) and a label, or several.
    label_column
        The label column, or several, of these labels; without them, of the CSV that the images came from.
    drop, keep
        Classes to leave out, or to keep alone.
    relabel
        Classes to merge: ``"0,1,2=abnormal;3=normal"``.
    name
        Saves the task under this name beside the dataset's stores.
    partial
        Labels may lack stored samples, which are then left out.
    classes
        Every class of these labels in order, before any is dropped or merged: it numbers them, and is the scale of
        grades.
    aside
        A column of these labels that is no label, such as a hospital.
    """

    task: str | Task | None = None
    labels: str | Path | None = None
    drop: str | None = None
    keep: str | None = None
    relabel: str | None = None
    name: str | None = None
    partial: bool = False
    classes: str | Sequence[str] | None = None
    aside: str | None = None
    label_column: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        refuse_objects(labels=self.labels)

    @property
    def plain(self) -> bool:
        """Whether it is a dataset's own question, unchanged."""
        return replace(self, aside=None) in (Question(), Question(task=OFFICIAL))

    @property
    def words(self) -> dict[str, Any] | None:
        """The options that put it again, from any folder; None where a program handed the task over."""
        if isinstance(self.task, Task):
            return None
        told = {
            "task": None if self.task == OFFICIAL else self.task,
            "labels": None if self.labels is None else str(Path(self.labels).absolute()),
            "label_column": list(as_names(self.label_column)) if self.label_column else None,
            "classes": None if self.classes is None else list(class_list(self.classes)),
            **{name: getattr(self, name) or None for name in ("relabel", "keep", "drop", "partial")},
        }
        return {name: value for name, value in told.items() if value is not None}

    def of(self, store: Readable, progress: Progress | None = None) -> Task:
        """Return the task of a store, saved when it was given a name; `progress` is told how labels were read.

        Raises
        ------
        UsageError
            Options that exclude each other, or classes that the task does not have.
        DataError
            Labels that are not of this store, or that cannot be meant.
        """
        task = self._source(store, progress)
        task = drop(task, self.drop) if self.drop else task
        task = keep(task, self.keep) if self.keep else task
        task = relabel(task, self.relabel) if self.relabel else task
        if self.task in TASK_TYPES:
            stated = bool(self.relabel or self.classes)  # both say an order
            task = retype(task, self.task, stated=stated)
        if self.name is None:
            return task
        if self.name == OFFICIAL or self.name in TASK_TYPES:
            raise UsageError(
                f"a task cannot be named {self.name!r}, which has a meaning of its own: choose another name"
            )
        task = replace(task, name=self.name)
        keep_task(task, store)
        return task

    def _source(self, store: Readable, progress: Progress | None) -> Task:
        saved = self.task not in (None, OFFICIAL) and self.task not in TASK_TYPES
        if self.labels is not None or self.label_column is not None:
            if saved:
                option = LABELS if self.labels is not None else LABEL_COLUMN
                raise UsageError(f"{option} and a saved --task exclude each other: give one of them")
            return self._from_file(store, progress)
        if isinstance(self.task, Task):
            task = _given(bound(check_task(self.task), store), store)
        else:
            task = find_task(str(self.task), store) if saved else official(store)
        return in_order(task, class_list(self.classes)) if self.classes else task

    def _from_file(self, store: Readable, progress: Progress | None) -> Task:
        """Read the labels of a file: the one that was given, or that of the images themselves."""
        path, of_images = (
            (Path(self.labels), None) if self.labels is not None else file_of_images(store, LABEL_COLUMN, LABELS)
        )
        columns = as_names(self.label_column) if self.label_column else ()
        stem = "+".join(columns) or path.stem
        # A file or a column may be called official; the name is that of the dataset's own question.
        name = f"{stem}-labels" if stem in (OFFICIAL, *TASK_TYPES) else stem
        return from_csv(
            path,
            store,
            name=self.name or name,
            task_type=next((kind for kind in TASK_TYPES if kind == self.task), None),
            columns=columns,
            of_images=of_images,
            classes=self.classes,
            aside=self.aside,
            partial=self.partial,
            progress=progress,
        )


def file_of_images(store: Readable, option: str, file_option: str) -> tuple[Path, str]:
    """Return the table that the images of a store came from, and its column of paths.

    Parameters
    ----------
    store
        Whose images.
    option, file_option
        What names a column, and what names another table that has it.

    Raises
    ------
    UsageError
        They came from no table.
    """
    source = store.info.get("source") or {}
    path = Path(str(source.get("data", "")))
    if path.suffix.lower() not in TABLES:
        raise UsageError(f"{option} is a column of {file_option} FILE.csv: the images of {store.path} came from no CSV")
    return path, str(source.get("path_column") or "path")


def _given(task: Task, store: Readable) -> Task:
    """Return a task that was handed over; it goes by ``official`` only where it is the dataset's own question."""
    if task.name != OFFICIAL:
        return task
    try:
        same = task_digest(official(store)) == task_digest(task)
    except DataError:
        same = False
    return task if same else replace(task, name=_GIVEN)
