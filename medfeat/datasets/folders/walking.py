"""What lies in a folder: images, other files, and what systems and programs leave beside them."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from medfeat.counted import counted, none_of
from medfeat.datasets.decoding.file_kinds import OTHER_PICTURES, SUFFIXES, is_image_name, to_png
from medfeat.datasets.folders.masks import masks_among
from medfeat.datasets.splits.split_names import split_word
from medfeat.errors import DataError
from medfeat.types import Progress

# Of macOS archives, NAS systems, Windows and Linux; hidden names, which start with a dot, come on top.
_SYSTEM_FOLDERS = (
    "__macosx", "@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin", "recycler",
    "system volume information", "lost+found", "__pycache__",
)  # fmt: skip
_SYSTEM_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r")
# Pictures, volumes and archives in formats that are not read: a folder of them alone is one of images all the same.
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar")
NOT_READ = (
    *OTHER_PICTURES, ".eps", ".cr2", ".nef", ".arw", ".dng", ".raw", ".exr", ".svs", ".ndpi", ".mrxs", ".scn", ".czi",
    ".lif", ".vsi", ".mha", ".mhd", ".nrrd", ".nhdr", ".mgz", ".mnc", ".img", ".npy", ".mat", ".zip", ".tar", ".tgz",
    ".tar.gz", ".7z", ".rar", ".part", ".crdownload", ".download", ".mp4", ".avi", ".mov", ".pdf",
)  # fmt: skip
SHOWN = 3
HERE = "the folder itself"


@dataclass
class FilesFound:
    """What lies in a folder.

    Attributes
    ----------
    images, others
        Paths relative to the folder, posix, sorted: images, and files that are none.
    masks, alone
        Images that are masks of others; and images that are named like masks of images that are not there.
    passed
        Hidden and system files and folders, which nobody looked into.
    folders
        Every folder below, those without a file too.
    again
        Links to folders that were read under another name, and that name; loops, which end at a folder above them,
        name that one.
    """

    images: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)
    alone: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    again: dict[str, str] = field(default_factory=dict)


def look(root: Path) -> FilesFound:
    """Walk through a folder, following links.

    Raises
    ------
    DataError
        For a folder that cannot be read, and a file whose name cannot be an id.
    """
    found = FilesFound()
    for path, name in _walk(root, found):
        relative = name if not path else f"{path}/{name}"
        if name.lower() in _SYSTEM_FILES:
            found.passed.append(relative)
            continue
        _check_name(root, relative)
        (found.images if is_image_name(root / relative) else found.others).append(relative)
    found.masks, found.alone = masks_among(found.images)
    masks = set(found.masks)
    found.images = sorted(image for image in found.images if image not in masks)
    found.others.sort()
    found.passed.sort()
    return found


def say_passed(root: Path, found: FilesFound, progress: Progress) -> None:
    """Count aloud what is left out, with one example of each kind."""
    if found.passed:
        progress.say(
            f"{root}: {len(found.passed)} hidden or system files and folders are passed over "
            f"({_kinds(PurePosixPath(name).name for name in found.passed)}), such as {found.passed[0]}"
        )
    if found.masks:
        progress.say(
            f"{root}: {len(found.masks)} masks or thumbnails lie beside their images and are passed over, "
            f"such as {found.masks[0]}"
        )
    if found.alone:
        progress.say(
            f"{root}: {len(found.alone)} images are named like masks, and the images of these are not here, such as "
            f"{found.alone[0]}: they are read as images; move them away if they are none"
        )
    pictures = [name for name in found.others if name.lower().endswith(NOT_READ)]
    if pictures:
        progress.say(
            f"{root}: {len(pictures)} files are pictures or archives of a kind that is not read "
            f"({_kinds(PurePosixPath(name).suffix for name in pictures)}) and are left out, such as {pictures[0]}; "
            f"{_advice(pictures)}"
        )
    others = [name for name in found.others if not name.lower().endswith(NOT_READ)]
    if others:
        verb = "is no image and is" if len(others) == 1 else "are no images and are"
        progress.say(f"{root}: {counted(len(others), 'file')} {verb} left out, such as {others[0]}")
    for link, other in found.again.items():
        progress.say(f"{root}: {link} is a link to {other} and is not read again")


def refuse_lost(root: Path, found: FilesFound, classes: Sequence[str]) -> None:
    """Refuse a folder beside those of classes or splits that holds pictures, none of which can be read.

    Parameters
    ----------
    root, found
        The folder, and what lies in it.
    classes
        The folders, relative to the root, that are classes or splits.

    Raises
    ------
    DataError
        Naming the folder and what it holds.
    """
    parents = {str(PurePosixPath(name).parent) for name in classes}
    full = {str(parent) for image in found.images for parent in PurePosixPath(image).parents}
    # with its only other class lost, a class that holds splits looks like a wrapper around them
    below = [PurePosixPath(name) for name in found.folders]
    around_splits = {str(folder.parent) for folder in below if split_word(folder.name)}
    for folder in found.folders:
        beside = str(PurePosixPath(folder).parent) in parents
        if folder in full or not (beside or folder in around_splits):
            continue
        inside = [name for name in found.others if name.startswith(f"{folder}/")]
        pictures = [name for name in inside if name.lower().endswith(NOT_READ)]
        if pictures:
            raise DataError(
                f"{root}: {none_of(len(inside), 'file')} of the folder {folder} is an image that is read "
                f"({_kinds(PurePosixPath(name).suffix for name in inside)}), such as {inside[0]}; "
                f"{to_png(*pictures)}, or move the folder away"
            )


def no_image(root: Path, found: FilesFound) -> DataError:
    """Build the error for a folder without an image, saying what it holds instead."""
    kinds = _kinds(PurePosixPath(name).suffix or PurePosixPath(name).name for name in found.others)
    holds = f" but {len(found.others)} other files ({kinds})" if found.others else ""
    return DataError(f"{root} holds no image{holds}; looked for {', '.join(SUFFIXES)} in it and its sub-folders")


def _walk(root: Path, found: FilesFound) -> Iterator[tuple[str, str]]:
    """Yield the folder, relative to the root, and the name of each file that is not hidden."""
    seen = {os.path.realpath(root): ""}
    waiting, links = [""], list[str]()
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop()  # what is really there is read under its own name
        if folder and not _is_new(root, folder, seen, found):
            continue
        for entry in _entries(root, folder):
            relative = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name.startswith(".") or entry.name.lower() in _SYSTEM_FOLDERS:
                found.passed.append(relative)
            elif not _is_folder(entry):
                yield folder, entry.name
            else:
                (links if entry.is_symlink() else waiting).append(relative)


def _is_new(root: Path, folder: str, seen: dict[str, str], found: FilesFound) -> bool:
    """Note a folder, and tell whether no other name led to it before."""
    place = os.path.realpath(root / folder)
    if place in seen:
        found.again[folder] = seen[place] or HERE
        return False
    seen[place] = folder
    found.folders.append(folder)
    return True


def _entries(root: Path, folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(root / folder) as entries:
            return sorted(entries, key=lambda entry: entry.name, reverse=True)
    except OSError as error:
        raise DataError(
            f"{root}: the folder {folder or '.'} cannot be read ({error.strerror}); let it be read, or move it away"
        ) from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _check_name(root: Path, name: str) -> None:
    """Refuse a name that is no text: with a line break or another control character, or a byte that is not UTF-8."""
    if not any(ord(letter) < 32 or 0xD800 <= ord(letter) <= 0xDFFF for letter in name):
        return
    try:
        os.fsencode(name).decode("utf-8")
        told = sys.getfilesystemencoding() != "utf-8" and not any(ord(letter) < 32 for letter in name)
    except UnicodeError:
        told = False
    if told:
        raise DataError(
            f"{root}: the name {os.fsencode(name).decode('utf-8')!r} cannot be read in the locale's encoding "
            f"{sys.getfilesystemencoding()}; set LC_ALL=C.UTF-8 or PYTHONUTF8=1"
        )
    raise DataError(f"{root}: the name {name!r} cannot be an id; rename the file to plain characters")


def _advice(names: Sequence[str]) -> str:
    pictures = [name for name in names if not name.lower().endswith(ARCHIVES)]
    advice = [to_png(*pictures)] * bool(pictures) + ["unpack archives"] * (len(pictures) < len(names))
    return ", ".join(advice)


def _kinds(names: Iterator[str]) -> str:
    """Spell the most frequent of some names."""
    counts = Counter(name.lower() or "no suffix" for name in names)
    shown = ", ".join(name for name, _ in counts.most_common(SHOWN))
    return f"{shown}, ..." if len(counts) > SHOWN else shown
