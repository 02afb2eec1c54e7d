"""PNG, JPEG, TIFF, BMP, WebP and JPEG 2000, as they are meant to be seen: turned upright, palettes and CMYK as RGB."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from medfeat.datasets.decoding.bad_file import BadFile, refuse_bomb
from medfeat.datasets.decoding.file_kinds import to_png
from medfeat.datasets.decoding.intensity import Stored
from medfeat.datasets.decoding.jpeg import jpeg_pixels
from medfeat.datasets.decoding.jpeg2000 import bits_of
from medfeat.datasets.decoding.picture_room import refuse_too_much, taken_bytes
from medfeat.datasets.decoding.room import Reserve, no_bound

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "JPEG2000")
# Pillow's own first limit; beyond its second one it refuses by itself.
_MAX_PIXELS = 89_478_485
BITS, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339
_WHITE_IS_ZERO = 0
UNSIGNED, SIGNED = 1, 2
_SAMPLE_KINDS = {UNSIGNED: "unsigned", SIGNED: "signed", 3: "floating-point", 5: "complex", 6: "complex"}
_TIFF_MARKS = (b"II*\0", b"MM\0*")
_BIG_TIFF_MARKS = (b"II+\0", b"MM\0+")
# Pillow warns between its two limits, where the check of the size below reports the image. To silence it around each
# call would change the filters of all threads at once, and the pictures are read by several.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Pillow's own blocks of 16 MB are kept by the C library when an image is gone, in every thread; larger ones go back.
_PILLOW: Any = Image  # whose core has no types
if hasattr(_PILLOW.core, "set_block_size"):
    _PILLOW.core.set_block_size(64 << 20)
_COPIED_BYTES = 1 << 20
_LYING = (5, 6, 7, 8)  # orientations of EXIF in which rows are columns
_BACK = {6: 8, 8: 6}  # the others undo themselves
DEEP = (";16B", ";16L", ";16N")
# First bytes, and where they stand, of what people name like a picture.
_STRANGERS = (
    (0, b"GIF8", "a GIF"),
    (0, b"8BPS", "a Photoshop file"),
    (4, b"ftypavif", "an AVIF picture"),
    (4, b"ftypavis", "an AVIF picture"),
    (4, b"ftyphe", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIC or AVIF picture"),
    (4, b"ftypmsf1", "a HEIC or AVIF picture"),
    (4, b"JXL ", "a JPEG XL picture"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"<svg", "an SVG drawing"),
    (0, b"<?xml", "an SVG drawing or other XML"),
    (0, b"%PDF", "a PDF"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"version https://git-lfs", "a pointer of Git LFS, not the picture itself (git lfs pull fetches it)"),
    (0, b"<!DOCTYPE", "a web page"),
    (0, b"<html", "a web page"),
)


def read_picture(path: Path, reserve: Reserve = no_bound) -> Stored:
    """Read a picture; 16-bit and floating-point grey keep their values, everything else is 8 bits.

    Transparent pixels are laid on black; an alpha channel that is opaque throughout is dropped.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            _check(image)
            count, bands = image.width * image.height, len(image.getbands())
            refuse_bomb(path, count * bands)
            taken = taken_bytes(image, path)
            refuse_too_much(taken)
            reserve(taken)
            return stored_picture(image)
    except UnidentifiedImageError as error:
        raise BadFile(_unidentified(path)) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadFile(_too_large(str(error))) from error


def stored_picture(image: Image.Image) -> Stored:
    """Return the values of a picture that was opened or made in memory, as `read_picture` reads those of a file.

    Raises
    ------
    BadFile
        When it is too large, holds several pictures, or its values would be lost.
    """
    _check(image)
    file = str(getattr(image, "filename", ""))
    found = _stored_jpeg2000(image, bits_of(Path(file))) if image.format == "JPEG2000" and file else _stored(image)
    return replace(found, colour=found.values.ndim == 3)


def _unidentified(path: Path) -> str:
    """Say what a file is that Pillow knows nothing of; a TIFF of rare samples is a TIFF all the same."""
    with path.open("rb") as file:
        header = file.read(8)
        if header[:4] not in (*_TIFF_MARKS, *_BIG_TIFF_MARKS):
            head = header + file.read(24)
            if kind := next((kind for at, mark, kind in _STRANGERS if head[at : at + len(mark)] == mark), None):
                return f"{kind}, which is not read; {to_png('.heic' if 'HEIC' in kind else '')}"
            return f"no image of {', '.join(FORMATS)}: its first bytes are those of none"
        try:
            tags = ImageFileDirectory_v2(header + file.read(8) if header[:4] in _BIG_TIFF_MARKS else header)
            file.seek(tags.next)
            tags.load(file)
            bits, kinds = tags.get(BITS, (1,)), tags.get(SAMPLE_FORMAT, (UNSIGNED,))
            kind = _SAMPLE_KINDS.get(kinds[0], "unknown")
        except Exception:  # a directory of garbage can fail anywhere
            return "a TIFF whose directory is damaged"
    order = "big-endian " if header[:2] == b"MM" else ""
    return (
        f"a TIFF of a kind that cannot be read ({order}{kind} samples of {bits[0]} bits, {len(bits)} a pixel); "
        "save grey as 8 or 16-bit integers or 32-bit floats, colour as 8 bits a channel"
    )


