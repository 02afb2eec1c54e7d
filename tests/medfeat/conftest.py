"""Fakes through the real routes: a backbone that counts its images, stores with a known amount of signal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from installing import install_clinic
from medfeat.backbones.backbone_table import BACKBONES, Entry
from medfeat.types import BackboneInfo
from medfeat_cache import GroupSpec, StoreWriter, recipe_digest, store_path
from mirror import Mirror, serving


@dataclass
class Counter:
    """What the counting backbone was asked to do."""

    batches: list[int] = field(default_factory=list)
    fail_after: int | None = None
    error: Exception | None = None
    largest: int | None = None
    largest_after: int = 0

    @property
    def images(self) -> int:
        return sum(self.batches)


class CountingNetwork(nn.Module):
    """The mean colour of an image, times a weight of one, and its square: (B, 3, H, W) -> (B, 6)."""

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.counter = [counter]  # in a list, so that a deep copy of the network is not asked to copy a registry

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        counter = self.counter[0]
        if counter.error is not None and (counter.fail_after is None or len(counter.batches) >= counter.fail_after):
            raise counter.error
        tight = counter.largest is not None and len(counter.batches) >= counter.largest_after
        if tight and len(images) > (counter.largest or 0):
            raise torch.OutOfMemoryError("out of memory")
        counter.batches.append(len(images))
        mean = images.mean(dim=(2, 3)) * self.scale
        return torch.cat([mean, mean**2], dim=1)

    def __deepcopy__(self, memo: dict[int, object]) -> CountingNetwork:
        copy = CountingNetwork(self.counter[0])
        copy.load_state_dict(self.state_dict())
        return copy.eval().requires_grad_(False)


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    """A server on the loopback."""
    with serving() as mirror:
        yield mirror


@pytest.fixture
def counting() -> Iterator[Counter]:
    """Register the backbone `counting` for one test; what it did is in the value."""
    counter = Counter()
    info = BackboneInfo(
        name="counting",
        source="weights-free",
        source_id="counting",
        input_size=16,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        interpolation="bilinear",
        pool="none",
        origin="weights-free",
        dim=6,
    )
    BACKBONES.add("counting", Entry(info, build=lambda: CountingNetwork(counter)))
    yield counter
    BACKBONES.remove("counting")


@pytest.fixture(scope="session")
def clinic_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder where the package of docs/extend.md is installed, once for all tests."""
    return install_clinic(tmp_path_factory.mktemp("clinic") / "site")


CLASSES = {"binary-class": 2, "multi-class": 4, "ordinal-regression": 5, "multi-label": 3, "regression": 1}


@pytest.fixture
def make_store(cache_root: Path) -> Callable[..., Path]:
    """Write a store of Gaussian features whose class means lie `signal` apart; returns its path."""

    def make(
        dataset="bloodmnist", backbone="resnet18", *, task="multi-class", n=(240, 80, 80), dim=8, signal=1.0, seed=0,
        size=28, input_size=224, labels=True, change=None, **facts,
    ) -> Path:  # fmt: skip
        rng = np.random.default_rng(seed)
        recipe = {
            "dataset": dataset, "size": size, "fingerprint": "md5:0", "backbone": backbone, "layer": None,
            "pool": "avg",
            "slices": None, "fit": "whole", "input_size": input_size, "precision": "fp32", "seed": seed, "dim": dim,
            "signal": signal, **facts.pop("recipe", {}),
        }  # fmt: skip
        k = CLASSES[task]
        directions = np.random.default_rng(99).normal(size=(k, dim))
        groups, features = {}, {}
        for group, count in zip(("train", "val", "test"), n, strict=True):
            y = _labels(rng, task, count, k)
            if change:
                y = change(group, y)
            features[group] = (_design(task, y, k) @ directions * signal + rng.normal(size=(count, dim))).astype("f4")
            ids = np.array([f"{group}/{i}" for i in range(count)])
            groups[group] = GroupSpec(ids, y if labels else None)
        info = {
            "dataset": {
                "name": dataset, "task": task, "classes": [f"class {i}" for i in range(k)], "size": size,
                "counts": dict(zip(groups, n, strict=True)), "source": "medmnist",
            },
            "backbone": {"name": backbone, "origin": "pretrained", "overlap": [], **facts.pop("backbone_info", {})},
            "environment": {"seconds": 12.5, "energy_wh": 0.5, "images_per_second": 32.0, "device": "cpu"},
        }  # fmt: skip
        path = store_path(cache_root, dataset, backbone, recipe_digest(recipe))
        with StoreWriter.open(path, recipe=recipe, info=info, settings={"batch_size": 64}) as writer:
            writer.groups(groups)
            for group, X in features.items():
                hashes = np.zeros((len(X), 16), np.uint8)
                writer.write_rows(group, np.arange(len(X)), X, hashes, allow_nonfinite=True)
            return writer.publish({})

    return make


def _labels(rng, task, count, k):
    if task == "multi-label":
        return (rng.random((count, k)) < 0.4).astype(np.int64)
    if task == "regression":
        return rng.normal(size=(count, k))
    return rng.permutation(np.arange(count) % k)[:, None].astype(np.int64)


def _design(task, y, k):
    return y if task in ("multi-label", "regression") else np.eye(k)[y[:, 0]]
