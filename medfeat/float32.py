"""Float32 that is float32: no TF32, no bf16 inside, whatever the program that calls has set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def full_float32() -> Iterator[None]:
    """Keep float32 what a recipe calls it, on a GPU and in oneDNN; what the caller's program has set is given back.

    torch's own settings have two generations. Reading the older one raises once a program has used the newer one
    (``fp32_precision``), so only the newer is touched, which reads and keeps what either of them set.
    """
    import torch

    backends: Any = torch.backends
    kinds = (
        (backends.cuda.matmul, backends),
        (backends.cudnn.conv, backends.cudnn),
        (backends.mkldnn.matmul, backends.mkldnn),
        (backends.mkldnn.conv, backends.mkldnn),
    )
    before = [own.fp32_precision for own, _ in kinds]
    for own, _ in kinds:
        own.fp32_precision = "ieee"
    try:
        yield
    finally:
        for (own, above), value in zip(kinds, before, strict=True):
            # What was inherited goes on being inherited: "none" means that.
            own.fp32_precision = "none" if value == above.fp32_precision else value
