"""A folder of images: `class/` sub-folders, splits outside or inside them, or no order at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medfeat.datasets.labels import BadLabel, Labelling, classes_of
from medfeat.datasets.layout import layout_of
from medfeat.datasets.listing import Listing
from medfeat.datasets.masks import FOLDER, refuse_folder_of_masks
from medfeat.datasets.walking import HERE, Found, look, no_image, refuse_lost, say_passed
from medfeat.errors import DataError
from medfeat.types import Progress, TaskType


def list_folder(root: Path, name: str, *, task: TaskType | None, progress: Progress) -> Listing:
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
    progress
        Told what is passed over, and what is taken for a split by another name.

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
    layout = layout_of(root, found.images, progress)
    _refuse_linked_twice(root, found, layout.folders)
    refuse_lost(root, found, layout.folders)
    if layout.labels is not None and layout.split is None:
        refuse_folder_of_masks(found.images, str(root))
        for folder in sorted(set(layout.labels)):
            if FOLDER.fullmatch(folder):
                progress.say(f"{root}: the folder {folder} is taken for a class: its files are masks of no image here")
    return Listing(
        name=name,
        source="folder",
        root=root,
        ids=tuple(found.images),
        labelling=_labelling(root, found.images, layout.labels, task),
        split=layout.split,
    )


def list_file(path: Path, name: str) -> Listing:
    """List a single image."""
    return Listing(name=name, source="folder", root=path.parent, ids=(path.name,))


def _labelling(
    root: Path, images: Sequence[str], labels: Sequence[str] | None, task: TaskType | None
) -> Labelling | None:
    try:
        return classes_of(labels, task) if labels is not None else None
    except BadLabel as error:
        raise DataError(f"{root}, the folder of {images[error.row]}: {error}") from error


def _refuse_linked_twice(root: Path, found: Found, folders: Sequence[str]) -> None:
    """Refuse a class or a split that is a link to images read elsewhere: they would be in both, or in the other one."""
    places = {folder.rpartition("/")[0] for folder in folders}
    for link, other in found.again.items():
        if link.rpartition("/")[0] in places and other != HERE and not link.startswith(f"{other}/"):
            raise DataError(
                f"{root}: the folder {link} is a link to {other}, and an image cannot be in both; remove the link"
            )
