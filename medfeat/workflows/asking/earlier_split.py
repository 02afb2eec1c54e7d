"""The split that was drawn of own images before, as the cache keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from medfeat.datasets.splits.earlier_places import Earlier, was_drawn
from medfeat.errors import MedfeatError
from medfeat.tasks import OFFICIAL, load_task, task_names, tasks_of
from medfeat.tasks.versions import Version, read_versions
from medfeat.types import Dataset, Task
from medfeat_cache import slug


def saved_question(folder: Path) -> Task | None:
    """Return the labels and split that are saved in a folder of tasks, None where there are none that can be read."""
    try:
        return load_task(OFFICIAL, folder) if OFFICIAL in task_names(folder) else None
    except MedfeatError:
        return None  # damaged: it is about to be written anew


def split_of(name: str, task: Task) -> Earlier:
    """Return the split of a task as what was there before, under a name for it."""
    return Earlier(name, dict(zip(task.ids.tolist(), task.split.tolist(), strict=True)), was_drawn(task), task.origin)


def split_since(dataset: str, root: Path, version: Version, same: Mapping[str, str]) -> Earlier | None:
    """Return the split of a version for the images that a later one has from it.

    Parameters
    ----------
    dataset, root
        Its name in a cache.
    version
        The earlier one.
    same
        How it calls each of these images.

    Returns
    -------
    Earlier or None
        None where it had no labels, and so no split.
    """
    task = saved_question(tasks_of(root, dataset, version.content))
    if task is None:
        return None
    there = dict(zip(task.ids.tolist(), task.split.tolist(), strict=True))
    places = {new: there[old] for new, old in same.items() if old in there}
    return Earlier(f"{dataset}@{version.number}", places, was_drawn(task))


def split_in_cache(dataset: Dataset, root: Path) -> Earlier | None:
    """Return the split that an open dataset was given when it was extracted, None where it was not."""
    info = dataset.info
    version = read_versions(root / slug(info.name), info.name).of(info.content or info.fingerprint)
    task = None if version is None else saved_question(tasks_of(root, info.name, version.content))
    return None if task is None else split_of(info.name, task)
