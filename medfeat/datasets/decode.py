"""From an image file to the values it stores; what a file is decides its first bytes, not its name."""

from __future__ import annotations

from pathlib import Path

from medfeat.datasets.intensity import Stored
from medfeat.errors import MissingExtraError

PILLOW_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".webp", ".jp2", ".j2k", ".j2c", ".jpc", ".jpx",
    ".jpf",
)  # fmt: skip
DICOM_SUFFIXES = (".dcm", ".dicom")
NIFTI_SUFFIXES = (".nii", ".nii.gz", ".mgz", ".mgh")
SUFFIXES = (*PILLOW_SUFFIXES, *DICOM_SUFFIXES, *NIFTI_SUFFIXES)
# Raised when what is decoded changes, so that no store made before is taken for one made after.
DECODER_VERSION = 4
DICOM_MARK = (128, b"DICM")
GZIP_MARK = b"\x1f\x8b"
# Those of PNG, JPEG and TIFF: no volume begins with them.
PICTURE_MARKS = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*")
# A header of 348 bytes, in either order, whose voxels lie in another file.
PAIR_MARKS = (b"\x5c\x01\0\0", b"\0\0\x01\x5c")
# The table of contents of a DICOM medium has the mark of an image and no pixels.
NO_IMAGES = ("dicomdir",)


class BadFile(ValueError):  # noqa: N818 - it names what the file is, and never reaches a user as an exception
    """A file that is no image medfeat can embed; the message is the reason, in a few words."""


def is_image_name(path: Path) -> bool:
    """Whether a file is taken for an image: by its suffix, or, without a known one, by the mark of DICOM inside.

    DICOM files are often named after their UID, ``1.2.840.113619.2.0``, so that what follows the last dot says nothing.
    """
    name = path.name.lower()
    if name.endswith(".hdr"):  # of pictures and spectra too
        return _starts_with(path, PAIR_MARKS)
    return name.endswith(SUFFIXES) or (name not in NO_IMAGES and has_dicom_mark(path))


def read_stored(path: Path) -> Stored:
    """Read one image.

    Parameters
    ----------
    path
        PNG, JPEG, TIFF, BMP, WebP, JPEG 2000, DICOM, NIfTI or MGH.

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
        from medfeat.datasets.dicom import read_dicom

        return read_dicom(path)
    if name.endswith((*NIFTI_SUFFIXES, ".hdr")) and not has_picture_mark(path):
        from medfeat.datasets.nifti import read_nifti

        return read_nifti(path)
    from medfeat.datasets.picture import read_picture

    return read_picture(path)


def missing_extra(what: str, package: str, extra: str, error: ImportError) -> MissingExtraError:
    """Build the error for a format whose package is not installed."""
    return MissingExtraError(f"{what} files need the package {package} ({error}): pip install 'medfeat[{extra}]'")


def has_dicom_mark(path: Path) -> bool:
    """Whether a file has the mark of DICOM behind its preamble."""
    return _starts_with(path, (DICOM_MARK[1],), DICOM_MARK[0])


def has_picture_mark(path: Path) -> bool:
    """Whether a file begins as a PNG, JPEG or TIFF, whatever its name."""
    return _starts_with(path, PICTURE_MARKS)


def _starts_with(path: Path, marks: tuple[bytes, ...], offset: int = 0) -> bool:
    if not path.is_file():
        return False  # to open a pipe would wait for ever
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(4).startswith(marks)
    except OSError:
        return False
