"""A laboratory for decisions: networks that are as fast as a test wants, on a clock of its own."""

from __future__ import annotations

import numpy as np
import torch

from medfeat.extraction.measure.choose import Chooser
from medfeat.extraction.measure.memory import Memory
from medfeat.extraction.network.forward import Finished
from medfeat.types import SilentProgress

CPU = torch.device("cpu")


class Clock:
    """Seconds of work, and of time, of which a busy machine takes several for one of work."""

    def __init__(self):
        self.work, self.load, self.wall = 0.0, 1.0, 0.0

    def spend(self, seconds):
        self.work += seconds
        self.wall += seconds * self.load


class Network:
    """A network that is as fast, as exact and as hungry as a test wants; a batch of 32 takes what it says it takes."""

    def __init__(self, clock, seconds, noise=0.0, batch_size=32, largest=None, compiling=0.0):
        self.clock, self.seconds, self.noise = clock, seconds * batch_size / 32, noise
        self.batch_size, self.pass_size, self.largest = batch_size, batch_size, largest
        self.device, self.module, self.backoff = CPU, torch.nn.Linear(1, 1), []
        self.fused = False
        self.compiling = compiling

    def __call__(self, images):
        return self.submit(images).result()

    def submit(self, images):
        if self.largest is not None and len(images) > self.largest:
            self.backoff.append(self.largest)
        self.clock.spend(self.seconds + self.compiling)
        self.compiling = 0.0
        rows = np.asarray(images, np.float32).reshape(len(images), -1)
        spoiled = rows + self.noise * np.random.default_rng(0).normal(size=rows.shape) * rows.std()
        return Finished([spoiled.astype(np.float32)])


IMAGES = np.random.default_rng(1).integers(1, 256, (64, 6, 6), dtype=np.uint8)


class Lab:
    """Chooses with networks whose batch of 32 takes `speeds[(precision, compiled)]` seconds; counts what is built."""

    def __init__(self, clock, speeds, *, noise=0.0, cost=10.0, problem=None):
        self.clock, self.speeds, self.noise, self.cost, self.problem = clock, speeds, noise, cost, problem
        self.built, self.read, self.progress = [], 0, SilentProgress()

    def make(self, asked, batch_size, *, compiled, copied):
        self.built.append((asked, batch_size, compiled))
        noise = self.noise if asked != "fp32" else 0.0
        cost = self.cost if compiled else 0.0
        return Network(self.clock, self.speeds[asked, compiled], noise, batch_size, compiling=cost)

    def images(self):
        self.read += 1
        return IMAGES

    def choose(self, precision="auto", *, total=10_000, batch_size=32, memory=None, data="", device=CPU):
        self.built.clear()
        self.progress = SilentProgress()
        return Chooser(
            make=self.make, read=self.images, total=total, batch_size=batch_size, problem=self.problem, device=device,
            progress=self.progress, data=data, memory=Memory() if memory is None else memory, image_bytes=36,
        ).choose(precision)  # fmt: skip

    @property
    def said(self):
        return self.progress.said


FAST_HALF = {("fp32", False): 1.0, ("fp32", True): 0.7, ("bf16", False): 0.4, ("bf16", True): 0.2}
