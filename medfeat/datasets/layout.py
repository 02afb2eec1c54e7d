"""Which folder of an image's path is its split and which its class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from medfeat.datasets.splitnames import said_splits, splits_of
from medfeat.errors import DataError
from medfeat.types import Progress

FOLD = re.compile(r"(?:cv|k)?[ _-]?folds?[ _-]?\d+|(?:cv|split)[ _-]?\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """What the folders of images say.

    Attributes
    ----------
    split
        ``train``, ``val`` or ``test`` an image, None when no folders are splits.
    labels
        The class folder of an image, None when no folders are classes.
    folders
        The folders, relative to the root, that are splits or classes.
    """

    split: tuple[str, ...] | None
    labels: list[str] | None
    folders: tuple[str, ...] = ()


def layout_of(root: Path, images: Sequence[str], progress: Progress) -> Layout:
    """Tell splits and classes from the folders of images.

    Folders named after splits are splits where every image is in one, all at one depth: outside the classes, inside
    them, or below a folder that holds everything. The class is then the first other folder that tells images apart.

    Parameters
    ----------
    root
        The folder, for errors.
    images
        Paths relative to it, posix, sorted.
    progress
        Told what was taken for a split by another name, and of names of splits that are none.

    Raises
    ------
    DataError
        When some images are in splits and others are not, in two splits, or at different depths; when classes lie
        both above and below splits; and when images lie beside class folders.
    """
    parts = [PurePosixPath(image).parts[:-1] for image in images]
    names = splits_of({part for part_of in parts for part in part_of}, str(root))
    depths = [[i for i, part in enumerate(part_of) if part in names] for part_of in parts]
    found = {names[parts[i][depth]] for i, image in enumerate(depths) for depth in image}
    if not found or (len(found) == 1 and not all(depths)):
        _say_no_splits(root, parts, names, progress)
        return _classes(root, images, parts, progress)
    _refuse_mixture(root, images, parts, depths, names)
    split = tuple(names[part_of[depth[0]]] for part_of, depth in zip(parts, depths, strict=True))
    depth = depths[0][0]
    below = [tuple(part for part in part_of if part not in names) for part_of in parts]
    _refuse_two_classes(root, images, below, depth)
    if said := said_splits({part_of[depth]: names[part_of[depth]] for part_of in parts}):
        progress.say(f"{root}: folders are taken for splits: {said}")
    labels = _classes(root, images, _without_wrapper(below), progress).labels
    folders = {"/".join(part_of[: depth + 1]) for part_of in parts} | _class_folders(parts, labels)
    return Layout(split, labels, tuple(sorted(folders)))


def _say_no_splits(root: Path, parts: list[tuple[str, ...]], names: dict[str, str], progress: Progress) -> None:
    named = sorted({"/".join(part_of[: i + 1]) for part_of in parts for i, part in enumerate(part_of) if part in names})
    if named:
        kind = "a class" if "/" not in named[0] else "a part of its class"
        progress.say(f"{root}: the folder {named[0]} is taken for {kind} and not for a split: other images are in none")


def _refuse_mixture(
    root: Path,
    images: Sequence[str],
    parts: list[tuple[str, ...]],
    depths: list[list[int]],
    names: dict[str, str],
) -> None:
    """Refuse images beside splits, in two splits, and splits at different depths."""
    usual = min(depth[0] for depth in depths if depth)
    tops = {part_of[usual] for part_of, depth in zip(parts, depths, strict=True) if depth and depth[0] == usual}
    listed = ", ".join(sorted(tops))
    for image, part_of, depth in zip(images, parts, depths, strict=True):
        within = {names[part_of[i]] for i in depth}
        if len(within) > 1:
            raise DataError(f"{root}: {image} lies in two splits, {' and '.join(sorted(within))}; rename one folder")
        if depth and depth[0] == usual:
            continue
        odd = f"the folder {part_of[usual]}" if len(part_of) > usual else image
        raise DataError(
            f"{root}: {odd} lies beside the splits {listed}; move it away, or, where these are classes, list the "
            "images in a CSV"
        )


def _refuse_two_classes(root: Path, images: Sequence[str], below: list[tuple[str, ...]], depth: int) -> None:
    """Refuse splits with folders above and folders below that could each be the classes."""
    above: dict[str, set[str]] = {}
    for part_of in below:
        if len(part_of) > depth:
            above.setdefault(part_of[depth], set()).add("/".join(part_of[:depth]))
    tops = {top for held in above.values() for top in held}
    shared = sorted(name for name, held in above.items() if len(held) > 1)
    if depth and len(tops) > 1 and len(above) > 1 and shared:
        raise DataError(
            f"{root}: the folders above the splits ({', '.join(sorted(tops)[:3])}) and below them "
            f"({', '.join(sorted(above)[:3])}) could each be the classes, as in {images[0]}; list the images in a CSV"
        )


def _without_wrapper(below: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Drop folders that all images share, as long as others that tell them apart lie inside."""
    stripped = below
    while all(stripped) and len({part_of[0] for part_of in stripped}) == 1:
        stripped = [part_of[1:] for part_of in stripped]
    return stripped if all(stripped) else below


def _classes(root: Path, images: Sequence[str], below: list[tuple[str, ...]], progress: Progress) -> Layout:
    loose = [image for image, part_of in zip(images, below, strict=True) if not part_of]
    labels = [part_of[0] for part_of in below if part_of]
    if loose and labels:
        raise DataError(
            f"{root}: {loose[0]} lies beside the folder {labels[0]}; put every image into a class folder, or none"
        )
    if len(set(labels)) > 1:
        if all(FOLD.fullmatch(label) for label in labels):
            raise DataError(
                f"{root}: {', '.join(sorted(set(labels))[:3])} are folds and no classes; name folders train, val and "
                "test, or list the images in a CSV with a column split"
            )
        return Layout(None, labels, tuple(sorted(set(labels))))
    inside = sorted({part_of[0] for part_of in _without_wrapper(below) if part_of} - set(labels))
    if len(inside) > 1:
        progress.say(
            f"{root}: all images lie in the folder {labels[0]}, so they have no labels; where its folders "
            f"({', '.join(inside[:3])}{', ...' if len(inside) > 3 else ''}) are classes, name {root / labels[0]}"
        )
    return Layout(None, None, tuple(sorted(set(labels))))


def _class_folders(parts: list[tuple[str, ...]], labels: list[str] | None) -> set[str]:
    if labels is None:
        return set()
    places = ((part_of, part_of.index(label)) for part_of, label in zip(parts, labels, strict=True))
    return {"/".join(part_of[: place + 1]) for part_of, place in places}
