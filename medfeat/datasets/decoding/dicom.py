"""DICOM: pixels in the units of the modality, with the window and the polarity the file declares."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.decoding.bad_file import BadFile
from medfeat.datasets.decoding.deflated import refuse_deflated_bomb
from medfeat.datasets.decoding.dicom_decoders import stored_pixels
from medfeat.datasets.decoding.dicom_frames import frame_count
from medfeat.datasets.decoding.dicom_grey import Padded, grey
from medfeat.datasets.decoding.dicom_headers import places_of
from medfeat.datasets.decoding.file_kinds import DICOM_SUFFIXES
from medfeat.datasets.decoding.intensity import Stored
from medfeat.datasets.decoding.orientation import laid_out
from medfeat.datasets.decoding.room import Reserve, no_bound
from medfeat.datasets.decoding.slabs import whole
from medfeat.datasets.decoding.slice_order import order_of
from medfeat.errors import MissingExtraError

if TYPE_CHECKING:
    from pydicom.uid import UID

MAX_VALUES = 1 << 27
GREY = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT", PALETTE)
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
# The file's own of two bytes, as many again once decoded, and eight when they are rescaled.
_BYTES_A_VALUE = 12


def read_dicom(path: Path, reserve: Reserve = no_bound) -> Stored:
    """Read a DICOM file: (H, W), (H, W, 3), or (D, H, W) when it holds several grey frames.

    Rescale slope and intercept, or the modality's table, are applied, frame by frame where an enhanced file gives them
    so; pixels that the file declares to be padding take the darkest value of the others. Frames that have places in
    the patient are ordered and laid out as the slices of a series; others stay as the file has them.
    """
    require_pydicom()
    file = _opened(path)
    found = _padded(file, reserve)
    stored = found.filled() if isinstance(found, Padded) else found
    return replace(stored, values=_in_patient(file, whole(stored.values))) if stored.is_volume else stored


def read_padded(path: Path) -> Padded | Stored:
    """Read a DICOM file: grey with its padding still to be filled, colour as it is, frames as the file has them."""
    require_pydicom()
    return _padded(_opened(path))


def _padded(file: Any, reserve: Reserve = no_bound) -> Padded | Stored:
    photometric = _checked_photometric(file)
    reserve(_count(file) * _BYTES_A_VALUE)
    values = stored_pixels(file)
    if int(file.get("BitsAllocated") or 0) == 1:
        values = values * np.uint8(255)  # as any picture of one bit
    if photometric in GREY:
        return grey(file, values, inverted=photometric == "MONOCHROME1")
    if photometric == PALETTE:
        values = _of_palette(file, values)
    if values.dtype != np.uint8 or values.ndim != 3:
        raise BadFile(f"colour of {values.dtype} and shape {values.shape}; one picture of 8 bits a channel is needed")
    return Stored(np.ascontiguousarray(values), colour=True)


def _in_patient(file: Any, frames: NDArray[Any]) -> NDArray[Any]:
    """Lay out the frames of an enhanced file; those of a cine or a secondary capture have no places."""
    if "ConcatenationUID" in file and file.get("InConcatenationTotalNumber") != 1:
        raise BadFile(
            "one part of a larger image (ConcatenationUID): join its parts into one file, or save it as NIfTI"
        )
    places = places_of(file)
    if all(one.position is None for one in places):
        return frames
    found = order_of(places)
    if found.affine is None:
        raise BadFile(found.fault)
    return laid_out(frames[list(found.numbers)].transpose(2, 1, 0), found.affine)


def require_pydicom() -> None:
    """Raise the error that names the extra, when pydicom is not there."""
    try:
        import pydicom  # noqa: F401 - only seen to be there
    except ImportError as error:
        raise MissingExtraError.of("DICOM files need", "pydicom", "dicom", error) from error


def _opened(path: Path) -> Any:
    import pydicom
    from pydicom.errors import InvalidDicomError

    refuse_deflated_bomb(path)
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


def _checked_photometric(file: Any) -> str:
    if not any(name in file for name in PIXELS):
        raise BadFile("a DICOM file without pixels")
    if file.get("Modality") == "SEG":
        raise BadFile("a segmentation (Modality SEG): a mask, and no image")
    count = _count(file)
    if count > MAX_VALUES:
        raise BadFile(f"too large ({count} pixels; the limit is {MAX_VALUES})")
    photometric = str(file.get("PhotometricInterpretation") or "MONOCHROME2").strip().upper()
    if photometric not in (*GREY, *COLOUR):
        raise BadFile(f"photometric interpretation {photometric}; needed is one of {', '.join((*GREY, *COLOUR))}")
    return photometric


def _count(file: Any) -> int:
    return int(file.Rows) * int(file.Columns) * frame_count(file)


def _of_palette(file: Any, values: NDArray[Any]) -> NDArray[Any]:
    """Look colours up; entries of 16 bits keep their upper byte, for palettes repeat it or leave the lower one 0."""
    from pydicom.pixels.processing import apply_color_lut

    descriptor = file.get("RedPaletteColorLookupTableDescriptor")
    if descriptor is None or len(descriptor) != 3:
        raise BadFile("PALETTE COLOR without a palette (RedPaletteColorLookupTableDescriptor)")
    count, declared = int(descriptor[0]) % (1 << 16) or 1 << 16, int(descriptor[1])
    start = declared % (1 << 16) if values.dtype.kind == "u" else declared
    places = np.clip(values.astype(np.int64), start, start + count - 1)
    table = apply_color_lut(np.arange(declared, declared + count), file)[..., :3]
    if table.dtype == np.uint8 and count > 256:
        raise BadFile(f"PALETTE COLOR with {count} entries of 8 bits; 256 can be read, or entries of 16 bits")
    if table.dtype != np.uint8:
        table = (table >> 8 if table.max() > 255 else table).astype(np.uint8)
    colours: NDArray[Any] = table[places - start]
    return colours
