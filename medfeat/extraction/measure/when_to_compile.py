"""Whether compiling a network repays itself over a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# What compiling gains at least, seen over the short names; used only to decide whether a run is long enough.
_EXPECTED_COMPILE_GAIN = 1.4


def worth_compiling(seconds_eager: float, seconds_to_compile: float) -> bool:
    """Decide whether compiling repays itself over a run that would take `seconds_eager` without it."""
    saved = seconds_eager * (1 - 1 / _EXPECTED_COMPILE_GAIN)
    return saved > seconds_to_compile


def guess_compile_seconds(module: torch.nn.Module) -> float:
    """Guess what compiling costs from the number of layers that hold weights; the first compile costs the most."""
    layers = sum(1 for part in module.modules() if any(True for _ in part.parameters(recurse=False)))
    return 12.0 + 0.35 * layers
