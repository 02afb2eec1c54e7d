"""Images made worse, in five severities a kind: noise, blur, contrast, compression.

The severities are those of MedMNIST-C (Di Salvo, Doerrich and Ledig, MedMNIST-C: Comprehensive benchmark and improved
classifier robustness by simulating realistic image corruptions, arXiv 2406.17536, 2024), of which each kind is one;
the code is our own. Noise is speckle where the modality makes it (ultrasound, OCT), else Gaussian. A blur is a share of
the side of the image, as theirs is at 224 pixels: at 28 there is little left to blur.
"""

from __future__ import annotations

import hashlib
import io

import numpy as np

from medfeat.types import FloatArray, UInt8Array

VERSION = 1
"""Of what the corruptions do: stores of corrupted images are told apart by it."""
SEVERITIES = (1, 2, 3, 4, 5)
KINDS = ("noise", "blur", "contrast", "compression")
_GAUSSIAN = (0.04, 0.08, 0.12, 0.16, 0.20)  # standard deviation, of 0..1
_SPECKLE = (0.10, 0.15, 0.20, 0.25, 0.30)  # the same, of a pixel's own value
_BLUR = (0.8, 1.4, 2.0, 2.6, 3.5)  # standard deviation in pixels of an image of 224
_CONTRAST = (0.9, 0.8, 0.7, 0.6, 0.4)  # of what there was
_QUALITY = (50, 30, 15, 10, 7)  # of JPEG
_REFERENCE_SIDE = 224
_SPECKLED = ("breastmnist", "octmnist")


def noise_of(dataset: str) -> str:
    """Return which noise the images of a dataset have: ``speckle`` for ultrasound and OCT, else ``gaussian``."""
    return "speckle" if dataset in _SPECKLED else "gaussian"


def corrupt(
    image: UInt8Array, kind: str, severity: int, *, seed_of: str, noise: str, volume: bool = False
) -> UInt8Array:
    """Return a worse copy.

    Parameters
    ----------
    image
        (H, W), (H, W, 3) or, for a volume, (D, H, W) uint8.
    kind, severity
        One of `KINDS` and of `SEVERITIES`.
    seed_of
        Draws the noise: the id of the image, so that it is the same pattern at every severity, and in every order.
    noise
        From `noise_of`.
    volume
        Whether the first axis is depth; slices are blurred and compressed one by one.
    """
    step = severity - 1
    if kind == "noise":
        return _noisy(image, step, seed_of, noise)
    if kind == "contrast":
        mean = image.mean(axis=(-2, -1), keepdims=True) if volume else image.mean(axis=(0, 1), keepdims=True).mean()
        return _levels(mean + _CONTRAST[step] * (image - mean))
    if kind == "blur":
        return _blurred(image, _BLUR[step] / _REFERENCE_SIDE, volume=volume)
    if volume:
        return np.stack([_compressed(one, _QUALITY[step]) for one in image])
    return _compressed(image, _QUALITY[step])


def _noisy(image: UInt8Array, step: int, seed_of: str, noise: str) -> UInt8Array:
    seed = int.from_bytes(hashlib.blake2b(seed_of.encode(), digest_size=8).digest())
    drawn = np.random.default_rng(seed).standard_normal(image.shape)
    if noise == "speckle":
        return _levels(image * (1 + _SPECKLE[step] * drawn))
    return _levels(image + 255 * _GAUSSIAN[step] * drawn)


def _blurred(image: UInt8Array, share: float, *, volume: bool) -> UInt8Array:
    from scipy.ndimage import gaussian_filter

    height, width = image.shape[-2:] if volume else image.shape[:2]
    deviation = (0.0, share * height, share * width) if volume else (share * height, share * width)
    sigma = (*deviation, 0.0) if not volume and image.ndim == 3 else deviation
    return _levels(gaussian_filter(image.astype(np.float32), sigma, mode="nearest"))


def _compressed(image: UInt8Array, quality: int) -> UInt8Array:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    with Image.open(file) as read:
        return np.asarray(read)


def _levels(values: FloatArray) -> UInt8Array:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
