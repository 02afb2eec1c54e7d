"""From what a program holds, a torch dataset, a Hugging Face table, arrays or pictures, to a `Dataset`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from medfeat.datasets.decoding.intensity import parse_intensity
from medfeat.datasets.digests import DigestMemory
from medfeat.datasets.entry import DATASETS
from medfeat.datasets.labels.class_spelling import class_list
from medfeat.datasets.npz.npz_dataset import row_ids
from medfeat.datasets.objects.alive import remember_alive
from medfeat.datasets.objects.object_dataset import ObjectDataset
from medfeat.datasets.objects.object_files import (
    common_root,
    is_image_folder,
    is_medmnist,
    medmnist_task,
    open_as_files,
    open_as_official,
)
from medfeat.datasets.objects.object_items import ItemColumns, Items, items_of
from medfeat.datasets.own_images import asked_name
from medfeat.datasets.splits.split_names import splits_of
from medfeat.errors import DataError, UsageError
from medfeat.types import (
    OFFICIAL_GROUPS,
    OFFICIAL_SOURCES,
    OWN_GROUP,
    Dataset,
    IdArray,
    Progress,
    SilentProgress,
    TaskType,
)


@dataclass(frozen=True)
class Given:
    """A dataset made from an object.

    Attributes
    ----------
    dataset
        Ready to stream.
    source
        How `open_dataset` opens the same data again: its ``data`` and what else is needed; without ``data`` it cannot,
        and ``object`` says what it was.
    """

    dataset: Dataset
    source: Mapping[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where the data is, a name or a path; empty for what only a program holds."""
        return str(self.source.get("data", ""))


def dataset_from(
    data: object,
    *,
    name: str | None = None,
    ids: Sequence[str] | None = None,
    labels: Sequence[Any] | None = None,
    classes: str | Sequence[str] | None = None,
    intensity: str | None = None,
    task: TaskType | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    patient_column: str | None = None,
    progress: Progress | None = None,
    memory: DigestMemory | Path | None = None,
) -> Dataset:
    """Make a dataset of the images that a program holds or makes.

    Every image is looked at once, one at a time, for the identity of the whole; labels are taken on the way. It is
    read again when it is embedded, and has to be the same then.

    Parameters
    ----------
    data
        A medfeat `Dataset`; a torch ``Dataset`` of images or of (image, label); splits of the ``medmnist`` package,
        which are read from their official file; a torchvision ``ImageFolder``; a Hugging Face ``datasets.Dataset``; an
        array or tensor (n, H, W), (n, H, W, 3) or (n, 3, H, W, tensors only); a list of Pillow images, arrays, tensors,
        paths, or pairs of these with labels; or a dict of any of these with the keys ``train``, ``val`` and ``test``.
        Images are uint8; other numbers need an `intensity`, such as ``"range:0..1"`` for what ``ToTensor`` gives.
    name
        What to call it; default: the flag of a ``medmnist`` set, else the name of its class in lower case.
    ids
        (n,) unique names of the images, over all splits; default: ``<split>/<row>``.
    labels
        (n,) or (n, k) labels where `data` holds images alone.
    classes
        Names in label order (a comma list or a sequence); default: those that `data` itself knows.
    intensity
        Contract by which values become uint8, see `medfeat.datasets.decoding.intensity.parse_intensity`.
    task
        What labels mean; default: told from them.
    path_column, label_column, patient_column
        Columns of a Hugging Face dataset with images, labels and patients.
    progress
        Where the one look is shown.
    memory
        Where digests of files are remembered, or the cache folder to remember them in; default: nowhere.

    Returns
    -------
    Dataset
        Ready to stream. Without splits, one is drawn when it is probed, as for folders.

    Raises
    ------
    UsageError
        For an object that is none of these, and options that do not belong to it.
    DataError
        For images or labels that are not what they must be.

    Examples
    --------
    >>> made = dataset_from(np.zeros((4, 8, 8), np.uint8), name="black", labels=[0, 1, 0, 1])
    >>> made.info.task, dict(made.info.counts)
    ('binary-class', {'all': 4})
    """
    columns = ItemColumns(path_column, label_column, patient_column)
    options = ObjectOptions(name, ids, labels, class_list(classes), intensity, task, columns)
    kept = memory if isinstance(memory, DigestMemory) else DigestMemory.of_cache(memory)
    return open_object(data, options, progress or SilentProgress(), kept).dataset


