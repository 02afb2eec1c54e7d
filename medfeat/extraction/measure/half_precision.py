"""Whether half precision agrees with float32, and what it must gain: decided by running the network on a few images.

Nothing here guesses from a table of processors: agreement depends on the network, and speed on the machine. What is
looked up is whether a processor has instructions for it at all: without them it can only be slower.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medfeat.extraction.network.device import processor_flags
from medfeat.types import Precision

if TYPE_CHECKING:
    import torch

    from medfeat.extraction.network.forward import Rows

_MIN_COSINE = 0.998
_X86 = frozenset({"sse2"})
# As Linux calls them, of Intel, AMD and Arm.
_BF16 = frozenset({"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"})
# A candidate must beat float32 by this much, or its rounding buys nothing.
WORTHWHILE_SPEEDUP = 1.15
# Below this the processor emulates the type, and compiling does not help.
HOPELESS_SPEEDUP = 0.7


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
    measured_on
        The dataset whose images were compared.
    """

    precision: Precision
    cosine_p01: float
    sample: int
    passed: bool
    measured_on: str = ""

    @classmethod
    def of(cls, precision: Precision, cosine_p01: float, sample: int, measured_on: str) -> Agreement:
        """Judge what was measured."""
        return cls(precision, cosine_p01, sample, cosine_p01 >= _MIN_COSINE, measured_on)


def agreement(reference: Rows, candidate: Rows, precision: Precision, measured_on: str = "") -> Agreement:
    """Compare two (n, d) embeddings of the same images, which are of the dataset `measured_on`, row by row."""
    a = reference.reshape(len(reference), -1).astype(np.float64)
    b = candidate.reshape(len(candidate), -1).astype(np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return Agreement(precision, math.nan, len(a), False, measured_on)
    return Agreement.of(precision, float(np.percentile(row_cosines(a, b), 1)), len(a), measured_on)


def images_to_compare(total: int) -> int:
    """Return on how many images precisions are compared: one in sixteen of a run, and as many as say anything."""
    return min(max(total // 16, 32), 256)


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


def missing_instructions(precision: Precision, device: torch.device) -> str:
    """Say what a processor is known to lack for a half precision; empty where it has it, or one image must tell."""
    import torch

    flags = processor_flags()
    if device.type != "cpu" or precision != "bf16" or not flags:
        return ""
    has = bool(flags & _BF16)
    if flags & _X86:  # oneDNN's own word as well, which ONEDNN_MAX_CPU_ISA holds back
        has = has and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "" if has else "this processor has no instructions for it, or is held back from them"
