"""Patients as samples: a label a patient, and all images of a patient as a bag of vectors, or as their mean."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from medfeat.counted import counted
from medfeat.errors import DataError, UsageError
from medfeat.tasks.bags import PatientBags, bag_means, blocks
from medfeat.tasks.check import check_task, examples
from medfeat.tasks.readable import Probed
from medfeat.types import FloatArray, IdArray, LabelArray, Task
from medfeat_cache import canonical_json, recipe_digest

PATIENTS = "patients"
GROUP = "patients"
"""The one group that patients are stored in, whichever split they are in."""


class PatientStore:
    """A store whose rows are patients. Made by `by_patient`.

    Attributes
    ----------
    store
        Of the images, one vector each.
    members
        Patient to the ids of the images.
    path, info, dim
        Those of the store.
    recipe, digest
        Those of the store, and which images are whose.
    groups
        One, of all patients.
    """

    groups = (GROUP,)

    def __init__(self, store: Probed, members: dict[str, IdArray]) -> None:
        self.store, self.members = store, members
        self.path: Path = store.path
        self.info, self.dim = store.info, store.dim
        whose = canonical_json({name: ids.tolist() for name, ids in members.items()})
        digest = hashlib.blake2b(whose.encode(), digest_size=16).hexdigest()
        self.recipe: dict[str, Any] = {**store.recipe, "bag": PATIENTS, "patients": digest}
        self.digest = recipe_digest(self.recipe)

    def ids(self, group: str) -> IdArray:
        """Return the (n,) patients."""
        del group
        return np.array(list(self.members))

    def labels(self, group: str) -> LabelArray | None:
        """Return None: labels come with a task."""
        del group
        return None

    def bags(self, patients: Sequence[str] | IdArray) -> PatientBags:
        """Return the vectors of all images of some patients, which stay in the store until they are asked for."""
        return PatientBags(self.store, [self.members[str(name)] for name in patients])

    def embeddings(self, group: str) -> FloatArray:
        """Return (n, d) float32 means of all patients."""
        return self.take(self.ids(group))

    def take(self, ids: Sequence[str] | IdArray) -> FloatArray:
        """Return (m, d) float32 means over the images of some patients."""
        bags = self.bags(ids)
        out = np.empty((len(bags), self.dim), np.float32)
        for some, vectors in blocks(bags):
            out[some] = bag_means(vectors, bags[some].present)
        return out


def by_patient(store: Probed, task: Task) -> tuple[PatientStore, Task]:
    """Return a store and a task whose samples are patients.

    Parameters
    ----------
    store
        Of images; of one that has several vectors an image, their mean is read.
    task
        Of images, bound to the store. Its patients stay in their splits.

    Raises
    ------
    UsageError
        Nobody said whose the images are.
    DataError
        A patient whose images have different labels.
    """
    if task.group is None:
        raise UsageError(
            f"task {task.name!r} names no patients: give --labels with the columns id, label and patient, "
            "or extract with --patient-column"
        )
    patients, first, owner = np.unique(task.group, return_index=True, return_inverse=True)
    owner = owner.reshape(-1)
    differ = patients[np.unique(owner[(task.labels != task.labels[first][owner]).any(axis=1)])]
    if len(differ):
        raise DataError(
            f"task {task.name!r}: images of {counted(len(differ), 'patient')} have different labels, such as those of "
            f"{examples(differ)}: a patient has one label, so give --labels in which all images of a patient agree"
        )
    order = np.argsort(owner, kind="stable")
    parts = np.split(task.ids[order], np.cumsum(np.bincount(owner))[:-1])
    members = dict(zip(map(str, patients), parts, strict=True))
    asked = replace(
        task, name=f"{task.name} by patient", ids=patients, labels=task.labels[first], split=task.split[first],
        group=None, origin=f"{task.origin}; a label a patient", images="",
    )  # fmt: skip
    return PatientStore(store, members), check_task(asked)
