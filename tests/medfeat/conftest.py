"""Stores for tests: made through the real writer, with features that carry a known amount of signal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from medfeat_cache import GroupSpec, StoreWriter, recipe_digest, store_path

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
                writer.write_part(group, 0, len(X), np.arange(len(X)), X, hashes, allow_nonfinite=True)
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
