"""How much of a dataset is held at once."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import numpy as np

from medfeat.types import Images, UInt8Array

# Images of one batch; what is larger comes in several. 1,024 colour images of 224 pixels a side fit.
BATCH_BYTES = 160 << 20
# Images that are being read, or wait to be taken.
AHEAD_BYTES = 256 << 20
# To stack images copies them: larger ones than this stay a list.
_STACKED_BYTES = 4 << 20


def images_a_batch(image_bytes: float) -> int:
    """Return how many images of so many bytes fit into a batch: one at least."""
    return max(1, int(BATCH_BYTES // max(image_bytes, 1)))


class _Lent:
    """Memory that goes back to who lent it when the last array in it is gone: NumPy keeps this alive till then."""

    def __init__(self, memory: UInt8Array, back: list[UInt8Array]) -> None:
        self.__array_interface__ = memory.__array_interface__
        self._memory, self._back = memory, back

    def __del__(self) -> None:
        self._back.append(self._memory)


class Places:
    """Where images go as soon as they are there, from any thread, so that a batch of one shape needs no other copy.

    Memory of a batch that nobody holds any more is used for the next one: clearing it each time took the system a tenth
    of what decoding takes.

    Parameters
    ----------
    batch_size
        Images a batch: image number 0 is the first of the first batch, `batch_size` that of the second.
    """

    def __init__(self, batch_size: int) -> None:
        self._size = batch_size
        self._arrays: dict[int, UInt8Array] = {}
        self._free: list[UInt8Array] = []
        self._one_at_a_time = threading.Lock()

    def put(self, number: int, image: UInt8Array) -> UInt8Array:
        """Copy an image to its place and return it there; one that is large, or of another shape, stays where it is."""
        if image.nbytes > _STACKED_BYTES or image.nbytes * self._size > BATCH_BYTES:
            return image
        batch, place = divmod(number, self._size)
        with self._one_at_a_time:
            if batch not in self._arrays:
                self._arrays[batch] = self._room((self._size, *image.shape))
        array = self._arrays[batch]
        if array.shape[1:] != image.shape:
            return image
        array[place] = image
        kept: UInt8Array = array[place]
        return kept

    def batch(self, first: int, images: Sequence[UInt8Array], *, passed: int) -> Images:
        """Return images as `stacked` does: those from number `first` on, of which `passed` could not be read."""
        number, place = divmod(first, self._size)
        with self._one_at_a_time:
            array = self._arrays.get(number)
            for ended in [one for one in self._arrays if (one + 1) * self._size <= first + len(images) + passed]:
                del self._arrays[ended]
        if array is not None and not passed and all(image.base is array.base for image in images):
            return array[place : place + len(images)]
        return stacked(images)

    def _room(self, shape: tuple[int, ...]) -> UInt8Array:
        """Return an array of a shape, in memory of a batch that is gone where there is such."""
        count = math.prod(shape)
        memory = self._free.pop() if self._free else np.empty(count, np.uint8)
        if len(memory) < count:
            memory = np.empty(count, np.uint8)
        return np.asarray(_Lent(memory, self._free))[:count].reshape(shape)


def stacked(images: Sequence[UInt8Array]) -> Images:
    """Return images of one shape as one array, unless they are large; else a list."""
    one_shape = len({image.shape for image in images}) == 1
    return np.stack(images) if one_shape and images[0].nbytes <= _STACKED_BYTES else list(images)
