"""The question a dataset came with: its own labels and splits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medfeat.errors import DataError, MissingFileError
from medfeat.tasks.check import check_task, subset
from medfeat.tasks.file import load_task, task_names
from medfeat.tasks.fusion import Readable
from medfeat.types import OFFICIAL_GROUPS, LabelArray, Task

OFFICIAL = "official"


def tasks_folder(store: Readable) -> Path:
    """Return the folder of the saved tasks of a store's dataset; it need not exist."""
    return store.path.parent.parent / "tasks"


def official(store: Readable) -> Task:
    """Return the dataset's own labels and splits for the samples that are in the store.

    Official sets keep their three groups in the store. Own images have one group, and their labels and split are the
    saved task ``official`` beside the store, written when they were embedded.

    Raises
    ------
    DataError
        The dataset has no labels.
    """
    info = store.info["dataset"]
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
            origin=f"official labels and splits of {info['name']}",
        )
    )


def _is_own(info: Mapping[str, Any]) -> bool:
    return info.get("source") not in ("medmnist", "synthetic")


def _has_saved(store: Readable) -> bool:
    return OFFICIAL in task_names(tasks_folder(store))


def _labels(store: Readable, group: str) -> LabelArray:
    labels = store.labels(group)
    if labels is None or store.info["dataset"]["task"] is None:
        name = store.info["dataset"]["name"]
        raise DataError(f"{name} has no labels in {store.path}: give some with --labels FILE.csv (columns id,label)")
    return labels


def _saved(store: Readable) -> Task:
    try:
        task = load_task(OFFICIAL, tasks_folder(store))
    except MissingFileError as error:
        name = store.info["dataset"]["name"]
        raise DataError(
            f"{name} has no labels of its own: give some with --labels FILE.csv (columns id,label)"
        ) from error
    here = np.isin(task.ids, np.concatenate([store.ids(group) for group in store.groups]))
    if not here.any():
        raise DataError(f"none of the {len(task.ids)} labelled ids is in {store.path}: extract the images again")
    if here.all():
        return task
    # An unreadable image has a label and no embedding: said, and left out.
    return subset(task, here, origin=f"{task.origin} ({int((~here).sum())} labelled images are not in this store)")
