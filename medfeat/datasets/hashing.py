"""The hash by which an image is recognised, whatever file, set or row it comes from."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from medfeat.types import UInt8Array

HASH_BYTES = 16


def image_hash(image: UInt8Array) -> bytes:
    """Hash the decoded pixels of one image.

    Parameters
    ----------
    image
        (H, W), (H, W, 3) or (D, H, W) uint8.

    Returns
    -------
    bytes
        16 bytes: blake2b over the shape and the pixels, so that a 2 x 8 image differs from a 4 x 4 one.

    Examples
    --------
    >>> image_hash(np.zeros((2, 8), np.uint8)) == image_hash(np.zeros((4, 4), np.uint8))
    False
    """
    return image_hashes([image]).tobytes()


def image_hashes(images: UInt8Array | Sequence[UInt8Array]) -> UInt8Array:
    """Hash the decoded pixels of several images, each as `image_hash` does.

    Parameters
    ----------
    images
        (n, H, W), (n, H, W, 3) or (n, D, H, W) uint8, or a sequence of arrays of n shapes.

    Returns
    -------
    ndarray
        (n, 16) uint8.
    """
    several = [images] if isinstance(images, np.ndarray) else [image[None] for image in images]
    digests = list(itertools.chain.from_iterable(map(_hashes_of_one_shape, several)))
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, HASH_BYTES)


def _hashes_of_one_shape(images: UInt8Array) -> Iterator[bytes]:
    if images.dtype != np.uint8:
        raise TypeError(f"an image must be uint8, got {images.dtype}")
    shape = ",".join(str(length) for length in images.shape[1:])
    begun = hashlib.blake2b(f"{shape};".encode(), digest_size=HASH_BYTES)
    pixels, size = np.ascontiguousarray(images).reshape(-1).data, math.prod(images.shape[1:])
    for row in range(len(images)):
        digest = begun.copy()
        digest.update(pixels[row * size : (row + 1) * size])
        yield digest.digest()


def fingerprint_of(images: Iterable[tuple[str, UInt8Array]], *, contract: str = "") -> str:
    """Digest the content of a dataset: the ids and pixels of its images, in order; one image is held at a time.

    Parameters
    ----------
    images
        Pairs of id and (H, W), (H, W, 3) or (D, H, W) uint8 pixels, of all groups in order.
    contract
        What else decides the pixels, such as how values became uint8.

    Returns
    -------
    str
        For `DatasetInfo.fingerprint`: ``blake2b:`` and 32 hexadecimal digits.

    Examples
    --------
    >>> black = np.zeros((2, 2), np.uint8)
    >>> fingerprint_of([("a", black)]) == fingerprint_of([("b", black)])
    False
    """
    digest = hashlib.blake2b(f"{contract}\n".encode(), digest_size=16)
    for name, pixels in images:
        digest.update(f"{name}\0{image_hash(pixels).hex()}\n".encode())
    return f"blake2b:{digest.hexdigest()}"
