"""What kind of file lies at a path, told by its first bytes; its suffix decides only where they do not."""

from __future__ import annotations

from pathlib import Path

_PILLOW_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".webp", ".jp2", ".j2k", ".j2c", ".jpc", ".jpx",
    ".jpf",
)  # fmt: skip
DICOM_SUFFIXES = (".dcm", ".dicom")
NIFTI_SUFFIXES = (".nii", ".nii.gz", ".mgz", ".mgh")
SUFFIXES = (*_PILLOW_SUFFIXES, *DICOM_SUFFIXES, *NIFTI_SUFFIXES)
_DICOM_MARK = (128, b"DICM")
GZIP_MARK = b"\x1f\x8b"
# Those of PNG, JPEG and TIFF: no volume begins with them.
_PICTURE_MARKS = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*")
# Pictures of other kinds, by whose suffix phones, chats and browsers save JPEG, PNG and WebP too.
OTHER_PICTURES = (
    ".gif", ".heic", ".heif", ".avif", ".jxl", ".svg", ".psd", ".ico", ".pgm", ".ppm", ".pbm", ".pnm", ".tga",
)  # fmt: skip
_HEIC = (".heic", ".heif")
# No TIFF: as such, files of cameras and slide scanners begin too.
_RENAMED_MARKS = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"\0\0\0\x0cjP")
# A header of 348 bytes, in either order, whose voxels lie in another file.
_PAIR_MARKS = (b"\x5c\x01\0\0", b"\0\0\x01\x5c")
# The table of contents of a DICOM medium has the mark of an image and no pixels.
NO_IMAGES = ("dicomdir",)


def is_image_name(path: Path) -> bool:
    """Whether a file is taken for an image: by its suffix, or, without a known one, by its first bytes.

    DICOM files are often named after their UID, ``1.2.840.113619.2.0``, so that what follows the last dot says nothing;
    a JPEG from a phone may be called ``IMG_0001.HEIC``.
    """
    name = path.name.lower()
    if name.endswith(".hdr"):  # of pictures and spectra too
        return _starts_with(path, _PAIR_MARKS)
    if name.endswith(OTHER_PICTURES):
        return _starts_with(path, _RENAMED_MARKS)
    return name.endswith(SUFFIXES) or (name not in NO_IMAGES and has_dicom_mark(path))


def to_png(*names: str) -> str:
    """Say what to do with pictures that are not read, and how where a HEIC is among them, of which few programs know.

    Parameters
    ----------
    *names
        Of the files, or what follows their last dot.
    """
    advice = "save it as PNG" if len(names) == 1 else "save pictures as PNG"
    if not any(name.lower().endswith(_HEIC) for name in names):
        return advice
    how = "`heif-convert PHOTO.heic PHOTO.png` of libheif, on a Mac `sips -s format png PHOTO.heic --out PHOTO.png`"
    return f"{advice} ({how})"


def has_dicom_mark(path: Path) -> bool:
    """Whether a file has the mark of DICOM behind its preamble."""
    return _starts_with(path, (_DICOM_MARK[1],), _DICOM_MARK[0])


def has_picture_mark(path: Path) -> bool:
    """Whether a file begins as a PNG, JPEG or TIFF, whatever its name."""
    return _starts_with(path, _PICTURE_MARKS)


def _starts_with(path: Path, marks: tuple[bytes, ...], offset: int = 0) -> bool:
    if not path.is_file():
        return False  # to open a pipe would wait for ever
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(8).startswith(marks)
    except OSError:
        return False