@dataclass(frozen=True)
class ObjectOptions:
    """What a person may say about an object; the meaning of each is told at `dataset_from`."""

    name: str | None = None
    ids: Sequence[str] | None = None
    labels: Sequence[Any] | None = None
    classes: tuple[str, ...] = ()
    intensity: str | None = None
    task: TaskType | None = None
    columns: ItemColumns = field(default_factory=ItemColumns)
    workers: int | None = None

    def plain(self) -> bool:
        """Whether nothing was said that would make another dataset of the same files."""
        said = (self.name, self.ids, self.labels, self.intensity, self.task)
        return all(one is None for one in said) and not self.classes and not self.columns.given()


def open_object(data: Any, options: ObjectOptions, progress: Progress, memory: DigestMemory) -> Given:
    """Make a dataset of an object, with what is needed to open it again; see `dataset_from`."""
    if is_dataset(data):
        remember_alive(data)
        return Given(_renamed(data, options), _source_of(data))
    groups = _groups(data)
    official = _official(groups, options, progress, memory)
    if official is not None:
        return official
    first = next(iter(groups.values()))
    name = _name(first, options.name)
    if is_medmnist(data):
        groups = {OWN_GROUP: data}  # a split that is no longer the official one has no other beside it
    if all(map(is_image_folder, groups.values())) and replace(options, name=None, intensity=None, task=None).plain():
        contract = parse_intensity(options.intensity)
        files = open_as_files(
            groups, name, contract, options.task, progress=progress, memory=memory, workers=options.workers
        )
        opened = {"name": name, "intensity": options.intensity, "task": options.task}
        return Given(files, {"data": str(common_root(groups)), **opened})
    items = _items(groups, options)
    made = ObjectDataset(
        name,
        items,
        _ids(items, options.ids),
        intensity=parse_intensity(options.intensity),
        task=options.task or medmnist_task(first),
        classes=options.classes,
        progress=progress,
        workers=options.workers,
    )
    remember_alive(made)
    return Given(made, {"object": _kind(first)})


def _source_of(data: Dataset) -> dict[str, Any]:
    """Say how a medfeat `Dataset` is opened again: an official one by its name."""
    official = data.info.source in OFFICIAL_SOURCES and data.info.name in DATASETS
    return {"data": data.info.name, "size": data.info.size} if official else {"object": _kind(data)}


def _kind(data: object) -> str:
    return f"{type(data).__module__}.{type(data).__qualname__}"


def is_dataset(data: object) -> bool:
    """Whether an object keeps medfeat's own `Dataset` protocol."""
    return all(hasattr(data, name) for name in ("info", "ids", "labels", "batches")) and hasattr(
        getattr(data, "info", None), "fingerprint"
    )


def splits_of_official(data: Any) -> tuple[str, ...]:
    """Name the splits of the ``medmnist`` package that an object holds, in their order; none for anything else."""
    held = list(data.values()) if isinstance(data, Mapping) else [data]
    return tuple(split for split in OFFICIAL_GROUPS for one in held if is_medmnist(one) and one.split == split)


def _renamed(data: Dataset, options: ObjectOptions) -> Dataset:
    if not replace(options, name=None).plain():
        raise UsageError("ids, labels, classes, intensity, task and columns belong to a medfeat Dataset already")
    taken = data.info.source not in OFFICIAL_SOURCES and data.info.name in DATASETS
    if options.name is None and taken and DATASETS[data.info.name].source in OFFICIAL_SOURCES:
        raise UsageError(f"the dataset calls itself {data.info.name!r}, the name of a registered one; give it another")
    return data if options.name is None else _Renamed(data, _name(data, options.name))


