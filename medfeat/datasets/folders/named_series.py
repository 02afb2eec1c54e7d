"""Folders of DICOM slices that a CSV names as volumes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from medfeat.datasets.decoding.dicom_series import Series
from medfeat.datasets.folders.gather_series import Gathered, as_volumes
from medfeat.errors import DataError
from medfeat.types import Progress

_OF_SEVERAL = re.compile(r"series-[0-9a-f]{8}(-\d+)?")


def named_series(root: Path, where: Mapping[str, str], progress: Progress) -> tuple[dict[str, Series], dict[str, str]]:
    """Find the series that paths stand for.

    Parameters
    ----------
    root
        The folder that paths start from.
    where
        By path, where it is named. A path that is a folder stands for the one series in it, a folder and
        ``series-1a2b3c4d`` for one of several; any other is a file and stands for itself.
    progress
        Told of what is left out.

    Returns
    -------
    series, patients
        The files of each volume and its PatientID, by path.

    Raises
    ------
    DataError
        When a folder holds no series, or several, naming them.
    """
    series: dict[str, Series] = {}
    patients: dict[str, str] = {}
    seen: dict[str, Gathered] = {}
    for name, line in where.items():
        one_of = _OF_SEVERAL.fullmatch(PurePosixPath(name).name) is not None and not (root / name).exists()
        folder = str(PurePosixPath(name).parent) if one_of else name
        if not (root / folder).is_dir():
            continue
        if folder not in seen:
            seen[folder] = as_volumes(root, _files_below(root, folder), progress)
        found = seen[folder]
        chosen = name if one_of and name in found.series else _only(root, folder, found, line)
        series[name] = found.series[chosen]
        if chosen in found.patients:
            patients[name] = found.patients[chosen]
    return series, patients


def _only(root: Path, folder: str, found: Gathered, line: str) -> str:
    names = sorted(found.series)
    if not names:
        raise DataError(f"{line}: {root / folder} holds no DICOM slices that could be a volume; name a folder of them")
    if len(names) > 1:
        raise DataError(
            f"{line}: {root / folder} holds {len(names)} DICOM series; name one of them: {', '.join(names[:5])}"
        )
    return names[0]


def _files_below(root: Path, folder: str) -> list[str]:
    found = (path for path in (root / folder).rglob("*") if path.is_file() and not path.name.startswith("."))
    return sorted(path.relative_to(root).as_posix() for path in found)
