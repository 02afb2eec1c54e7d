"""DICOM: pixels in the units of the modality, with the window and the polarity the file declares."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.decode import DICOM_SUFFIXES, BadFile, missing_extra
from medfeat.datasets.intensity import Stored

if TYPE_CHECKING:
    from pydicom.uid import UID

MAX_VALUES = 1 << 27
GREY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")


def read_dicom(path: Path) -> Stored:
    """Read a DICOM file: (H, W), (H, W, 3), or (frames, H, W) when it holds several grey frames.

    Rescale slope and intercept, or the modality's table, are applied, frame by frame where an enhanced file gives them
    so; pixels that the file declares to be padding take the lowest value of the others.
    """
    try:
        import pydicom  # noqa: F401 - only seen to be there
    except ImportError as error:
        raise missing_extra("DICOM", "pydicom", "dicom", error) from error
    file = _opened(path)
    photometric = _checked_photometric(file)
    values = _pixels(file)
    if photometric in GREY:
        return _grey(file, values, inverted=photometric == "MONOCHROME1")
    if values.dtype != np.uint8 or values.ndim != 3:
        raise BadFile(f"colour of {values.dtype} and shape {values.shape}; one picture of 8 bits a channel is needed")
    return Stored(np.ascontiguousarray(values))


def _opened(path: Path) -> Any:
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        return pydicom.dcmread(path)
    except InvalidDicomError as error:
        if not path.name.lower().endswith(DICOM_SUFFIXES):
            raise BadFile("no DICOM file") from error
    try:  # old programs wrote the elements alone, without preamble and mark
        file = pydicom.dcmread(path, force=True)
        if "PixelData" not in file:
            raise BadFile("no DICOM file")
    except Exception as error:  # what is no DICOM at all is read as lengths and tags, and can fail anywhere
        raise BadFile("no DICOM file") from error
    if "TransferSyntaxUID" not in file.file_meta:
        file.file_meta.TransferSyntaxUID = _plain_syntax(file)
    return file


def _plain_syntax(file: Any) -> UID:
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    implicit, little = file.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _pixels(file: Any) -> NDArray[Any]:
    try:
        values: NDArray[Any] = file.pixel_array
    except RuntimeError as error:
        # pydicom lists, a line each, the packages that could read it, or why those that are there could not.
        _, _, listed = str(error).partition("\n")
        if not listed:
            raise
        kind = file.file_meta.TransferSyntaxUID.name
        ways = re.findall(r"requires (.+)", listed)
        if len(ways) < len(listed.splitlines()):
            raise BadFile(f"compressed as {kind}: {' '.join(listed.split())}") from error
        # The package that holds the module gdcm has another name.
        needed = ", or ".join(re.sub(r"\bgdcm", "python-gdcm", way) for way in ways)
        raise BadFile(f"compressed as {kind}, which needs another package; install {needed}") from error
    return values


def _checked_photometric(file: Any) -> str:
    if "PixelData" not in file:
        raise BadFile("a DICOM file without pixels")
    count = int(file.Rows) * int(file.Columns) * int(file.get("NumberOfFrames") or 1)
    if count > MAX_VALUES:
        raise BadFile(f"too large ({count} pixels; the limit is {MAX_VALUES})")
    photometric = str(file.get("PhotometricInterpretation", "MONOCHROME2"))
    if photometric not in (*GREY, *COLOUR):
        raise BadFile(f"photometric interpretation {photometric}; needed is one of {', '.join((*GREY, *COLOUR))}")
    return photometric


def _grey(file: Any, values: NDArray[Any], *, inverted: bool) -> Stored:
    padding = _padding(file, values)
    per_frame = _frame_rescales(file)
    rescaled = per_frame is not None or "RescaleSlope" in file or bool(file.get("ModalityLUTSequence"))
    if per_frame is not None:
        values = _rescaled_frames(values, per_frame)
    elif rescaled and not _is_identity(file):
        from pydicom.pixels.processing import apply_modality_lut

        values = apply_modality_lut(values, file)
    if padding is not None and padding.any() and not padding.all():
        values = np.where(padding, values[~padding].min(), values)
    return Stored(values, modality=rescaled, window=_window_of_frames(file), inverted=inverted)


def _frame_groups(file: Any, name: str) -> list[Any] | None:
    """Return what an enhanced file says of each frame: of the frame itself, or of all; None when of none."""
    frames = int(file.get("NumberOfFrames") or 1)
    shared = _first(_first(file, "SharedFunctionalGroupsSequence"), name)
    groups = file.get("PerFrameFunctionalGroupsSequence") or [None] * frames
    if len(groups) != frames:
        raise BadFile(f"describes {len(groups)} of its {frames} frames in PerFrameFunctionalGroupsSequence")
    own = [_first(group, name) for group in groups]
    found = [shared if item is None else item for item in own]
    return None if all(item is None for item in found) else found


def _first(holder: Any, name: str) -> Any:
    sequence = holder.get(name) if holder is not None else None
    return sequence[0] if sequence else None


def _frame_rescales(file: Any) -> list[tuple[float, float]] | None:
    """Return the slope and intercept of each frame of an enhanced file, None when it has none of its own."""
    groups = _frame_groups(file, "PixelValueTransformationSequence")
    if groups is None:
        return None
    if any(group is None or group.get("RescaleSlope") is None for group in groups):
        raise BadFile("gives a rescale slope (PixelValueTransformationSequence) for some of its frames only")
    return [(float(group.RescaleSlope), float(group.get("RescaleIntercept") or 0.0)) for group in groups]


def _rescaled_frames(values: NDArray[Any], rescales: list[tuple[float, float]]) -> NDArray[Any]:
    if all(rescale == (1.0, 0.0) for rescale in rescales):
        return values
    slopes, intercepts = np.array(rescales).T.reshape(2, -1, 1, 1)
    frames = values.reshape(len(rescales), *values.shape[-2:])
    rescaled: NDArray[Any] = frames * slopes + intercepts
    return rescaled.reshape(values.shape)


def _is_identity(file: Any) -> bool:
    """Whether rescaling would only turn integers into floats."""
    if file.get("ModalityLUTSequence"):
        return False
    return float(file.RescaleSlope) == 1.0 and float(file.get("RescaleIntercept") or 0.0) == 0.0


def _padding(file: Any, values: NDArray[Any]) -> NDArray[np.bool_] | None:
    first = file.get("PixelPaddingValue")
    if first is None:
        return None
    limit = file.get("PixelPaddingRangeLimit")
    low, high = sorted((int(first), int(first if limit is None else limit)))
    return (values >= low) & (values <= high)


def _window_of_frames(file: Any) -> tuple[float, float] | None:
    """Return the window of the file, None when the frames of an enhanced one have windows that differ."""
    groups = _frame_groups(file, "FrameVOILUTSequence")
    if groups is None:
        return _window(file)
    windows = {None if group is None else _window(group) for group in groups}
    return windows.pop() if len(windows) == 1 else None


def _window(file: Any) -> tuple[float, float] | None:
    """Return the first linear window of a file or of a frame."""
    center, width = file.get("WindowCenter"), file.get("WindowWidth")
    if center is None or width is None or str(file.get("VOILUTFunction") or "LINEAR") != "LINEAR":
        return None
    first_center, first_width = (float(np.atleast_1d(value)[0]) for value in (center, width))
    return (first_center, first_width) if first_width > 1 else None
