"""Whether compiling a network repays itself over a run, and gives the same rows."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from medfeat.types import Precision

if TYPE_CHECKING:
    import torch

    from medfeat.extraction.network.forward import Rows

# How far compiled rows may lie from eager ones, of their length: sums in another order, and no more.
MAX_APART: dict[Precision, float] = {"fp32": 1e-3, "bf16": 5e-2, "fp16": 5e-2}
# What compiling gains at least, seen over the short names; used only as long as nothing was measured.
EXPECTED_GAIN = 1.4
# What compiling costs again, as a share of the first time, until it was measured.
AGAIN = 1 / 3
# Compiling that turns out to gain nothing has then cost at most half of what the run takes without it.
_LEAST_RUN = 2.0


def worth_compiling(seconds_eager: float, seconds_to_compile: float, gain: float) -> bool:
    """Decide whether compiling repays itself over a run that would take `seconds_eager` without it.

    Parameters
    ----------
    seconds_eager, seconds_to_compile
        Of work, both measured or guessed alike.
    gain
        How many times faster the compiled network is.
    """
    saved = seconds_eager * (1 - 1 / gain)
    return saved > seconds_to_compile and seconds_eager >= _LEAST_RUN * seconds_to_compile


def expected_compile_seconds(layers: int, here: Iterable[tuple[int, float]] = ()) -> float:
    """Say what compiling a network will cost the first time.

    Parameters
    ----------
    layers
        That hold weights, see `count_layers`.
    here
        Layers, and seconds of the first compile, of other networks on this machine: by their median it is faster or
        slower than the one that the guess was made on.
    """
    ratios = [seconds / _guess(others) for others, seconds in here]
    return _guess(layers) * (statistics.median(ratios) if ratios else 1.0)


def count_layers(module: torch.nn.Module) -> int:
    """Count the layers of a network that hold weights."""
    return sum(1 for part in module.modules() if any(True for _ in part.parameters(recurse=False)))


def rows_apart(eager: list[Rows], compiled: list[Rows]) -> float:
    """Return how far the worst row lies from what eager gives, as a share of its length."""
    worst = 0.0
    for a, b in zip(eager, compiled, strict=True):
        one, other = (rows.reshape(len(rows), -1).astype(np.float64) for rows in (a, b))
        length = np.linalg.norm(one, axis=1)
        gap = np.linalg.norm(one - other, axis=1)
        worst = max(worst, float(np.max(np.where(gap > 0, gap / np.where(length > 0, length, 1.0), 0.0), initial=0.0)))
    return worst


def _guess(layers: int) -> float:
    return 12.0 + 0.35 * layers