def _check(image: Image.Image) -> None:
    width, height = image.size
    if width * height > _MAX_PIXELS:
        raise BadFile(_too_large(f"{width} x {height} pixels"))
    pages = getattr(image, "n_frames", 1)
    if pages > 1 and image.format in ("PNG", "TIFF", "WEBP"):
        raise BadFile(f"holds {pages} pictures; save each as a file of its own, or a volume as NIfTI")
    # Pillow would keep the upper byte of each channel and say nothing.
    if image.mode not in ("I;16", "I;16B", "I") and any(raw.endswith(DEEP) for raw in _raw_modes(image)):
        raise BadFile("16 bits a channel in colour; save 8 bits a channel, or one grey channel of 16")


def _raw_modes(image: Image.Image) -> list[str]:
    """Return how Pillow will unpack the file, in its own words."""
    arguments: list[Any] = [tile[3] for tile in getattr(image, "tile", [])]
    return [str(found[0] if isinstance(found, tuple) else found) for found in arguments]


def _too_large(what: str) -> str:
    return f"too large ({what}; the limit is {_MAX_PIXELS} pixels): cut it into tiles"


def _stored(image: Image.Image) -> Stored:
    tags = getattr(image, "tag_v2", {})
    kind = tags.get(SAMPLE_FORMAT, (UNSIGNED,))[0] if tags else UNSIGNED
    if image.mode.startswith(("I", "F")):
        # Pillow inverts white-is-zero for 8 bits and not for more.
        inverted = tags.get(PHOTOMETRIC) == _WHITE_IS_ZERO if tags else False
        values = _upright(image, _native)
        if values.dtype == np.int32 and tags and kind == UNSIGNED and tags.get(BITS, (1,))[0] == 32:
            values = values.view(np.uint32)  # Pillow has no mode for it, and shows the upper half as negative
        return Stored(values, inverted=inverted)
    if kind == SIGNED and image.mode == "L":
        return Stored(_upright(image, np.asarray).view(np.int8))  # Pillow has no mode for this either
    pixels, damage = jpeg_pixels(image)
    if pixels is not None:
        return Stored(np.ascontiguousarray(_turned(pixels, _turn_of(image))))
    return Stored(_eight_bit(image), damage=damage)


def _native(part: Image.Image) -> NDArray[Any]:
    values = np.asarray(part)
    return values.astype(values.dtype.newbyteorder("="))


def _stored_jpeg2000(image: Image.Image, bits: int) -> Stored:
    if bits == 8:
        return Stored(_eight_bit(image))
    # Pillow spreads the samples over 16 bits (j2ku_gray_i in its Jpeg2KDecode.c).
    return Stored(_upright(image, lambda part: np.asarray(part).astype(np.uint16) >> np.uint16(16 - bits)))


def _eight_bit(image: Image.Image) -> NDArray[np.uint8]:
    if image.has_transparency_data:
        grey = image.mode in ("1", "L", "LA", "La")
        return _upright(image, lambda part: _on_black(np.asarray(_as_mode(part, "RGBA")), grey))
    mode = "L" if image.mode in ("1", "L") else "RGB"
    return _upright(image, lambda part: np.asarray(_as_mode(part, mode)))


def _upright(image: Image.Image, values_of: Callable[[Image.Image], NDArray[Any]]) -> NDArray[Any]:
    """Return the values of an image as its EXIF says it stands, of a large one strip by strip.

    Each strip is converted, and goes where it belongs: to turn or convert the whole takes another image of four bytes a
    pixel, and to make an array of it at once two copies.
    """
    image.load()  # a TIFF turns itself then, and no longer says that it should be turned
    turn = _turn_of(image)
    width, height = image.size
    step = max(1, _COPIED_BYTES // (4 * width))
    if step >= height:
        whole = values_of(image)
        return whole if turn == 1 else np.ascontiguousarray(_turned(whole, turn))
    part = values_of(image.crop((0, 0, width, step)))
    shape = (width, height) if turn in _LYING else (height, width)
    upright = np.empty((*shape, *part.shape[2:]), part.dtype)
    as_it_lies = _turned(upright, _BACK.get(turn, turn))
    for top in range(0, height, step):
        as_it_lies[top : top + step] = values_of(image.crop((0, top, width, min(top + step, height))))
    return upright


def _turn_of(image: Image.Image) -> int:
    return int(image.getexif().get(ExifTags.Base.Orientation, 1))


def _turned(values: NDArray[Any], turn: int) -> NDArray[Any]:
    """Return a view of pixels that lie as EXIF's orientation says, upright."""
    if turn in _LYING:
        values = values.swapaxes(0, 1)
    if turn in (3, 4, 7, 8):
        values = values[::-1]
    return values[:, ::-1] if turn in (2, 3, 6, 7) else values


def _as_mode(image: Image.Image, mode: str) -> Image.Image:
    """Convert, without the copy that Pillow makes where there is nothing to convert."""
    return image if image.mode == mode else image.convert(mode)


def _on_black(pixels: NDArray[np.uint8], grey: bool) -> NDArray[np.uint8]:
    laid = np.rint(pixels[..., :3] * (pixels[..., 3:] / 255.0)).astype(np.uint8)
    return np.ascontiguousarray(laid[..., 0]) if grey else laid
