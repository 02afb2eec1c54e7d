"""Slice files that came to harm: empty, cut short in a copy, or no DICOM any more, beside slices that are whole."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path, PurePosixPath

from medfeat.datasets.decoding.dicom_headers import Slice, may_be_dicom
from medfeat.datasets.decoding.file_kinds import NO_IMAGES, has_picture_mark

# What numbers and digests differ in from slice to slice of one series.
_NUMBERING = re.compile(r"[0-9A-Fa-f]+")


def torn_slices(root: Path, volumes: Sequence[Sequence[Slice]], headers: Mapping[str, Slice | None]) -> list[list[str]]:
    """Find the files that should be slices of volumes and are not, volume by volume.

    Such a file lies beside slices of the volume. Its header ends too early, and is of the same series or of none that
    is known; or it has no header, and is DICOM by its name or mark, or named as the slices are, but for numbers.

    Parameters
    ----------
    root
        The folder that files are named from.
    volumes
        The slices of each.
    headers
        Of all images below the root; None of those that have none.
    """
    known = {one.series for one in headers.values() if one is not None and not one.is_cut}
    folders = [{PurePosixPath(one.file).parent for one in slices} for slices in volumes]
    unread = {folder: _unread(root, folder, headers) for folder in set().union(*folders)}
    found = []
    for slices, near in zip(volumes, folders, strict=True):
        others = known - {slices[0].series}
        names = {_pattern(one.file) for one in slices}
        beside = [file for folder in near for file in unread[folder]]
        found.append(sorted(file for file in beside if _belongs(root, file, headers, others, names)))
    return found


def fault_of_torn(root: Path, torn: Sequence[str]) -> str:
    """Say that slices of a volume cannot be read, naming the first."""
    first = root / torn[0]
    why = "damaged, or cut short"
    if not first.exists():
        why = "missing file"
    elif not first.stat().st_size:
        why = "empty file"
    return f"{len(torn)} of its slices cannot be read, such as {first.name} ({why}); get them again, or move them away"


def _unread(root: Path, folder: PurePosixPath, headers: Mapping[str, Slice | None]) -> list[str]:
    """List the files in a folder that have no whole header."""
    found = []
    for path in (root / folder).iterdir():
        file = (folder / path.name).as_posix()
        header = headers.get(file)
        if (header is None or header.is_cut) and path.name.lower() not in NO_IMAGES and not path.is_dir():
            found.append(file)
    return found


def _belongs(
    root: Path,
    file: str,
    headers: Mapping[str, Slice | None],
    others: Set[tuple[str, ...]],
    names: Set[str],
) -> bool:
    header, path = headers.get(file), root / file
    if header is not None:
        return header.series not in others
    return _pattern(file) in names or (file in headers and may_be_dicom(path) and not has_picture_mark(path))


def _pattern(file: str) -> str:
    return _NUMBERING.sub("#", PurePosixPath(file).name)
