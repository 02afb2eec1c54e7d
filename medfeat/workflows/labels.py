"""Which question is asked of stores: a dataset's own, a saved one, labels from a file, or any of these changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from medfeat.errors import DataError, UsageError
from medfeat.evaluation.runs import task_digest
from medfeat.tasks import OFFICIAL, bound, drop, find_task, from_csv, keep, keep_task, official, relabel
from medfeat.tasks.fusion import Readable
from medfeat.tasks.retype import retype
from medfeat.types import TASK_TYPES, Task


GIVEN = "given"


@dataclass(frozen=True)
class Question:
    """A task in the words of whoever asks; `of` makes it a task of a store, and nothing is embedded for it.

    Attributes
    ----------
    task
        A task, the name of a saved one, or a task type that the labels are to be read as; None means the dataset's own.
    labels
        CSV with ``id`` (or ``path``) and a label, or several.
    drop, keep
        Classes to leave out, or to keep alone.
    relabel
        Classes to merge: ``"0,1,2=abnormal;3=normal"``.
    name
        Saves the task under this name beside the dataset's stores.
    partial
        Labels may lack stored samples, which are then left out.
    """

    task: str | Task | None = None
    labels: str | Path | None = None
    drop: str | None = None
    keep: str | None = None
    relabel: str | None = None
    name: str | None = None
    partial: bool = False

    @property
    def plain(self) -> bool:
        """Whether it is a dataset's own question, unchanged."""
        return self == Question() or self == Question(task=OFFICIAL)

    def of(self, store: Readable) -> Task:
        """Return the task of a store, saved when it was given a name.

        Raises
        ------
        UsageError
            Options that exclude each other, or classes that the task does not have.
        DataError
            Labels that are not of this store, or that cannot be meant.
        """
        task = self._source(store)
        task = drop(task, self.drop) if self.drop else task
        task = keep(task, self.keep) if self.keep else task
        task = relabel(task, self.relabel) if self.relabel else task
        task = retype(task, self.task) if self.task in TASK_TYPES else task
        if self.name is None:
            return task
        if self.name == OFFICIAL or self.name in TASK_TYPES:
            raise UsageError(
                f"a task cannot be named {self.name!r}, which has a meaning of its own: choose another name"
            )
        task = replace(task, name=self.name)
        keep_task(task, store)
        return task

    def _source(self, store: Readable) -> Task:
        saved = self.task not in (None, OFFICIAL) and self.task not in TASK_TYPES
        if self.labels is not None:
            if saved:
                raise UsageError("--labels and a saved --task exclude each other: give one of them")
            kind = next((kind for kind in TASK_TYPES if kind == self.task), None)
            path = Path(self.labels)
            # A file may be called official.csv; the name is that of the dataset's own question.
            name = self.name or (f"{path.stem}-labels" if path.stem == OFFICIAL else None)
            return from_csv(path, store, name=name, task_type=kind, partial=self.partial)
        if isinstance(self.task, Task):
            return _given(bound(self.task, store), store)
        return find_task(str(self.task), store) if saved else official(store)


def _given(task: Task, store: Readable) -> Task:
    """Return a task that was handed over; it goes by ``official`` only where it is the dataset's own question."""
    if task.name != OFFICIAL:
        return task
    try:
        same = task_digest(official(store)) == task_digest(task)
    except DataError:
        same = False
    return task if same else replace(task, name=GIVEN)
