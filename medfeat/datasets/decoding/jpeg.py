"""JPEG of 8 bits by simplejpeg, where it is installed: Pillow's pixels, in less time and without the interpreter."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

_COLOURS = {"L": "GRAY", "RGB": "RGB"}


def jpeg_pixels(image: Image.Image) -> tuple[NDArray[np.uint8] | None, str]:
    """Return the pixels of a JPEG as they lie in its file, or None where Pillow is to read it, and what is damaged.

    Parameters
    ----------
    image
        Opened by Pillow, and not loaded.

    Returns
    -------
    pixels : ndarray or None
        (H, W) grey or (H, W, 3). None of everything else, four colours among it; where the decoder is not there or may
        give other pixels; and of a file of which it says as much as a warning: whether that is read is Pillow's word.
    damage : str
        That warning. Pillow refuses a file that ends too early; the rest of the damage it reads over and says nothing.
    """
    decoder, file = _decoder(), getattr(image, "fp", None)  # which is gone once an image is loaded
    if decoder is None or image.format != "JPEG" or image.mode not in _COLOURS or file is None:
        return None, ""
    file.seek(0)
    try:
        found: NDArray[np.uint8] = decoder.decode_jpeg(file.read(), colorspace=_COLOURS[image.mode], strict=True)
    except ValueError as error:
        return None, str(error).removeprefix("Corrupt JPEG data: ")
    if found.shape[:2] != (image.height, image.width):
        return None, ""
    return found[..., 0] if image.mode == "L" else found, ""


@cache
def _decoder() -> Any:
    """Return simplejpeg (pip install 'medfeat[fast]') where Pillow, too, has libjpeg-turbo: others round apart."""
    if not features.check_feature("libjpeg_turbo"):
        return None
    try:
        import simplejpeg
    except (ImportError, ValueError):  # not there, or built for another NumPy, which says ValueError
        return None
    return simplejpeg
