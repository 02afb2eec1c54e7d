"""A folder of images: `class/` sub-folders, splits outside or inside them, or no order at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medfeat.datasets.folders.class_folders import layout_of
from medfeat.datasets.folders.file_list import FileList
from medfeat.datasets.folders.gather_series import Gathered, as_volumes, numbered_patients, say_slices
from medfeat.datasets.folders.masks import refuse_folder_of_masks, siblings
from medfeat.datasets.folders.walking import HERE, FilesFound, look, no_image, refuse_lost, say_passed
from medfeat.datasets.labels.class_spelling import BadLabel
from medfeat.datasets.labels.labelling import Labelling, of_folders
from medfeat.errors import DataError
from medfeat.types import Progress, TaskType, Volumes


def list_folder(
    root: Path,
    name: str,
    *,
    task: TaskType | None,
    wanted: Sequence[str] = (),
    volumes: Volumes | None = None,
    progress: Progress,
) -> FileList:
    """List the images in a folder.

    Sub-folders are classes; sub-folders named train, val and test (or by one of their usual other names) are splits,
    with classes inside or outside. Images all in one place have no labels. Folders inside a class folder belong to
    the class. Masks beside their images, hidden and system files, and files that are no images are passed over and
    counted aloud.

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
        Told what is passed over, what is taken for a split by another name, and how the names of folders were read.

    Raises
    ------
    DataError
        When there is no image, images lie beside class folders or beside splits, a class or a split has pictures and
        none that is read, or what are splits and what are classes cannot be told.
    """
    found = look(root)
    if not found.images:
        raise no_image(root, found)
    say_passed(root, found, progress)
    if alike := siblings(found.images):
        progress.say(
            f"{root}: {len(alike)} images are called like another one with a word behind it, such as {alike[0]}: where "
            "they were made of it, take them away, or both may fall into two splits"
        )
    volumes_found = _volumes(root, found, volumes, progress)
    images = found.images if volumes_found is None else volumes_found.ids
    layout = layout_of(root, images, progress)
    _refuse_linked_twice(root, found, layout.folders)
    refuse_lost(root, found, layout.folders)
    if layout.labels is not None and layout.split is None:
        refuse_folder_of_masks(found.images, str(root))
    return FileList(
        name=name,
        source="folder",
        root=root,
        ids=tuple(images),
        labelling=_labelling(root, images, layout.labels, task=task, wanted=wanted, progress=progress),
        split=layout.split,
        patients=None if volumes_found is None else numbered_patients(images, volumes_found.patients, progress),
        series={} if volumes_found is None else volumes_found.series,
    )


def list_file(path: Path, name: str) -> FileList:
    """List a single image."""
    return FileList(name=name, source="folder", root=path.parent, ids=(path.name,))


def _volumes(root: Path, found: FilesFound, volumes: Volumes | None, progress: Progress) -> Gathered | None:
    """Gather slices into volumes where that was asked for; else say what they are."""
    if volumes is None:
        say_slices(root, found.images, progress)
        return None
    gathered = as_volumes(root, found.images, progress)
    if not gathered.ids:
        raise DataError(f"{root} holds no volume: every file was left out, as said above")
    return gathered


def _labelling(
    root: Path,
    images: Sequence[str],
    labels: Sequence[str] | None,
    *,
    task: TaskType | None,
    wanted: Sequence[str],
    progress: Progress,
) -> Labelling | None:
    if labels is None:
        return None
    try:
        found = of_folders(labels, task, wanted)
    except BadLabel as error:
        raise DataError(error.told(root, images)) from error
    for line in found.said:
        progress.say(f"{root}: {line}")
    return found


def _refuse_linked_twice(root: Path, found: FilesFound, folders: Sequence[str]) -> None:
    """Refuse a class or a split that is a link to images read elsewhere: they would be in both, or in the other one."""
    places = {folder.rpartition("/")[0] for folder in folders}
    for link, other in found.again.items():
        if link.rpartition("/")[0] in places and other != HERE and not link.startswith(f"{other}/"):
            raise DataError(
                f"{root}: the folder {link} is a link to {other}, and an image cannot be in both; remove the link"
            )
