"""From what a person names, a registered dataset or a path, to a `Dataset`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

# The modules of the named sets add themselves to the registry when they are imported.
from medfeat.datasets.digests import DigestMemory
from medfeat.datasets.entry import DATASETS, DatasetEntry, OpenRequest
from medfeat.datasets.made_up import synthetic  # noqa: F401
from medfeat.datasets.own_images import OwnOptions, open_own
from medfeat.datasets.reading import workers_meant
from medfeat.errors import DataError, UsageError
from medfeat.types import OFFICIAL_SOURCES, Dataset, Progress, SilentProgress, TaskType


def dataset_names() -> list[str]:
    """Return every registered name: the 18 MedMNIST sets, the synthetic ones, then those of installed packages."""
    return list(DATASETS)


def describe(name: str) -> DatasetEntry:
    """Return what is known of a registered dataset without reading it; close matches are named for an unknown one."""
    return DATASETS[name]


def open_dataset(
    data: str | Path,
    *,
    size: int | None = None,
    data_root: str | Path | None = None,
    offline: bool = False,
    name: str | None = None,
    intensity: str | None = None,
    task: TaskType | None = None,
    classes: str | Sequence[str] | None = None,
    path_column: str | None = None,
    label_column: str | Sequence[str] | None = None,
    split_column: str | None = None,
    patient_column: str | None = None,
    volumes: str | None = None,
    workers: int | str | None = None,
    unpack: bool = False,
    progress: Progress | None = None,
    memory: DigestMemory | Path | None = None,
) -> Dataset:
    """Open what can be embedded.

    Parameters
    ----------
    data
        A registered name (`dataset_names`), or the path of a folder of images, a .csv, an .npz in MedMNIST's form or
        one image. A registered name wins over a folder of that name; say ``./name`` for the folder.
    size
        Side in pixels of a registered set; None means its first size. Own images are embedded as they are.
    data_root
        Where official files are (default: the medmnist package's own folder); for a CSV, the folder its paths
        start from (default: that of the CSV).
    offline
        Makes no network call.
    name
        What to call own images; default: the name of the folder or file.
    intensity
        Contract by which own images become uint8, see `medfeat.datasets.decoding.intensity.parse_intensity`.
    task
        What own labels mean; default: told from the labels.
    classes
        The classes of own labels in their order, all of them (a comma list or a sequence): it numbers them, is the
        scale of grades, and makes a class of a word that otherwise stands for a missing label, such as ``none``.
    path_column, label_column, split_column, patient_column
        Columns of a CSV; default: ``path``, ``label``, and ``split`` and ``patient`` where they are. Several label
        columns (a comma list or a sequence) make a multi-label set. A split column of other values says them,
        ``fold:val=3,test=4``; ``none`` leaves every such column out.
    volumes
        ``series``: the slices of each DICOM series, in a folder or in folders that a CSV names, are one volume;
        patients are told apart by PatientID, which is kept nowhere. Default: each file is an image of its own.
    workers
        Threads that decode and hash images; ``auto``, or None, is one for each core that the process may use.
    unpack
        Keep the images of an .npz in the cache of `memory` as they are inflated, unless they are there already: whoever
        reads them later, for another backbone, does so at the disk's speed.
    progress
        Where downloads and hashing are shown.
    memory
        Where digests of files are remembered, or the cache folder to remember them in; default: nowhere.

    Returns
    -------
    Dataset
        Ready to stream.

    Raises
    ------
    UsageError
        For an unknown name, or an option that does not belong to this kind of data.
    MissingFileError
        For a file that is not there and cannot be fetched.
    DataError
        For data that was found and is not what it must be.
    """
    options = OwnOptions(
        name=name,
        intensity=intensity,
        task=task,
        classes=classes,
        path_column=path_column,
        label_column=label_column,
        split_column=split_column,
        patient_column=patient_column,
        volumes=volumes,
        root=Path(data_root) if data_root is not None else None,
        workers=workers_meant(workers),
        unpack=unpack,
    )
    bar = progress or SilentProgress()
    kept = memory if isinstance(memory, DigestMemory) else DigestMemory.of_cache(memory)
    if str(data) in DATASETS:
        request = OpenRequest(size, options.root, offline, bar, kept, options.workers, unpack)
        return _open_named(str(data), size, options, request)
    path = Path(data).expanduser()
    if not path.exists() and not _looks_like_path(str(data)):
        return DATASETS[str(data)].open(0, OpenRequest())  # raises, naming close matches
    if size is not None:
        raise UsageError(f"size is for registered datasets; the images of {path} are embedded as they are")
    return open_own(path, options, taken=dataset_names(), progress=bar, memory=kept)


def _open_named(name: str, size: int | None, options: OwnOptions, request: OpenRequest) -> Dataset:
    given = options.given()
    if given:
        raise UsageError(f"{', '.join(given)} is for own images, and {name} is a registered dataset; leave it out")
    entry = DATASETS[name]
    if request.unpack and entry.source != "medmnist":
        raise UsageError(f"--unpack is for the images of an .npz, and {name} is none; leave it out")
    dataset = entry.open(entry.checked_size(size), request)
    if dataset.info.name != name:
        raise DataError(f"the dataset {name} calls itself {dataset.info.name}: its package must give both one name")
    # those names of sources stand for known images, which have no versions
    if dataset.info.source in OFFICIAL_SOURCES and dataset.info.source != entry.source:
        what = f"the dataset {name} calls its source {dataset.info.source}, which it is not"
        raise DataError(f"{what}: its package must give another one")
    return dataset


def _looks_like_path(data: str) -> bool:
    return "/" in data or "\\" in data or data.startswith((".", "~")) or bool(Path(data).suffix)
