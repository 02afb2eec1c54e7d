"""Arrays as pictures inside a page: data addresses, strips, and sheets of thumbnails."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medfeat.types import UInt8Array

ACROSS = 32
EACH = ACROSS * ACROSS
# A sheet of 1,024 thumbnails of 28 px is about 350 kB at this quality, and details can still be told.
_QUALITY = 72


def data_address(image: UInt8Array, *, lossless: bool = True, quality: int = _QUALITY) -> str:
    """Return an (H, W) or (H, W, 3) picture as a ``data:`` address: PNG, or WebP with loss."""
    out = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(image))
    if lossless:
        picture.save(out, "PNG", optimize=False, compress_level=6)
    else:
        picture.save(out, "WEBP", quality=quality, method=2)
    kind = "png" if lossless else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode('ascii')}"


def strip(images: Sequence[UInt8Array], *, gap: int = 1) -> UInt8Array:
    """Return pictures of one shape side by side, parted by `gap` white columns."""
    first = images[0]
    white = np.full((first.shape[0], gap, *first.shape[2:]), 255, np.uint8)
    parts: list[NDArray[Any]] = []
    for image in images:
        parts += [white, image] if parts else [image]
    joined: UInt8Array = np.concatenate(parts, axis=1)
    return joined


def flat(planes: UInt8Array) -> UInt8Array:
    """Return (P, H, W, C) planes as one picture, side by side; a single channel is dropped."""
    picture = np.concatenate(list(planes), axis=1) if len(planes) > 1 else planes[0]
    return picture[..., 0] if picture.shape[-1] == 1 else picture


def sheets(thumbnails: Iterable[UInt8Array], height: int, width: int) -> Iterator[str]:
    """Yield data addresses of sheets of `EACH` thumbnails of one shape, `ACROSS` in a row; the last may be shorter."""
    waiting: list[UInt8Array] = []
    for one in thumbnails:
        waiting.append(one)
        if len(waiting) == EACH:
            yield _sheet(waiting, height, width)
            waiting = []
    if waiting:
        yield _sheet(waiting, height, width)


def _sheet(images: Sequence[UInt8Array], height: int, width: int) -> str:
    down = -(-len(images) // ACROSS)
    sheet = np.zeros((down * height, ACROSS * width, *images[0].shape[2:]), np.uint8)
    for i, image in enumerate(images):
        y, x = divmod(i, ACROSS)
        sheet[y * height : (y + 1) * height, x * width : (x + 1) * width] = image
    return data_address(sheet, lossless=False)
