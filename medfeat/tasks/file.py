"""A task as a JSON file: `<root>/<dataset>/tasks/<name>.json`, for own images in a folder of their own there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from medfeat.errors import DataError, MissingFileError, UsageError
from medfeat.tasks.check import check_task
from medfeat.types import IdArray, LabelArray, Task
from medfeat_cache import make_folder, slug, write_whole
from medfeat_cache.coverage import refuse_long
from medfeat_cache.reading import read_json

FORMAT = "medfeat-task"
VERSION = 1
# A task of a million images takes about half of this.
_TASK_BYTES = 128 << 20
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*(\.[A-Za-z0-9_+-]+)*")


def task_path(name: str, folder: Path) -> Path:
    """Return where the task `name` lies in a folder of tasks.

    Raises
    ------
    UsageError
        A name that is not a plain file name.
    """
    if not NAME.fullmatch(name) or len(name) > 80:
        raise UsageError(f"a task name must be letters, digits and _ + - . (at most 80), got {name!r}")
    return folder / f"{name}.json"


def dataset_tasks(root: Path, dataset: str) -> Path:
    """Return the folder of a dataset's tasks under the cache's root; it need not exist."""
    return root / slug(dataset) / "tasks"


def task_names(folder: Path) -> list[str]:
    """Return the names of the tasks saved in a folder, sorted; none when the folder is not there."""
    return sorted(path.stem for path in folder.glob("*.json") if NAME.fullmatch(path.stem))


def save_task(task: Task, folder: Path) -> Path:
    """Write a task under its name, whole or not at all; a task of that name is replaced.

    Returns
    -------
    Path
        The file.
    """
    check_task(task)
    path = task_path(task.name, folder)
    content = {
        "format": FORMAT,
        "version": VERSION,
        "name": task.name,
        "task_type": task.task_type,
        "classes": list(task.classes),
        "origin": task.origin,
        "images": task.images,
        "ids": task.ids.tolist(),
        "split": task.split.tolist(),
        "group": None if task.group is None else task.group.tolist(),
        "labels": task.labels.tolist(),
    }
    make_folder(folder)
    write_whole(path, [json.dumps(content, ensure_ascii=False, allow_nan=False).encode()], "saving the task")
    return path


def load_task(name: str, folder: Path) -> Task:
    """Read the task `name` from a folder of tasks.

    Raises
    ------
    MissingFileError
        There is no such task; the message names those there are.
    DataError
        The file is not a task, is damaged, or was written by a newer medfeat.
    """
    path = task_path(name, folder)
    if not path.is_file():
        known = ", ".join(task_names(folder)) or "none"
        raise MissingFileError(
            f"there is no task {name!r} in {folder} (saved there: {known}): save one with --labels or --relabel"
        )
    try:
        content = read_json(path, limit=_TASK_BYTES)
    except (ValueError, OSError) as error:
        raise DataError(f"{path} cannot be read as a task ({error}): save it again") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(f"{path} is not a medfeat task: its 'format' must be {FORMAT!r}")
    if content.get("version") != VERSION:
        raise DataError(
            f"{path} has task version {content.get('version')!r}, this medfeat reads {VERSION}: update medfeat"
        )
    return _task(content, path)


def _task(content: dict[str, Any], path: Path) -> Task:
    try:
        task_type = content["task_type"]
        dtype = np.float64 if task_type == "regression" else np.int64
        labels: LabelArray = np.array(content["labels"], dtype=dtype)  # type: ignore[assignment]  # one of the two
        return check_task(
            Task(
                name=str(content["name"]),
                task_type=task_type,
                classes=tuple(map(str, content["classes"])),
                ids=_names(content["ids"]),
                labels=labels,
                split=_names(content["split"]),
                group=None if content["group"] is None else _names(content["group"]),
                origin=str(content["origin"]),
                images=str(content.get("images") or ""),  # none of an older medfeat
            )
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        said = f"no field {error}" if isinstance(error, KeyError) else error
        raise DataError(f"{path} is damaged: {said}; save it again") from error


def _names(values: list[str]) -> IdArray:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError("ids, split and group must be lists of text")
    refuse_long(values, "a task")
    return np.array(values, dtype=np.str_)
