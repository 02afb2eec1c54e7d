"""Objects that only stand for files which medfeat reads itself: sets of the `medmnist` package, torchvision's folders.

Such an object is read from its files, and makes the very store that they make; where it is not what its files are (a
transform, a selection, another loader), it is read item by item like any other.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medfeat.datasets.decoding.intensity import Intensity
from medfeat.datasets.digests import DigestMemory
from medfeat.datasets.entry import OpenRequest
from medfeat.datasets.folders.file_list import FileList
from medfeat.datasets.folders.files_dataset import FilesDataset
from medfeat.datasets.labels.labelling import Labelling
from medfeat.datasets.medmnist import medmnist_path, open_medmnist
from medfeat.datasets.medmnist_table import medmnist_sets
from medfeat.datasets.npz.npz_arrays import read_rows
from medfeat.datasets.npz.npz_dataset import NpzDataset
from medfeat.errors import DataError
from medfeat.task_types import listed
from medfeat.types import OWN_GROUP, Progress, TaskType

_COMPARED_ROWS = 512


def is_medmnist(data: object) -> bool:
    """Whether an object is a split of the `medmnist` package; found out without importing it."""
    package = sys.modules.get("medmnist.dataset")
    return package is not None and isinstance(data, package.MedMNIST)


def medmnist_task(data: Any) -> TaskType | None:
    """Return what the labels of a `medmnist` split mean, None where they were turned into others, or for any other."""
    facts = medmnist_sets().get(data.flag) if is_medmnist(data) and data.target_transform is None else None
    return None if facts is None else facts.task


def open_as_official(
    splits: Mapping[str, Any], progress: Progress, memory: DigestMemory, workers: int | None = None
) -> NpzDataset | None:
    """Open the official file of some `medmnist` splits, if they are just what it holds; else None.

    Parameters
    ----------
    splits
        By ``train``, ``val`` and ``test``; one is enough to know the set.
    progress, memory
        Where hashing is shown, and where digests are remembered.
    workers
        Threads that hash images; None is one for each core.
    """
    first = next(iter(splits.values()))
    size = int(getattr(first, "size", 28) or 28)
    facts, root = medmnist_sets().get(first.flag), Path(first.root)
    if facts is None or size not in facts.files or any(not _is_plain(one, first, key) for key, one in splits.items()):
        return None
    path = medmnist_path(first.flag, size, root)
    if not path.is_file() or memory.digest(path, "md5") != facts.files[size].md5:
        return None
    dataset = open_medmnist(first.flag, size, OpenRequest(size, root, True, progress, memory, workers))
    return dataset if all(_same_images(dataset, key, one) for key, one in splits.items()) else None


def _is_plain(one: Any, first: Any, split: str) -> bool:
    """Whether a split is of the same file as the first, stands under its own name, and changes nothing it gives."""
    package = sys.modules["medmnist.dataset"]
    own = type(one).__getitem__ in (package.MedMNIST2D.__getitem__, package.MedMNIST3D.__getitem__)
    changed = getattr(one, "transform", None) or getattr(one, "target_transform", None)
    alike = all(getattr(one, name, None) == getattr(first, name, None) for name in ("flag", "size", "root"))
    return own and changed is None and alike and one.split == split


def _same_images(dataset: NpzDataset, split: str, one: Any) -> bool:
    """Compare images and labels with those of the file, a few at a time: nobody may have changed them since."""
    member = dataset.arrays.images[split]
    labels = dataset.labels(split)
    if len(one.imgs) != member.shape[0] or labels is None or not np.array_equal(labels, one.labels):
        return False
    return all(np.array_equal(one.imgs[rows], images) for rows, images in read_rows(member, _COMPARED_ROWS))


def is_image_folder(data: object) -> bool:
    """Whether an object is a torchvision folder that gives its files as they are; found out without importing it."""
    package = sys.modules.get("torchvision.datasets.folder")
    if package is None or not isinstance(data, package.DatasetFolder):
        return False
    changed = [getattr(data, name, None) for name in ("transform", "target_transform", "transforms")]
    own = type(data).__getitem__ is not package.DatasetFolder.__getitem__ or data.loader is not package.default_loader
    return not own and not any(changed)


def open_as_files(
    folders: Mapping[str, Any],
    name: str,
    intensity: Intensity,
    task: TaskType | None,
    *,
    progress: Progress,
    memory: DigestMemory,
    workers: int | None = None,
) -> FilesDataset:
    """Open the files of torchvision folders, one a split, or one alone under ``all``.

    Raises
    ------
    DataError
        When the splits do not have the same classes in the same order, or the files lie in no common folder.
    """
    first = next(iter(folders.values()))
    other = next((one for one in folders.values() if list(one.classes) != list(first.classes)), None)
    if other is not None:
        theirs = f"{first.root} has the classes {listed(first.classes)} and {other.root} {listed(other.classes)}"
        raise DataError(f"{theirs}: give every split the same")
    root = common_root(folders)
    rows = [(split, *sample) for split, one in folders.items() for sample in one.samples]
    classes = tuple(map(str, first.classes))
    values = np.array([[target] for _, _, target in rows], dtype=np.int64)
    kind: TaskType = task or ("binary-class" if len(classes) == 2 else "multi-class")
    listing = FileList(
        name=name,
        source="folder",
        root=root,
        ids=tuple(Path(os.path.relpath(path, root)).as_posix() for _, path, _ in rows),
        labelling=Labelling(kind, classes, values),
        split=None if set(folders) == {OWN_GROUP} else tuple(split for split, _, _ in rows),
    )
    return FilesDataset(listing, intensity, progress=progress, memory=memory, workers=workers)


def common_root(folders: Mapping[str, Any]) -> Path:
    """Return the folder from which the files of all splits are named."""
    roots = [os.path.abspath(one.root) for one in folders.values()]  # noqa: PTH100 - commonpath knows no Path
    return Path(os.path.commonpath(roots))
