"""Headers of DICOM files, read without their pixels: what says which slices belong to one volume."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from medfeat.datasets.decoding.deflated import refuse_deflated_bomb
from medfeat.datasets.decoding.dicom_frames import frame_count, frame_groups
from medfeat.datasets.decoding.file_kinds import DICOM_SUFFIXES, has_dicom_mark

# What tells volumes apart that lie at the same places within one series.
_TELLING = (
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
# What tells frames of an enhanced file apart, and where it stands.
_FRAMES_TELLING = {
    "StackID": "FrameContentSequence",
    "TemporalPositionIndex": "FrameContentSequence",
    "TemporalPositionTimeOffset": "TemporalPositionSequence",
    "NominalPercentageOfCardiacPhase": "CardiacSynchronizationSequence",
    "NominalCardiacTriggerDelayTime": "CardiacSynchronizationSequence",
    "EffectiveEchoTime": "MREchoSequence",
    "DiffusionBValue": "MRDiffusionSequence",
    "ComplexImageComponent": "MRImageFrameTypeSequence",
}
_TAGS = (
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
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    *_TELLING,
)


@dataclass(frozen=True)
class Place:
    """Where one slice lies, a file or a frame of one.

    Attributes
    ----------
    size
        Rows and columns; (0, 0) of a file that holds no picture.
    position, orientation
        In millimetres and as cosines, to the left, back and head; None when not given.
    spacing
        Millimetres from row to row and from column to column.
    told
        The values of `_TELLING` and `_FRAMES_TELLING`.
    """

    size: tuple[int, int]
    position: tuple[float, ...] | None = None
    orientation: tuple[float, ...] | None = None
    spacing: tuple[float, float] = (1.0, 1.0)
    told: Mapping[str, str] = field(default_factory=dict)


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
    kind, instance
        SOP class, by its keyword, and SOP instance UID.
    frames
        In this file.
    localizer
        Whether it is one, by its ImageType.
    place
        Of its one frame; of a file of several, its size alone.
    """

    file: str
    series: tuple[str, ...] = field(repr=False)
    patient: str = field(repr=False)
    kind: str
    instance: str
    frames: int
    localizer: bool
    place: Place

    @property
    def is_cut(self) -> bool:
        """Whether the file ends before it tells of the image that it is, by its SOP class."""
        return 0 in self.place.size and self.kind.endswith("ImageStorage")


def may_be_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its mark or its name."""
    return path.name.lower().endswith(DICOM_SUFFIXES) or has_dicom_mark(path)


def read_slice(root: Path, file: str) -> Slice | None:
    """Read the header of a file, None when it is no DICOM file or cannot be understood."""
    path = root / file
    if not may_be_dicom(path) or not path.is_file():
        return None
    import pydicom

    try:
        refuse_deflated_bomb(path)
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS), force=True)
        return _slice(file, header)
    except Exception:  # a damaged header fails anywhere; the file is then read, and reported, as any other
        return None


def _slice(file: str, header: Any) -> Slice | None:
    uid, patient = _text(header, "SeriesInstanceUID"), _text(header, "PatientID")
    if not uid and "SOPClassUID" not in header and "Rows" not in header:
        return None
    frames = frame_count(header)
    return Slice(
        file=file,
        series=(patient, _text(header, "StudyInstanceUID"), uid or str(PurePosixPath(file).parent)),
        patient=patient,
        kind=str(getattr(header.get("SOPClassUID"), "keyword", "")),
        instance=_text(header, "SOPInstanceUID"),
        frames=frames,
        localizer="LOCALIZER" in _text(header, "ImageType").upper(),
        place=places_of(header)[0] if frames == 1 else Place(_size(header)),
    )


def places_of(header: Any) -> list[Place]:
    """Return the place of each frame, from the functional groups; of a single one also from the header itself.

    Raises
    ------
    BadFile
        When not all frames are described.
    """
    frames = frame_count(header)
    alone = header if frames == 1 else None

    def group(name: str) -> list[Any]:
        return frame_groups(header, name) or [alone] * frames

    told = [{name: _text(header, name) for name in _TELLING} for _ in range(frames)]
    for name, sequence in _FRAMES_TELLING.items():
        for values, item in zip(told, frame_groups(header, sequence) or [None] * frames, strict=True):
            values[name] = _text(item, name) or values.get(name, "")
    found = zip(group("PlanePositionSequence"), group("PlaneOrientationSequence"), group("PixelMeasuresSequence"),
                told, strict=True)  # fmt: skip
    return [
        Place(
            size=_size(header),
            position=_numbers(position, "ImagePositionPatient", 3),
            orientation=_numbers(orientation, "ImageOrientationPatient", 6),
            spacing=_spacing(measures),
            told=values,
        )
        for position, orientation, measures, values in found
    ]


def _size(header: Any) -> tuple[int, int]:
    return int(header.get("Rows") or 0), int(header.get("Columns") or 0)


def _spacing(holder: Any) -> tuple[float, float]:
    down, across = _numbers(holder, "PixelSpacing", 2) or (1.0, 1.0)
    return down, across


def _text(header: Any, name: str) -> str:
    value = header.get(name) if header is not None else None
    return "" if value is None else str(value).strip()


def _numbers(header: Any, name: str, count: int) -> tuple[float, ...] | None:
    value = header.get(name) if header is not None else None
    if value is None or isinstance(value, str) or not hasattr(value, "__iter__"):
        return None
    found = tuple(float(part) for part in value)
    return found if len(found) == count and all(math.isfinite(part) for part in found) else None
