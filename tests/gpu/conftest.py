"""Claims about GPUs, each tried with the same code: on a CUDA device by `make gpu`, and in a dry form on the CPU."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from medfeat.backbones import load_backbone
from medfeat.extraction.network.forward import Forward

ON_GPU = os.environ.get("MEDFEAT_GPU") == "1"


@pytest.fixture
def device() -> torch.device:
    """The GPU under `make gpu`, else the processor: what is tried stays the same."""
    return torch.device("cuda:0" if ON_GPU else "cpu")


@pytest.fixture(autouse=True)
def some_threads():
    """A dry form beside other tests takes one core."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if ON_GPU else 1)
    yield
    torch.set_num_threads(before)


def pytest_collection_modifyitems(items):
    """What only a GPU can show is marked `gpu`, and says so where it is skipped."""
    for item in items:
        if item.get_closest_marker("gpu") is not None and not ON_GPU:
            item.add_marker(pytest.mark.skip(reason="only a GPU can show this: make gpu"))


def pytest_runtest_logreport(report):
    """Write down each test as it ends, so that a stop loses nothing of what was seen."""
    told = os.environ.get("MEDFEAT_GPU_REPORT")
    if told and (report.when == "call" or report.outcome != "passed"):
        why = str(report.longrepr).splitlines()[-1][:300] if report.outcome != "passed" else ""
        line = {
            "test": report.nodeid.rpartition("::")[2],
            "outcome": report.outcome,
            "seconds": round(report.duration, 2),
        }
        with Path(told).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line | dict(report.user_properties) | ({"told": why} if why else {})) + "\n")


@pytest.fixture
def forward(device):
    """Make the forward pass of a network with random weights."""

    def make(
        name="resnet18" if ON_GPU else "timm:test_resnet", *, precision="fp32", batch_size=None, compiled=False, on=None
    ):
        size = batch_size or (64 if ON_GPU else 4)
        backbone = load_backbone(name, weights="random")
        return Forward(
            backbone, fit="whole", device=on or device, precision=precision, batch_size=size, compiled=compiled
        )

    return make


@pytest.fixture
def images():
    """Make smooth images, which resemble pictures more than noise does."""

    def make(count=None, side=28, channels=3, seed=0):
        rng = np.random.default_rng(seed)
        coarse = rng.integers(0, 256, (count or (64 if ON_GPU else 4), 4, 4, channels), dtype=np.uint8)
        fine = coarse.repeat(-(-side // 4), axis=1).repeat(-(-side // 4), axis=2)[:, :side, :side]
        noisy = np.clip(fine.astype(np.int16) + rng.integers(-9, 10, fine.shape), 0, 255).astype(np.uint8)
        return noisy[..., 0] if channels == 1 else noisy

    return make


@pytest.fixture
def measured(record_property):
    """Keep a figure beside the result of a test; `make gpu` collects them."""

    def keep(**figures):
        for name, value in figures.items():
            record_property(name, value)
            print(f"    {name}: {value}")

    return keep
