"""A process of `medfeat.extraction.loop.several.worker` whose network is a line of numpy: it begins in no time.

All else is the real thing: the messages, the loop, the listening, and the end when the first process is gone.
"""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

import numpy as np

if __name__ == "__main__":
    import without_torch  # noqa: F401

from medfeat.extraction.loop.several import worker
from medfeat.extraction.network import device as devices
from medfeat.extraction.network import frozen
from medfeat.extraction.network.forward import Finished


class Arithmetic:
    """One view is the mean of each image and its square, another is its first three pixels."""

    batch_size = pass_size = 4
    device = SimpleNamespace(type="cpu")
    module = None

    def __init__(self) -> None:
        self.backoff: list[int] = []

    def submit(self, images):
        time.sleep(float(os.environ.get("ARITHMETIC_SECONDS", "0")))
        flat = np.stack([image.reshape(-1) for image in images]).astype(np.float32)
        mean = flat.mean(axis=1, dtype=np.float32)
        return Finished([np.stack([mean, mean**2], axis=1), flat[:, :3].copy()])

    def __call__(self, images):
        return self.submit(images).result()


def as_arithmetic() -> None:
    """Let a process, the first or another, run arithmetic where the network would run."""
    worker._Network._built = staticmethod(lambda job, device, threads: Arithmetic())
    frozen.fingerprint = lambda module: "arithmetic"
    devices.peak_memory = lambda device: 0


if __name__ == "__main__":
    as_arithmetic()
    worker.main()
