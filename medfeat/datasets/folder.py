"""A folder of images: `class/` sub-folders, `train|val|test/class/`, or no order at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from medfeat.datasets.decode import SUFFIXES, is_image_name
from medfeat.datasets.gather import as_volumes, numbered_patients, say_slices
from medfeat.datasets.labels import Labelling, of_folders
from medfeat.datasets.listing import SPLIT_NAMES, Listing
from medfeat.datasets.spelling import BadLabel
from medfeat.errors import DataError
from medfeat.types import Progress, TaskType, Volumes

IGNORED = ("__macosx",)


def list_folder(
    root: Path,
    name: str,
    *,
    task: TaskType | None,
    wanted: Sequence[str] = (),
    volumes: Volumes | None = None,
    progress: Progress,
) -> Listing:
    """List the images in a folder.

    Sub-folders are classes; sub-folders named train and test (and val, or their usual other spellings) are splits,
    with classes inside. Images all in one place have no labels. Folders inside a class folder belong to the class.
    Hidden files are passed over, and files that are no images are counted aloud.

    Parameters
    ----------
    root
        The folder.
    name
        Of the set.
    task
        What the classes mean; None is binary or multi-class by their number.
    wanted
        The classes in their order; empty takes that of the alphabet, or of their numbers.
    volumes
        ``series`` makes one volume of the slices of each DICOM series.
    progress
        Told of files that are no images, and of how the names of folders were read.

    Raises
    ------
    DataError
        When there is no image, images lie beside class folders, or a folder of images lies beside splits.
    """
    images, others = _walk(root)
    if others:
        progress.say(f"{root}: {len(others)} files are no images and are left out, such as {others[0]}")
    if not images:
        raise DataError(f"{root} holds no image; looked for {', '.join(SUFFIXES)} in it and its sub-folders")
    series, patients = {}, None
    if volumes is None:
        say_slices(root, images, progress)
    else:
        found = as_volumes(root, images, progress)
        images, series = found.ids, found.series
        if not images:
            raise DataError(f"{root} holds no volume: every file was left out, as said above")
        patients = numbered_patients(images, found.patients, progress)
    parts = [PurePosixPath(image).parts for image in images]
    _refuse_beside_splits(root, parts)
    split = _split(parts)
    below = [part[1:] for part in parts] if split is not None else parts
    labels = _classes(root, images, below)
    return Listing(
        name=name,
        source="folder",
        root=root,
        ids=tuple(images),
        labelling=_labelling(root, images, labels, task, wanted, progress) if labels is not None else None,
        split=split,
        patients=patients,
        series=series,
    )


def _labelling(
    root: Path,
    images: Sequence[str],
    labels: Sequence[str],
    task: TaskType | None,
    wanted: Sequence[str],
    progress: Progress,
) -> Labelling:
    try:
        found = of_folders(labels, task, wanted)
    except BadLabel as error:
        raise DataError(error.told(root, images)) from error
    for line in found.said:
        progress.say(f"{root}: {line}")
    return found


def list_file(path: Path, name: str) -> Listing:
    """List a single image."""
    return Listing(name=name, source="folder", root=path.parent, ids=(path.name,))


def _walk(root: Path) -> tuple[list[str], list[str]]:
    """Return the images and the other files, relative to the root, sorted."""
    images: list[str] = []
    others: list[str] = []
    for path in _files(root):
        relative = path.relative_to(root).as_posix()
        if not _can_be_id(relative):
            raise DataError(f"{root}: the name {relative!r} cannot be an id; rename the file to plain characters")
        (images if is_image_name(path) else others).append(relative)
    return sorted(images), sorted(others)


def _can_be_id(name: str) -> bool:
    """Whether a name is text: no line break or other control character, and no byte that is not UTF-8."""
    return not any(ord(letter) < 32 or 0xD800 <= ord(letter) <= 0xDFFF for letter in name)


def _files(folder: Path) -> Iterator[Path]:
    seen: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        if (place := os.path.realpath(parent)) in seen:
            folders.clear()  # a link that leads back
            continue
        seen.add(place)
        folders[:] = sorted(name for name in folders if not _hidden(name))
        yield from (Path(parent, name) for name in files if not _hidden(name))


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in IGNORED


def _split(parts: list[tuple[str, ...]]) -> tuple[str, ...] | None:
    """Return the split of each image when every first folder is named after one, and train is among them."""
    found = [SPLIT_NAMES.get(part[0].lower()) if len(part) > 1 else None for part in parts]
    named = tuple(name for name in found if name is not None)
    return named if len(named) == len(found) and "train" in named and len(set(named)) > 1 else None


def _refuse_beside_splits(root: Path, parts: list[tuple[str, ...]]) -> None:
    """Refuse a folder beside train and another split: it would turn the splits into classes."""
    tops = sorted({part[0] for part in parts if len(part) > 1})
    splits = [top for top in tops if top.lower() in SPLIT_NAMES]
    odd = [top for top in tops if top.lower() not in SPLIT_NAMES]
    named = {SPLIT_NAMES[top.lower()] for top in splits}
    if odd and "train" in named and len(named) > 1:
        raise DataError(
            f"{root}: the folder {odd[0]} lies beside the splits {', '.join(splits)}; move it away, "
            "or, where these are classes, list the images in a CSV"
        )


def _classes(root: Path, images: list[str], below: list[tuple[str, ...]]) -> list[str] | None:
    loose = [image for image, part in zip(images, below, strict=True) if len(part) == 1]
    labels = [part[0] for part in below if len(part) > 1]
    if loose and labels:
        raise DataError(
            f"{root}: {loose[0]} lies beside the folder {labels[0]}; put every image into a class folder, or none"
        )
    return labels if len(set(labels)) > 1 else None
