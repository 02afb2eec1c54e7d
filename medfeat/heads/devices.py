"""Where a head works: on a GPU when there is one and the work is worth the way there, else on the processor.

``CUDA_VISIBLE_DEVICES=`` (empty) keeps every head on the processor.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from medfeat.types import FloatArray

# The decomposition, the products and what a step makes of them, as multiples of the features.
_ROOM = 4


def has_gpu() -> bool:
    """Whether the CUDA driver sees a GPU; finding out loads no library that is not part of the driver."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def on_gpu(X: FloatArray) -> Any:
    """Return features as a tensor on the GPU; as they are when there is none, or no room on it.

    Parameters
    ----------
    X
        (n, d) features.

    Returns
    -------
    ndarray or torch.Tensor
        The same numbers, of the same type.
    """
    if not has_gpu():
        return X
    import torch

    if not torch.cuda.is_available() or torch.cuda.mem_get_info()[0] < _ROOM * X.nbytes:
        return X
    return torch.from_numpy(X).to("cuda")


def device_of(X: Any) -> str:
    """Name the device an array lies on: ``cpu`` or ``cuda``."""
    return str(getattr(X, "device", "cpu")).partition(":")[0]
