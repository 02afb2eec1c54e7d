"""Trainings that are over in seconds, and where they leave their weights."""

from __future__ import annotations

import numpy as np

from medfeat.datasets import open_dataset
from medfeat.workflows.finetune import finetune

CNN, VIT = "timm:test_resnet.r160_in1k", "timm:test_vit.r160_in1k"
QUICK = {"weights": "random", "device": "cpu", "precision": "fp32", "resamples": 20, "epochs": 2, "batch_size": 8}
FEW = {"lr": 1e-3}
COUNTS = {"train": 24, "val": 16, "test": 24}


def small(folder, data="synthetic-binary", counts=COUNTS):
    """The first images of a synthetic set as an .npz of its own."""
    source, arrays = open_dataset(data), {}
    for group, count in counts.items():
        images = np.concatenate([batch.images for batch in source.batches(group, 64, np.arange(count))])
        arrays |= {f"{group}_images": images, f"{group}_labels": source.labels(group)[:count]}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny.npz"
    np.savez(path, **arrays)
    return str(path)


def tune(root, data="synthetic-binary", backbone=CNN, **options):
    path = data if data.endswith((".csv", ".npz")) else small(root.parent / f"data-{data}", data)
    return finetune(path, backbone, cache_dir=root, **QUICK | FEW | options)


def weights_of(root):
    (path,) = (root / "tuned").glob("*/*/model.safetensors")
    return path
