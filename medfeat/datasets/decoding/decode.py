"""From an image file to the values it stores; what a file is decides its first bytes, not its name."""

from __future__ import annotations

from pathlib import Path

from medfeat.datasets.decoding.bad_file import BadFile
from medfeat.datasets.decoding.file_kinds import (
    DICOM_SUFFIXES,
    NIFTI_SUFFIXES,
    has_dicom_mark,
    has_picture_mark,
)
from medfeat.datasets.decoding.intensity import Stored
from medfeat.datasets.decoding.room import Reserve, no_bound

# Raised when what is decoded changes, so that no store made before is taken for one made after.
DECODER_VERSION = 4


def read_stored(path: Path, reserve: Reserve = no_bound) -> Stored:
    """Read one image.

    Parameters
    ----------
    path
        PNG, JPEG, TIFF, BMP, WebP, JPEG 2000, DICOM, NIfTI or MGH.
    reserve
        Told how many bytes it will take before they are taken; may wait.

    Returns
    -------
    Stored
        (H, W) or (H, W, 3) of an image, (D, H, W) of a volume, as the file means them.

    Raises
    ------
    BadFile
        When it is no such image; the message says why.
    MissingExtraError
        When the package that reads this format is not installed.
    """
    if not path.is_file():
        raise BadFile("not a file" if path.exists() else "missing file")
    if path.stat().st_size == 0:
        raise BadFile("empty file")
    name = path.name.lower()
    if has_dicom_mark(path) or (name.endswith(DICOM_SUFFIXES) and not has_picture_mark(path)):
        from medfeat.datasets.decoding.dicom import read_dicom

        return read_dicom(path, reserve)
    if name.endswith((*NIFTI_SUFFIXES, ".hdr")) and not has_picture_mark(path):
        from medfeat.datasets.decoding.nifti import read_nifti

        return read_nifti(path, reserve)
    from medfeat.datasets.decoding.picture import read_picture

    return read_picture(path, reserve)
