"""Decided once, before the first part, from short measurements: batch size, precision, compile.

Nothing here guesses from a table of processors: each choice is the result of running the network on a few of the
images at hand, because whether half precision agrees with float32 depends on the network, and whether it is faster
depends on the machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medfeat.types import Precision

if TYPE_CHECKING:
    import torch

    from medfeat.extraction.network.forward import Images, RowEmbedder, Rows

SAMPLE_SIZE = 256
_MIN_COSINE = 0.998
# A candidate must beat float32 by this much, or its rounding buys nothing.
WORTHWHILE_SPEEDUP = 1.15
# Below this the processor emulates the type, and compiling does not help.
HOPELESS_SPEEDUP = 0.7
# What compiling gains at least, seen over the short names; used only to decide whether a run is long enough.
_EXPECTED_COMPILE_GAIN = 1.4
_GOOD_ENOUGH_GAIN = 1.05
# On a processor small batches stay in its caches: ResNet-50 runs half again as fast at 4 as at 32.
_SMALLEST_BATCH = {"cpu": 4}
_LARGEST_BATCH = {"cpu": 64, "cuda": 1024, "mps": 64}
_SECONDS_A_TRIAL = 2.0


@dataclass(frozen=True)
class Agreement:
    """How embeddings at a lower precision compare with float32 on a fixed sample of images.

    Attributes
    ----------
    precision
        The precision that was tried.
    cosine_p01
        1st percentile of the cosine between the two embeddings of each image; NaN when one is not finite.
    sample
        How many images were compared.
    passed
        Whether `cosine_p01` reaches `_MIN_COSINE` and every value is finite.
    """

    precision: Precision
    cosine_p01: float
    sample: int
    passed: bool


def agreement(reference: Rows, candidate: Rows, precision: Precision) -> Agreement:
    """Compare two (n, d) embeddings of the same images row by row."""
    a = reference.reshape(len(reference), -1).astype(np.float64)
    b = candidate.reshape(len(candidate), -1).astype(np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return Agreement(precision, math.nan, len(a), False)
    p01 = float(np.percentile(row_cosines(a, b), 1))
    return Agreement(precision, p01, len(a), p01 >= _MIN_COSINE)


def row_cosines(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cosine of each row of `a` with that of `b`; 1 for equal rows, be they zero."""
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines: NDArray[np.float64] = (a * b).sum(axis=1) / np.where(norms > 0, norms, np.inf)
    return np.where(np.all(a == b, axis=1), 1.0, cosines)


def candidates(device: torch.device) -> tuple[Precision, ...]:
    """List the half precisions worth trying on a device, best first: fp16 has three more bits than bf16."""
    if device.type == "cuda":
        return ("fp16", "bf16")
    # fp16 arithmetic is emulated on most processors; on mps nothing has been measured, so nothing is tried.
    return ("bf16",) if device.type == "cpu" else ()


def sample_rows(count: int, size: int = SAMPLE_SIZE) -> NDArray[np.int64]:
    """Pick `size` rows evenly spread over `count`, always the same ones."""
    return np.unique(np.linspace(0, max(count - 1, 0), min(size, count)).astype(np.int64))


def seconds_per_batch(embedder: RowEmbedder, images: Images, repeats: int = 2) -> float:
    """Measure a warm forward pass: the fastest of `repeats`, in seconds; a slow network is measured once."""
    started = time.perf_counter()
    embedder(images)
    if time.perf_counter() - started > _SECONDS_A_TRIAL:
        repeats = 1
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        embedder(images)
        times.append(time.perf_counter() - started)
    return min(times)


def choose_batch_size(make: Callable[[int], RowEmbedder], images: Images, device: torch.device) -> int:
    """Double the batch while it makes the network faster, fits in memory, and a trial stays short.

    Parameters
    ----------
    make
        Builds a forward pass of a given batch size.
    images
        At least one image; repeated to fill a batch.
    device
        Bounds the largest batch tried.
    """
    best, best_rate, size = 0, 0.0, _SMALLEST_BATCH.get(device.type, 16)
    while size <= _LARGEST_BATCH.get(device.type, 64):
        embedder = make(size)
        seconds = seconds_per_batch(embedder, _repeated(images, size), repeats=1)
        if embedder.backoff:
            # Memory ran out and the pass was halved on the way: what fitted then is the size.
            return best or embedder.backoff[-1]
        rate = size / seconds
        if rate < best_rate * _GOOD_ENOUGH_GAIN:
            break
        best, best_rate = size, rate
        if seconds * 2 > _SECONDS_A_TRIAL:
            break
        size *= 2
    return best


def worth_compiling(seconds_eager: float, seconds_to_compile: float) -> bool:
    """Decide whether compiling repays itself over a run that would take `seconds_eager` without it."""
    saved = seconds_eager * (1 - 1 / _EXPECTED_COMPILE_GAIN)
    return saved > seconds_to_compile


def guess_compile_seconds(module: torch.nn.Module) -> float:
    """Guess what compiling costs from the number of layers that hold weights; the first compile costs the most."""
    layers = sum(1 for part in module.modules() if any(True for _ in part.parameters(recurse=False)))
    return 12.0 + 0.35 * layers


def _repeated(images: Images, size: int) -> Images:
    picks: Sequence[int] = [i % len(images) for i in range(size)]
    return [images[i] for i in picks] if isinstance(images, list) else images[np.asarray(picks)]
