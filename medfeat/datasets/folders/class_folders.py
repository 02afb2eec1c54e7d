"""Which folder of an image's path is its split and which its class."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from medfeat.datasets.splits.split_names import said_splits, split_and_rest, split_word, splits_in_paths, splits_of
from medfeat.errors import DataError
from medfeat.types import Progress

_FOLD = re.compile(r"(?:cv|k)?[ _-]?folds?[ _-]?\d+|(?:cv|split|subset|partition)[ _-]?\d+", re.IGNORECASE)
# P001, images_002, 0003: as often patients, or parts of an archive, as classes.
_NUMBERED = re.compile(r"(?P<word>\D*[^\W\d_]\D*)\d[\d _.-]*|\d{3,}")
_NUMBERED_CLASSES = re.compile(r"(?:class|grade|stage|level|type|score|category|label|degree)[ _.-]?", re.IGNORECASE)


@dataclass(frozen=True)
class FolderLayout:
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


def layout_of(root: Path, images: Sequence[str], progress: Progress) -> FolderLayout:
    """Tell splits and classes from the folders of images.

    Folders named after splits are splits where every image is in one, all at one depth: outside the classes, inside
    them, or below a folder that holds everything. The class is then the first other folder that tells images apart.
    Folders that each name a split and something else, such as ``train_benign``, are read as one in the other.

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
        both above and below splits; when images lie beside class folders; when some folders beside each other name a
        split and a class and others do not; and for folds.
    """
    parts = [PurePosixPath(image).parts[:-1] for image in images]
    apart, joined = _apart(root, parts)
    if not joined:
        return _layout(root, images, parts, progress)
    shown = PurePosixPath(joined[0]).name
    split, rest = split_and_rest(shown) or ("", "")
    progress.say(f"{root}: folders are taken for a split and a class each, such as {shown} for {split} and {rest}")
    return replace(_layout(root, images, apart, progress), folders=joined)


def _apart(root: Path, parts: list[tuple[str, ...]]) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """Part folders such as ``train_benign`` into class and split, and return these folders relative to the root."""
    known: dict[int, dict[str, tuple[str, str]]] = {}
    for depth in range(max(map(len, parts))):
        names = sorted({part_of[depth] for part_of in parts if len(part_of) > depth})
        joined = {name: found for name in names if (found := split_and_rest(name)) is not None}
        splits = {split_word(joined[name][0] if name in joined else name) for name in names} - {None}
        if not joined or len(splits) < 2:
            continue
        if other := next((name for name in names if name not in joined), None):
            raise DataError(
                f"{root}: the folder {next(iter(joined))} names a split and something else, and {other} beside it does "
                "not; make folders such as train/benign of them, or list the images in a CSV with a column split"
            )
        known[depth] = joined
    folders = {"/".join(part_of[: depth + 1]) for part_of in parts for depth in known if len(part_of) > depth}
    apart = [
        tuple(name for i, part in enumerate(part_of) for name in reversed(known.get(i, {}).get(part, (part,))))
        for part_of in parts
    ]
    return apart, tuple(sorted(folders))


def _layout(root: Path, images: Sequence[str], parts: list[tuple[str, ...]], progress: Progress) -> FolderLayout:
    names = splits_of({part for part_of in parts for part in part_of}, str(root))
    depths = [[i for i, part in enumerate(part_of) if part in names] for part_of in parts]
    found = {names[parts[i][depth]] for i, image in enumerate(depths) for depth in image}
    if not found or (len(found) == 1 and not all(depths)):
        _refuse_folds(root, parts, names)
        _say_no_splits(root, parts, names, progress)
        if len(splits := splits_in_paths(PurePosixPath(image).name for image in images)) > 1:
            progress.say(
                f"{root}: names of images speak of splits ({', '.join(sorted(splits))}), such as {images[0]}, and are "
                "no splits; to keep these, make folders of them, or a CSV with a column split"
            )
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
    return FolderLayout(split, labels, tuple(sorted(folders)))


def _refuse_folds(root: Path, parts: list[tuple[str, ...]], names: Collection[str]) -> None:
    """Refuse folders called fold_1 and fold_2, outside or inside classes, where all images are in one of them."""
    folds = sorted({part for part_of in parts for part in part_of if _FOLD.fullmatch(part)})
    if len(folds) > 1 and all(any(part in folds or part in names for part in part_of) for part_of in parts):
        raise DataError(
            f"{root}: {', '.join(folds[:3])} are folds and no classes; name folders train, val and test, or list the "
            "images in a CSV with a column split"
        )


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


def _classes(root: Path, images: Sequence[str], below: list[tuple[str, ...]], progress: Progress) -> FolderLayout:
    loose = [image for image, part_of in zip(images, below, strict=True) if not part_of]
    labels = [part_of[0] for part_of in below if part_of]
    if loose and labels:
        raise DataError(
            f"{root}: {loose[0]} lies beside the folder {labels[0]}; put every image into a class folder, or none"
        )
    if len(set(labels)) > 1:
        _say_numbered(root, sorted(set(labels)), progress)
        return FolderLayout(None, labels, tuple(sorted(set(labels))))
    inside = sorted({part_of[0] for part_of in _without_wrapper(below) if part_of} - set(labels))
    if len(inside) > 1:
        progress.say(
            f"{root}: all images lie in the folder {labels[0]}, so they have no labels; where its folders "
            f"({', '.join(inside[:3])}{', ...' if len(inside) > 3 else ''}) are classes, name {root / labels[0]}"
        )
    return FolderLayout(None, None, tuple(sorted(set(labels))))


def _say_numbered(root: Path, labels: Sequence[str], progress: Progress) -> None:
    found = [_NUMBERED.fullmatch(label) for label in labels]
    words = {match and (match["word"] or "").casefold() for match in found}
    (word,) = words if len(words) == 1 else (None,)
    if word is not None and not _NUMBERED_CLASSES.fullmatch(word):
        progress.say(
            f"{root}: numbered folders ({', '.join(labels[:2])}, ...) are taken for classes; check that they are no "
            "patients and no parts of an archive, and else list the images in a CSV"
        )


def _class_folders(parts: list[tuple[str, ...]], labels: list[str] | None) -> set[str]:
    if labels is None:
        return set()
    places = ((part_of, part_of.index(label)) for part_of, label in zip(parts, labels, strict=True))
    return {"/".join(part_of[: place + 1]) for part_of, place in places}
