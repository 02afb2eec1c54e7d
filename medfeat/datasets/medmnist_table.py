"""The facts of the 18 MedMNIST sets, as a table that ships with the package.

``python -m medfeat.datasets.medmnist_table`` writes the table anew from the `medmnist` package, which only
developers need: importing it imports torch and creates a folder in the home, so nothing does so at run time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from medfeat.types import OFFICIAL_GROUPS, TASK_TYPES, TaskType

TABLE = "medmnist_table.json"
_OUR_TASK_NAMES = {"multi-label, binary-class": "multi-label"}


@dataclass(frozen=True)
class MedmnistFile:
    """One official file: its name on disk, where it comes from and the MD5 it must have."""

    filename: str
    url: str
    md5: str


@dataclass(frozen=True)
class MedmnistSet:
    """One of the 18 sets.

    Attributes
    ----------
    name
        As MedMNIST writes it (``"bloodmnist"``).
    task
        In medfeat's words.
    classes
        In label order.
    channels, ndim
        1 or 3, and 2 or 3.
    counts
        Samples in ``train``, ``val`` and ``test``.
    licence
        Of the data.
    files
        By side of the image in pixels.
    """

    name: str
    task: TaskType
    classes: tuple[str, ...]
    channels: int
    ndim: int
    counts: Mapping[str, int]
    licence: str
    files: Mapping[int, MedmnistFile]


@cache
def medmnist_sets() -> Mapping[str, MedmnistSet]:
    """Return the 18 sets by name, in MedMNIST's own order."""
    text = resources.files("medfeat.datasets").joinpath(TABLE).read_text(encoding="utf-8")
    return {name: _from_json(name, entry) for name, entry in json.loads(text).items()}


def _from_json(name: str, entry: dict[str, Any]) -> MedmnistSet:
    files = {int(size): MedmnistFile(**file) for size, file in entry["files"].items()}
    return MedmnistSet(
        name=name,
        task=entry["task"],
        classes=tuple(entry["classes"]),
        channels=entry["channels"],
        ndim=entry["ndim"],
        counts=entry["counts"],
        licence=entry["licence"],
        files=files,
    )


def table_from(info: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Translate `medmnist.INFO` into the table's form."""
    return {name: _entry_from(name, facts) for name, facts in info.items()}


def _entry_from(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    task = _OUR_TASK_NAMES.get(facts["task"], facts["task"])
    if task not in TASK_TYPES:
        raise ValueError(f"medmnist calls the task of {name} {task!r}, which is none of {', '.join(TASK_TYPES)}")
    sizes = [28, *sorted(int(key.removeprefix("url_")) for key in facts if key.startswith("url_"))]
    suffixes = {size: "" if size == 28 else f"_{size}" for size in sizes}
    return {
        "task": task,
        "classes": [facts["label"][str(i)] for i in range(len(facts["label"]))],
        "channels": facts["n_channels"],
        "ndim": 3 if name.endswith("3d") else 2,
        "counts": {group: facts["n_samples"][group] for group in OFFICIAL_GROUPS},
        "licence": facts["license"],
        "files": {
            str(size): {
                "filename": f"{name}{suffix}.npz",
                "url": facts[f"url{suffix}"],
                "md5": facts[f"MD5{suffix}"],
            }
            for size, suffix in suffixes.items()
        },
    }


def _regenerate() -> None:
    from medmnist import INFO

    text = json.dumps(table_from(INFO), indent=1, ensure_ascii=False) + "\n"
    Path(__file__).with_name(TABLE).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    _regenerate()
