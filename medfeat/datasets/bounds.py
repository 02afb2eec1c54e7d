"""How much of a dataset is held at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medfeat.types import UInt8Array

# Images of one batch; what is larger comes in several. 1,024 colour images of 224 pixels a side fit.
BATCH_BYTES = 160 << 20
# Images that are being read, or wait to be taken.
AHEAD_BYTES = 256 << 20
# To stack images copies them: larger ones than this stay a list.
_STACKED_BYTES = 4 << 20


def images_a_batch(image_bytes: float) -> int:
    """Return how many images of so many bytes fit into a batch: one at least."""
    return max(1, int(BATCH_BYTES // max(image_bytes, 1)))


def stacked(images: Sequence[UInt8Array]) -> UInt8Array | list[UInt8Array]:
    """Return images of one shape as one array, unless they are large; else a list."""
    one_shape = len({image.shape for image in images}) == 1
    return np.stack(images) if one_shape and images[0].nbytes <= _STACKED_BYTES else list(images)
