"""Features and labels of a task, joined by id, a split at a time and only when asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np

from medfeat.errors import DataError
from medfeat.tasks.bags import Bags
from medfeat.tasks.binding import bound
from medfeat.tasks.check import examples
from medfeat.tasks.patients import PatientStore
from medfeat.tasks.readable import Readable
from medfeat.types import FloatArray, IdArray, LabelArray, Task
from medfeat_cache import FeatureStore, one_vector


@dataclass(frozen=True)
class Split:
    """One split of a task.

    Attributes
    ----------
    name
        ``train``, ``val`` or ``test``.
    X
        (n, d) float32 (or float64) features; may be mapped from the store's file and read-only. Where bags were asked
        for, `medfeat.tasks.bags.Bags` of shape (n, P, d).
    y
        (n, k) labels.
    ids
        (n,) sample ids.
    group
        (n,) patients, None when unknown.
    """

    name: str
    X: FloatArray
    y: LabelArray
    ids: IdArray
    group: IdArray | None


class Samples:
    """A task's splits; each is read from the store when it is first asked for, test last of all.

    Attributes
    ----------
    store, task
        What was joined.
    opened
        The splits whose labels were handed out so far, in order; a protocol can show that test came last.
    """

    def __init__(self, store: Readable, task: Task, *, bags: bool = False) -> None:
        self.store = store
        self.task = task
        self._bags = bags
        self.opened: list[str] = []

    def ids(self, split: str) -> IdArray:
        """Return the (n,) ids of a split, in the task's order."""
        found: IdArray = self.task.ids[self.task.split == split]
        return found

    def X(self, split: str) -> FloatArray:  # noqa: N802 - the field's own name
        """Return the (n, d) features, or the bags, of a split in the order of `ids`; labels stay closed."""
        ids = self.ids(split)
        if self._bags and isinstance(self.store, PatientStore):
            return cast(FloatArray, self.store.bags(ids))
        if self._bags and isinstance(self.store, FeatureStore):
            return cast(FloatArray, Bags.of(self.store, ids))
        # A split that is a group of the store, in its order, can be mapped instead of copied.
        same = split in self.store.groups and np.array_equal(self.store.ids(split), ids)
        found = self.store.embeddings(split) if same else self.store.take(ids)
        return found.astype(np.float32) if found.dtype == np.float16 else found

    def split(self, name: str) -> Split:
        """Return a split with its labels, and note in `opened` that they were handed out.

        Raises
        ------
        DataError
            The task has no samples in it.
        """
        here = self.task.split == name
        if not here.any():
            raise DataError(f"task {self.task.name!r} has no {name} samples: add a split column or choose another task")
        self.opened.append(name)
        group = None if self.task.group is None else self.task.group[here]
        return Split(name, self.X(name), self.task.labels[here], self.task.ids[here], group)

    @cached_property
    def train(self) -> Split:
        """What heads learn from."""
        return self.split("train")

    @cached_property
    def val(self) -> Split:
        """What selects."""
        return self.split("val")

    @cached_property
    def test(self) -> Split:
        """What is read once, after the choice is written down."""
        return self.split("test")


def gather(store: Readable, task: Task, *, bags: bool = False) -> Samples:
    """Join a store and a task by id.

    Parameters
    ----------
    store
        A `FeatureStore`, several fused by `medfeat.tasks.fuse`, or one of `medfeat.tasks.patients.by_patient`.
    task
        Its ids may be any part of the store's, in any order.
    bags
        Where a sample has several vectors, give them all instead of their mean.

    Raises
    ------
    DataError
        Ids of the task that the store does not hold, or under which it shows other images than the task was made for.
    """
    stored = np.concatenate([store.ids(group) for group in store.groups])
    unknown = task.ids[~np.isin(task.ids, stored)]
    if len(unknown):
        raise DataError(
            f"task {task.name!r}: {len(unknown)} of {len(task.ids)} ids are not in {store.path}: {examples(unknown)}; "
            "take the task of this dataset, or extract those images"
        )
    several = isinstance(store, PatientStore) or (isinstance(store, FeatureStore) and len(store.shape) > 1)
    if isinstance(store, FeatureStore) and not bags:
        store = one_vector(store)
    return Samples(store, bound(task, store), bags=several and bags)
