"""The user's own images: a folder, a CSV, an .npz in MedMNIST's form, or one image."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medfeat.datasets.decoding.file_kinds import is_image_name, to_png
from medfeat.datasets.decoding.intensity import Intensity, parse_intensity
from medfeat.datasets.digests import DigestMemory
from medfeat.datasets.folders.csv_table import Columns, list_csv
from medfeat.datasets.folders.file_list import FileList
from medfeat.datasets.folders.files_dataset import FilesDataset
from medfeat.datasets.folders.folder import list_file, list_folder
from medfeat.datasets.folders.walking import NOT_READ
from medfeat.datasets.labels.class_spelling import class_list
from medfeat.datasets.labels.labelling import ask_something
from medfeat.datasets.labels.table_file import TABLES
from medfeat.datasets.medmnist import medmnist_info, official_file
from medfeat.datasets.npz.npz_dataset import NpzArrays, NpzDataset
from medfeat.datasets.npz.npz_labels import NpzLabelling, npz_labelling, npz_words
from medfeat.errors import DataError, MissingFileError, UsageError
from medfeat.types import Dataset, DatasetInfo, Progress, TaskType, Volumes
from medfeat_cache import Stamp
from medfeat_cache.commands import command

_SERIES: Volumes = "series"
KINDS = "a folder of images, a .csv, an .npz in MedMNIST's form or one image"


@dataclass(frozen=True)
class OwnOptions:
    """What a person may say about own images; the meaning of each is told at `open_dataset`."""

    name: str | None = None
    intensity: str | None = None
    task: TaskType | None = None
    classes: str | Sequence[str] | None = None
    path_column: str | None = None
    label_column: str | Sequence[str] | None = None
    split_column: str | None = None
    patient_column: str | None = None
    volumes: str | None = None
    root: Path | None = None
    workers: int | None = None
    unpack: bool = False

    def given(self) -> list[str]:
        """Return the names of the options that only own images have, and that were given."""
        return [
            option
            for option in ("name", "intensity", "task", "classes", "volumes")
            if getattr(self, option) is not None
        ] + self.columns()

    def columns(self) -> list[str]:
        """Return the names of the options that only a CSV has, and that were given."""
        options = ("path_column", "label_column", "split_column", "patient_column")
        return [option for option in options if getattr(self, option) is not None]


def open_own(
    path: Path, options: OwnOptions, *, taken: Sequence[str], progress: Progress, memory: DigestMemory
) -> Dataset:
    """Open own images.

    Parameters
    ----------
    path
        Where they are.
    options
        What the person said about them.
    taken
        Names of registered datasets, which own images may not have.
    progress, memory
        Where hashing is shown, and where digests are remembered.

    Raises
    ------
    MissingFileError
        When nothing is there.
    UsageError
        When an option does not belong to this kind of data.
    DataError
        When it is not what it must be.
    """
    if not path.exists():
        raise MissingFileError(
            f"{path} is not there; name {KINDS}, or a registered dataset ({command('list', 'datasets')})"
        )
    suffix = path.suffix.lower()
    if options.columns() and suffix not in TABLES:
        raise UsageError(f"{', '.join(options.columns())} is for a .csv or .xlsx, and {path} is none; leave it out")
    volumes = _volumes(path, options.volumes)
    name, intensity = _name(path, options.name, taken), parse_intensity(options.intensity)
    if suffix == ".npz" and path.is_file():
        return _open_npz(path, name, options, intensity, progress=progress, memory=memory)
    if options.unpack:
        raise UsageError(f"--unpack is for the images of an .npz, and {path} is none; leave it out")
    listing = _listing(path, name, options, volumes, progress)
    found = listing.labelling
    if not _asks(path, found.task if found else None, found.classes if found else (), options, progress):
        listing = replace(listing, labelling=None)
    return FilesDataset(listing, intensity, progress=progress, memory=memory, workers=options.workers)


def _asks(path: Path, task: TaskType | None, classes: Sequence[str], options: OwnOptions, progress: Progress) -> bool:
    named = options.classes is not None
    return ask_something(path, task, classes, declared=options.task, named=named, progress=progress)


def _volumes(path: Path, asked: str | None) -> Volumes | None:
    if asked is None:
        return None
    if asked != _SERIES:
        raise UsageError(f"volumes must be {_SERIES} (each DICOM series is one volume), got {asked!r}")
    if not path.is_dir() and path.suffix.lower() not in TABLES:
        raise UsageError(
            f"volumes {asked} makes volumes of folders of DICOM slices, and {path} is a file; name the folder, or a "
            ".csv that names folders"
        )
    return _SERIES


def _listing(path: Path, name: str, options: OwnOptions, volumes: Volumes | None, progress: Progress) -> FileList:
    if path.is_dir():
        return list_folder(
            path, name, task=options.task, wanted=class_list(options.classes), volumes=volumes, progress=progress
        )
    if path.suffix.lower() in TABLES:
        columns = Columns(options.path_column, options.label_column, options.split_column, options.patient_column)
        root = options.root if options.root is not None else path.parent
        wanted = class_list(options.classes)
        return list_csv(
            path, name, root=root, columns=columns, task=options.task, wanted=wanted, volumes=volumes, progress=progress
        )
    if is_image_name(path):
        return list_file(path, name)
    if path.name.lower().endswith(NOT_READ):
        raise DataError(f"{path} is of a kind that is not read ({path.suffix}); {to_png(path.name)}, or name {KINDS}")
    raise DataError(f"{path} is none of what can be embedded; name {KINDS}")


def _name(path: Path, asked: str | None, taken: Sequence[str]) -> str:
    """Return a name that is safe as a folder; one that a registered dataset has gets ``-own``."""
    if asked is not None:
        return asked_name(asked, taken)
    return own_name(path, taken)


def asked_name(asked: str, taken: Container[str]) -> str:
    """Return the name a person gave, which must be safe as a folder's and no registered dataset's.

    Raises
    ------
    UsageError
        When it is not.
    """
    if asked in taken:
        raise UsageError(f"name {asked!r} is that of a registered dataset; choose another")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", asked):
        raise UsageError(
            f"name must be plain letters, digits, '-', '_' and '.', starting with a letter or digit, got {asked!r}"
        )
    return asked


def own_name(path: Path, taken: Sequence[str]) -> str:
    """Name a user's images by their folder or file, safe as a folder's name.

    Parameters
    ----------
    path
        Where the images are, or were.
    taken
        Names of registered datasets; one of these gets ``-own``.
    """
    stem = path.resolve().name.removesuffix(".gz")
    stem = stem if path.is_dir() else Path(stem).stem
    # in plain letters, as the folder of its stores is: two names that are one there would be versions of each other
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", plain).strip("-.") or "images"
    return f"{slug}-own" if slug in taken else slug


def _open_npz(
    path: Path, name: str, options: OwnOptions, intensity: Intensity, *, progress: Progress, memory: DigestMemory
) -> Dataset:
    stamp = Stamp.of(path)
    progress.start(stamp.size, f"hashing {path.name}", "bytes")
    try:
        md5 = memory.digest(path, "md5", progress=progress)
    finally:
        progress.finish()
        memory.save()
    arrays = NpzArrays(path, stamp).read_unpacked(md5, memory, progress, wanted=options.unpack)
    known = official_file(md5)
    if known is not None and not options.given():
        facts, size = known
        return NpzDataset(arrays, medmnist_info(facts, size, f"md5:{md5}"), workers=options.workers)
    if arrays.unused:
        used = ", ".join(member.key for member in (*arrays.images.values(), *arrays.label_members.values()))
        progress.say(f"{path}: {used} are read; not used: {', '.join(arrays.unused)}")
    if any(member.dtype != np.uint8 for member in arrays.images.values()) and intensity.takes_uint8:
        dtype = next(member.dtype for member in arrays.images.values() if member.dtype != np.uint8)
        raise DataError(
            f"{path} holds images of {dtype} and no intensity is declared; declare one with --intensity, "
            f"such as {'range:0..1' if dtype.kind == 'f' else 'uint16'}, range:LO..HI of all images, or minmax"
        )
    fingerprint = f"md5:{md5}" if intensity.takes_uint8 else f"md5:{md5};{intensity}"
    wanted = class_list(options.classes)
    if arrays.words:
        labelling = npz_words(path, arrays.words, options.task, progress, wanted=wanted)
    else:
        labelling = npz_labelling(path, arrays.labels, options.task, progress, wanted=wanted)
    if not _asks(path, labelling.task, labelling.classes, options, progress):
        labelling = NpzLabelling(None, (), {})
    info = _npz_info(arrays, name, labelling, intensity, fingerprint)
    return NpzDataset(arrays, info, intensity=intensity, labels=labelling.values, workers=options.workers)


def _npz_info(
    arrays: NpzArrays, name: str, labelling: NpzLabelling, intensity: Intensity, fingerprint: str
) -> DatasetInfo:
    shape = arrays.image_shape
    volume = len(shape) == 3 and shape[-1] != 3
    return DatasetInfo(
        name=name,
        size=shape[0] if len(set(shape[:3] if volume else shape[:2])) == 1 else 0,
        task=labelling.task,
        classes=labelling.classes,
        channels=3 if len(shape) == 3 and not volume else 1,
        ndim=3 if volume else 2,
        counts=arrays.counts,
        fingerprint=fingerprint,
        source="npz",
        intensity=str(intensity),
        content=fingerprint.partition(";")[0],
    )
