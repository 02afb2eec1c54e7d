"""DICOM: pixels in the units of the modality, with the window and the polarity the file declares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.decode import BadFile, missing_extra
from medfeat.datasets.intensity import Stored

MAX_VALUES = 1 << 27
GREY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")


def read_dicom(path: Path) -> Stored:
    """Read a DICOM file: (H, W), (H, W, 3), or (frames, H, W) when it holds several grey frames.

    Rescale slope and intercept, or the modality's table, are applied; pixels that the file declares to be padding
    take the lowest value of the others.
    """
    try:
        import pydicom
        from pydicom.errors import InvalidDicomError
    except ImportError as error:
        raise missing_extra("DICOM", "pydicom", "dicom", error) from error
    try:
        file = pydicom.dcmread(path)
    except InvalidDicomError as error:
        raise BadFile("no DICOM file") from error
    photometric = _checked_photometric(file)
    values = file.pixel_array
    if photometric in GREY:
        return _grey(file, values, inverted=photometric == "MONOCHROME1")
    if values.dtype != np.uint8 or values.ndim != 3:
        raise BadFile(f"colour of {values.dtype} and shape {values.shape}; one picture of 8 bits a channel is needed")
    return Stored(np.ascontiguousarray(values))


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
    rescaled = "RescaleSlope" in file or bool(file.get("ModalityLUTSequence"))
    if rescaled and not _is_identity(file):
        from pydicom.pixels.processing import apply_modality_lut

        values = apply_modality_lut(values, file)
    if padding is not None and padding.any() and not padding.all():
        values = np.where(padding, values[~padding].min(), values)
    return Stored(values, modality=rescaled, window=_window(file), inverted=inverted)


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


def _window(file: Any) -> tuple[float, float] | None:
    """Return the file's first linear window."""
    center, width = file.get("WindowCenter"), file.get("WindowWidth")
    if center is None or width is None or str(file.get("VOILUTFunction") or "LINEAR") != "LINEAR":
        return None
    first_center, first_width = (float(np.atleast_1d(value)[0]) for value in (center, width))
    return (first_center, first_width) if first_width > 1 else None
