"""How many images a batch holds: doubled while that makes the network faster on the images at hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from medfeat.extraction.measure.clock import stopwatch
from medfeat.types import Images

if TYPE_CHECKING:
    import torch

    from medfeat.extraction.network.forward import RowEmbedder

_GOOD_ENOUGH_GAIN = 1.05
# On a processor small batches stay in its caches: ResNet-50 runs half again as fast at 4 as at 32.
_SMALLEST_BATCH = {"cpu": 4}
_LARGEST_BATCH = {"cpu": 64, "mps": 64}
_SECONDS_A_TRIAL = 2.0
# Threads that wait for one another spin when something else took their processor: of many readings one is undisturbed.
_SECONDS_MEASURING, _READINGS = 0.5, 16
_SHORTEST = 1e-9


def seconds_an_image(embedder: RowEmbedder, images: Images, repeats: int = _READINGS) -> float:
    """Measure a warm pass over a batch (or a volume): the least of up to `repeats`, of a slow one the first.

    Returns
    -------
    float
        Seconds of work an image (or volume).
    """
    whole = stopwatch(embedder.device)
    embedder(images)  # what is made ready at the first pass is no part of the others
    times: list[float] = []
    while not times or (len(times) < repeats and whole() < _SECONDS_MEASURING):
        seconds = stopwatch(embedder.device)
        embedder(images)
        times.append(seconds())
    return max(min(times), _SHORTEST) / len(images)


def choose_batch_size(
    make: Callable[[int], RowEmbedder], images: Images, device: torch.device, *, most: int = 1 << 20
) -> int:
    """Double the batch while it makes the network faster, fits in memory, and a trial stays short.

    Parameters
    ----------
    make
        Builds a forward pass of a given batch size.
    images
        At least one image; repeated to fill a batch.
    device
        Bounds the largest batch tried.
    most
        Images that may be held at once.
    """
    best, least, size = 0, math.inf, min(_SMALLEST_BATCH.get(device.type, 16), most)
    while size <= min(_LARGEST_BATCH.get(device.type, 64), most):
        embedder = make(size)
        seconds = seconds_an_image(embedder, _repeated(images, size), repeats=1)
        if embedder.backoff:
            # Memory ran out and the pass was halved on the way: what fitted then is the size.
            return best or embedder.backoff[-1]
        if seconds * _GOOD_ENOUGH_GAIN > least:
            # A neighbour may have taken the processor's caches for this one reading: the better of two counts.
            seconds = min(seconds, seconds_an_image(embedder, _repeated(images, size), repeats=1))
        if seconds * _GOOD_ENOUGH_GAIN > least:
            break
        best, least = size, seconds
        if seconds * size * 2 > _SECONDS_A_TRIAL:
            break
        size *= 2
    return best


def filled(batch: int, total: int) -> int:
    """Return a batch that so few images fill."""
    return min(batch, 1 << math.ceil(math.log2(max(total, 1))))


def _repeated(images: Images, size: int) -> Images:
    picks: Sequence[int] = [i % len(images) for i in range(size)]
    return [images[i] for i in picks] if isinstance(images, list) else images[np.asarray(picks)]
