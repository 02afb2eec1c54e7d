"""The question a dataset came with: its own labels and splits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medfeat.errors import DataError, MissingFileError
from medfeat.tasks.binding import bound, images_of, of_a_name, tasks_folder
from medfeat.tasks.check import check_task, subset
from medfeat.tasks.file import load_task, task_names
from medfeat.tasks.readable import Readable
from medfeat.tasks.versions import short
from medfeat.types import OFFICIAL_GROUPS, OFFICIAL_SOURCES, LabelArray, Task

OFFICIAL = "official"


def official(store: Readable) -> Task:
    """Return the dataset's own labels and splits for the samples that are in the store.

    Official sets keep their three groups in the store. Own images have one group, and their labels and split are the
    saved task ``official`` beside the store, written when they were embedded and bound to them.

    Raises
    ------
    DataError
        The dataset has no labels, or those that are saved are of other images.
    """
    info = store.info.get("dataset")
    if not info:
        raise DataError(f"{store.path} was imported without a task: give labels with --labels FILE.csv (id,label)")
    if not set(store.groups) <= set(OFFICIAL_GROUPS) or (_is_own(info) and _has_saved(store)):
        return _saved(store)
    labels: LabelArray = np.concatenate([_labels(store, group) for group in store.groups])
    return check_task(
        Task(
            name=OFFICIAL,
            task_type=info["task"],
            classes=tuple(info["classes"]),
            ids=np.concatenate([store.ids(group) for group in store.groups]),
            labels=labels,
            split=np.repeat(np.array(store.groups), [len(store.ids(group)) for group in store.groups]),
            origin=f"{'own' if _is_own(info) else 'official'} labels and splits of {info['name']}",
        )
    )


def _is_own(info: Mapping[str, Any]) -> bool:
    return info.get("source") not in OFFICIAL_SOURCES


def _has_saved(store: Readable) -> bool:
    return any(OFFICIAL in task_names(folder) for folder in (tasks_folder(store), _bound_tasks(store)))


def _bound_tasks(store: Readable) -> Path:
    """Return where the tasks of exactly these images lie; for images without a version, where all lie."""
    key = images_of(store)
    return tasks_folder(store) / short(key) if key else tasks_folder(store)


def _labels(store: Readable, group: str) -> LabelArray:
    labels = store.labels(group)
    if labels is None or store.info["dataset"]["task"] is None:
        name = store.info["dataset"]["name"]
        raise DataError(f"{name} has no labels in {store.path}: give some with --labels FILE.csv (columns id,label)")
    return labels


def _saved(store: Readable) -> Task:
    here = OFFICIAL in task_names(_bound_tasks(store))
    try:
        found = load_task(OFFICIAL, _bound_tasks(store) if here else tasks_folder(store))
        task = bound(found if here else of_a_name(found, store), store)
    except MissingFileError as error:
        name = store.info["dataset"]["name"]
        raise DataError(
            f"{name} has no labels of its own: give some with --labels FILE.csv (columns id,label)"
        ) from error
    stored = np.isin(task.ids, np.concatenate([store.ids(group) for group in store.groups]))
    if not stored.any():
        raise DataError(f"none of the {len(task.ids)} labelled ids is in {store.path}: extract the images again")
    if stored.all():
        return task
    # An unreadable image has a label and no embedding: said, and left out.
    return subset(task, stored, origin=f"{task.origin} ({int((~stored).sum())} labelled images are not in this store)")