def named_as(data: Dataset, name: str) -> Dataset:
    """Return a dataset under a name that it has in the cache."""
    return data if data.info.name == name else _Renamed(data, name)


class _Renamed:
    """A dataset under another name."""

    def __init__(self, dataset: Dataset, name: str) -> None:
        self._dataset = dataset
        self.info = replace(dataset.info, name=name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)


def _groups(data: Any) -> dict[str, Any]:
    """Return the object of each split under its usual name, or one alone under ``all``."""
    if is_medmnist(data):
        return {str(data.split): data}
    if not isinstance(data, Mapping):
        return {OWN_GROUP: data}
    if not data:
        raise UsageError("the dict of datasets is empty: give train, and val and test where they are")
    splits = splits_of(map(str, data), "the dict of datasets")
    named: dict[str, Any] = {}
    for key, one in data.items():
        split = splits.get(str(key))
        if split is None or split in named:
            raise UsageError(f"a dict of datasets has the keys {', '.join(OFFICIAL_GROUPS)}, each once, got {key!r}")
        named[split] = one
    return {split: named[split] for split in OFFICIAL_GROUPS if split in named}


def _official(
    groups: Mapping[str, Any], options: ObjectOptions, progress: Progress, memory: DigestMemory
) -> Given | None:
    """Open `medmnist` splits from their file, whole: a store of a part of it would pass for the whole."""
    if not (all(map(is_medmnist, groups.values())) and options.plain()):
        return None
    dataset = open_as_official(groups, progress, memory, options.workers)
    if dataset is None:
        return None
    if set(groups) != set(OFFICIAL_GROUPS):
        progress.say(f"{dataset.info.name}: embedded with all of its splits, as its file holds them")
    first = next(iter(groups.values()))
    return Given(dataset, {"data": dataset.info.name, "size": dataset.info.size, "data_root": str(first.root)})


def _items(groups: Mapping[str, Any], options: ObjectOptions) -> dict[str, Items]:
    items = {group: items_of(one, options.columns) for group, one in groups.items()}
    items = {group: one for group, one in items.items() if one.count or len(items) == 1}
    if not sum(one.count for one in items.values()):
        raise DataError("the dataset is empty: nothing to embed")
    if options.labels is not None:
        items = _labelled(items, options.labels)
    return items


def _labelled(items: Mapping[str, Items], given: Sequence[Any]) -> dict[str, Items]:
    labels = given.to_numpy() if hasattr(given, "to_numpy") else given  # a column of pandas is asked by its index
    count = sum(one.count for one in items.values())
    if len(labels) != count:
        raise UsageError(f"labels are one an image, got {len(labels)} for {count} images")
    found, start = {}, 0
    for group, one in items.items():
        found[group] = replace(one, get=_with_label(one, labels, start))
        start += one.count
    return found


def _with_label(items: Items, labels: Sequence[Any], start: int) -> Any:
    return lambda row: replace(items.get(row), label=labels[start + row])


def _ids(items: Mapping[str, Items], asked: Sequence[str] | None) -> dict[str, IdArray]:
    if asked is None:
        return {group: row_ids(group, one.count) for group, one in items.items()}
    names, count = [str(name) for name in asked], sum(one.count for one in items.values())
    if len(names) != count:
        raise UsageError(f"ids are one an image, got {len(names)} for {count} images")
    if not all(names):
        raise UsageError("an id is empty: name every image")
    ordered = sorted(names)
    twice = next((one for one, after in itertools.pairwise(ordered) if one == after), None)
    if twice is not None:
        raise UsageError(f"ids must differ, got {twice!r} twice")
    ends = np.cumsum([one.count for one in items.values()])[:-1]
    return dict(zip(items, np.split(np.array(names, dtype=np.str_), ends), strict=True))


def _name(data: object, asked: str | None) -> str:
    """Return the name that was asked for, or that of the class; one that a registered dataset has gets ``-own``."""
    if asked is not None:
        return asked_name(asked, DATASETS)
    name = str(getattr(data, "flag", "")) if is_medmnist(data) else type(data).__name__.lower()
    return f"{name}-own" if name in DATASETS else name
