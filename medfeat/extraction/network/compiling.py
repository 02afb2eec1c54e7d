"""Whether `torch.compile` can be used here, and if not, why not in one line."""

from __future__ import annotations

import importlib.util
import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# torch's own switches: with one of them set `torch.compile` returns the module as it is, timed for nothing.
_SWITCHES = ("TORCH_COMPILE_DISABLE", "TORCHDYNAMO_DISABLE")
_COMPILERS = ("g++", "clang++", "c++", "cl")


def compile_problem(device: torch.device) -> str | None:
    """Return why compiling is out of the question on a device, None when it may be tried."""
    off = next((name for name in _SWITCHES if os.environ.get(name) == "1"), None)
    if off is not None:
        return f"{off} is set: running eager"
    if device.type == "mps":
        return "torch.compile is not used on mps: nothing was measured there"
    if device.type == "cuda":
        missing = importlib.util.find_spec("triton") is None
        return "triton is not installed: running eager" if missing else None
    wanted = os.environ.get("CXX")
    if wanted and shutil.which(wanted.split()[0]):
        return None
    if any(shutil.which(name) for name in _COMPILERS):
        return None
    return "no C++ compiler found (torch.compile needs g++ or clang++): running eager"
