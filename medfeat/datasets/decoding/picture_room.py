"""How many bytes decoding a picture takes at most, by what its header says; beyond a bound it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from medfeat.datasets.decoding.bad_file import BadFile
from medfeat.datasets.decoding.jpeg2000 import tile_of

# Beside it the image before it may still be held, of a quarter of a gigabyte: together they stay below one.
MOST_BYTES = 720 << 20
_ROWS_A_STRIP, _TILE_WIDTH, _TILE_LENGTH, _SAMPLES = 278, 322, 323, 277
_UNPACKED_BY_LIBRARY = "libtiff"


def taken_bytes(image: Image.Image, path: Path) -> int:
    """Return how many bytes a picture takes while it is decoded, with the values that are returned.

    Parameters
    ----------
    image
        Opened, not loaded.
    path
        Its file.
    """
    count, mode = image.width * image.height, image.mode
    held = count * _held(mode)
    returned = count * _returned(mode)
    if image.format == "WEBP":  # two canvases, one of what is unpacked, and a copy
        return held + 13 * count
    return held + max(returned, _beside(image, path, held))


def refuse_too_much(taken: int) -> None:
    """Refuse a picture that takes more than `MOST_BYTES`.

    Raises
    ------
    BadFile
        It does; the message says how much.
    """
    if taken > MOST_BYTES:
        raise BadFile(
            f"too large (decoding takes {taken >> 20} MB, the limit is {MOST_BYTES >> 20}): cut it into tiles, or save "
            "it as PNG"
        )


def _held(mode: str) -> int:
    """Bytes of a pixel as Pillow holds it."""
    return 1 if mode in ("1", "L", "P") else 2 if mode.startswith("I;16") else 4


def _returned(mode: str) -> int:
    """Bytes of a pixel as it is returned: colour of 8 bits, or grey of as many as there are."""
    if mode.startswith("I;16"):
        return 2
    return 1 if mode in ("1", "L", "LA", "La") else 4 if mode in ("I", "F") else 3


def _beside(image: Image.Image, path: Path, held: int) -> int:
    """Bytes that a decoder takes beside the image, until that is there."""
    count, bands = image.width * image.height, len(image.getbands())
    tags: Any = getattr(image, "tag_v2", {})
    if image.format == "JPEG2000":  # whole numbers of 32 bits, and samples of 8 or 16, of a tile
        width, height = tile_of(path)
        return min(count, width * height) * bands * (6 if image.mode.startswith("I") else 5)
    if image.format == "JPEG" and image.info.get("progressive"):  # coefficients of two bytes, as sampled
        sampled: list[int] = [across * down for _, across, down, *_ in getattr(image, "layer", [])] or [1] * bands
        return 2 * count * sum(sampled) // max(*sampled, 1)
    if image.format != "TIFF":
        return 0
    turned = held if tags.get(ExifTags.Base.Orientation, 1) != 1 else 0
    return max(turned, _strip(image, tags) + path.stat().st_size if _by_library(image) else 0)


def _by_library(image: Image.Image) -> bool:
    tiles: list[Any] = getattr(image, "tile", [])
    return any(tile[0] == _UNPACKED_BY_LIBRARY for tile in tiles)


def _strip(image: Image.Image, tags: Any) -> int:
    """Bytes of a strip, or tile, of a TIFF once it is unpacked."""
    rows = min(int(tags.get(_ROWS_A_STRIP, image.height)), image.height)
    width, length = int(tags.get(_TILE_WIDTH, image.width)), int(tags.get(_TILE_LENGTH, rows))
    return width * length * int(tags.get(_SAMPLES, 1)) * _returned(image.mode if image.mode[0] in "IF" else "L")
