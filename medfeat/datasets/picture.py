"""PNG, JPEG, TIFF and BMP, as they are meant to be seen: turned upright, palettes and CMYK as RGB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from medfeat.datasets.decode import BadFile
from medfeat.datasets.intensity import Stored

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
# Pillow's own first limit; beyond its second one it refuses by itself.
MAX_PIXELS = 89_478_485
PHOTOMETRIC = 262
WHITE_IS_ZERO = 0
DEEP = (";16B", ";16L", ";16N")


def read_picture(path: Path) -> Stored:
    """Read a picture; 16-bit and floating-point grey keep their values, everything else is 8 bits.

    Transparent pixels are laid on black; an alpha channel that is opaque throughout is dropped.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            _check(image)
            return _stored(image)
    except UnidentifiedImageError as error:
        raise BadFile(f"no image of {', '.join(FORMATS)}: its first bytes are those of none") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadFile(_too_large(str(error))) from error


def _check(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise BadFile(_too_large(f"{width} x {height} pixels"))
    pages = getattr(image, "n_frames", 1)
    if pages > 1 and image.format in ("PNG", "TIFF"):
        raise BadFile(f"holds {pages} pictures; save each as a file of its own, or a volume as NIfTI")
    # Pillow would keep the upper byte of each channel and say nothing.
    if image.mode not in ("I;16", "I;16B", "I") and any(raw.endswith(DEEP) for raw in _raw_modes(image)):
        raise BadFile("16 bits a channel in colour; save 8 bits a channel, or one grey channel of 16")


def _raw_modes(image: Image.Image) -> list[str]:
    """Return how Pillow will unpack the file, in its own words."""
    arguments: list[Any] = [tile[3] for tile in getattr(image, "tile", [])]
    return [str(found[0] if isinstance(found, tuple) else found) for found in arguments]


def _too_large(what: str) -> str:
    return f"too large ({what}; the limit is {MAX_PIXELS} pixels): cut it into tiles"


def _stored(image: Image.Image) -> Stored:
    if image.mode.startswith(("I", "F")):
        # Pillow inverts white-is-zero for 8 bits and not for more.
        tags = getattr(image, "tag_v2", {})
        inverted = tags.get(PHOTOMETRIC) == WHITE_IS_ZERO if tags else False
        values = np.asarray(_upright(image))
        return Stored(values.astype(values.dtype.newbyteorder("=")), inverted=inverted)
    return Stored(_eight_bit(_upright(image)))


def _upright(image: Image.Image) -> Image.Image:
    return ImageOps.exif_transpose(image)


def _eight_bit(image: Image.Image) -> NDArray[np.uint8]:
    if image.has_transparency_data:
        return _on_black(image)
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    return np.asarray(image.convert("RGB"))


def _on_black(image: Image.Image) -> NDArray[np.uint8]:
    grey = image.mode in ("1", "L", "LA", "La")
    pixels = np.asarray(image.convert("RGBA"))
    colour, alpha = pixels[..., :3], pixels[..., 3:]
    if (alpha < 255).any():
        colour = np.rint(colour * (alpha / 255.0)).astype(np.uint8)
    return np.ascontiguousarray(colour[..., 0] if grey else colour)
