"""Headers of DICOM files, read without their pixels: what says which slices belong to one volume."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from medfeat.datasets.decode import DICOM_SUFFIXES, has_dicom_mark

# What tells volumes apart that lie at the same places within one series.
TELLING = (
    "AcquisitionNumber",
    "EchoNumbers",
    "EchoTime",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "DiffusionBValue",
    "InversionTime",
    "ContentTime",
    "ImageType",
)
TAGS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "NumberOfFrames",
    "Rows",
    "Columns",
    *TELLING,
)


@dataclass(frozen=True)
class Slice:
    """What the header of a DICOM file says of its place.

    Attributes
    ----------
    file
        Relative to the root, posix.
    series
        Study and series UID, with the patient; the folder instead where there is no series UID.
    patient
        PatientID; neither printed nor kept.
    instance
        SOP instance UID.
    size
        Rows and columns; (0, 0) of a file that holds no picture.
    frames
        In this file.
    localizer
        Whether it is one, by its ImageType.
    position, orientation
        In millimetres and as cosines, to the left, back and head; None when not given.
    spacing
        Millimetres from row to row and from column to column.
    told
        The values of `TELLING`.
    """

    file: str
    series: tuple[str, ...] = field(repr=False)
    patient: str = field(repr=False)
    instance: str
    size: tuple[int, int]
    frames: int
    localizer: bool
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, float]
    told: Mapping[str, str]


def read_slice(root: Path, file: str) -> Slice | None:
    """Read the header of a file, None when it is no DICOM file or cannot be understood."""
    path = root / file
    if not (has_dicom_mark(path) or path.name.lower().endswith(DICOM_SUFFIXES)):
        return None
    import pydicom

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(TAGS), force=True)
        return _slice(file, header)
    except Exception:  # a damaged header fails anywhere; the file is then read, and reported, as any other
        return None


def _slice(file: str, header: Any) -> Slice | None:
    uid, patient = _text(header, "SeriesInstanceUID"), _text(header, "PatientID")
    if not uid and "SOPClassUID" not in header and "Rows" not in header:
        return None
    spacing = _numbers(header, "PixelSpacing", 2) or (1.0, 1.0)
    return Slice(
        file=file,
        series=(patient, _text(header, "StudyInstanceUID"), uid or str(PurePosixPath(file).parent)),
        patient=patient,
        instance=_text(header, "SOPInstanceUID"),
        size=(int(header.get("Rows") or 0), int(header.get("Columns") or 0)),
        frames=int(header.get("NumberOfFrames") or 1),
        localizer="LOCALIZER" in _text(header, "ImageType").upper(),
        position=_numbers(header, "ImagePositionPatient", 3),
        orientation=_numbers(header, "ImageOrientationPatient", 6),
        spacing=(spacing[0], spacing[1]),
        told={name: _text(header, name) for name in TELLING},
    )


def _text(header: Any, name: str) -> str:
    value = header.get(name)
    return "" if value is None else str(value).strip()


def _numbers(header: Any, name: str, count: int) -> tuple[float, ...] | None:
    value = header.get(name)
    if value is None or isinstance(value, str) or not hasattr(value, "__iter__"):
        return None
    found = tuple(float(part) for part in value)
    return found if len(found) == count and all(math.isfinite(part) for part in found) else None
