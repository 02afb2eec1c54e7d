"""Stores made through the real extraction with the counting backbone, and stores of planted features."""

from __future__ import annotations

import numpy as np
from PIL import Image

from medfeat.datasets import open_dataset
from medfeat.workflows.extract import extract
from medfeat_cache import GroupSpec, StoreWriter, recipe_digest, store_path

QUICK = {"resamples": 20}


def extracted(root, data="synthetic-binary", backbone="counting", **options):
    """Extract with the counting backbone; return what became of the store."""
    options = {"precision": "fp32", "batch_size": 16, "device": "cpu", "cache_dir": root} | options
    return extract(data, backbone, **options).stores[0]


def embed(root, data="synthetic-binary", backbone="counting", **options):
    """Extract with the counting backbone; return the store's path."""
    return extracted(root, data, backbone, **options).path


def export_images(folder, data="synthetic-binary", group="test"):
    """Write a group's images (of a dataset or its name) as PNG files, named so that their order is the group's."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    dataset = open_dataset(data) if isinstance(data, str) else data
    for batch in dataset.batches(group, 64):
        for image in batch.images:
            Image.fromarray(image).save(folder / f"{number:05d}.png")
            number += 1
    return folder


def plant(root, *, counts, classes=3, dim=12, signal=2.0, dataset="planted", backbone="fake", seed=0, **recipe):
    """Write a store of Gaussian classes; features, labels and ids are drawn from the seed, rows may be shuffled."""
    rng = np.random.default_rng(seed)
    shuffle, extra = recipe.pop("shuffle", False), recipe.pop("rows", lambda group, X, y: (X, y))
    task = "binary-class" if classes == 2 else "multi-class"
    centres = np.random.default_rng(99).normal(size=(classes, dim))
    facts = {"dataset": dataset, "backbone": backbone, "size": 28, "input_size": 224, "pool": "avg", "fit": "whole"}
    facts |= {"precision": "fp32", "fingerprint": f"{dataset}-{seed}", **recipe}
    info = {"dataset": {"name": dataset, "task": task, "classes": [f"c{i}" for i in range(classes)], "counts": counts}}
    path = store_path(root, dataset, backbone, recipe_digest(facts))
    drawn = {}
    for group, n in counts.items():
        y = np.arange(n) % classes
        X = (signal * centres[y] / np.sqrt(dim) * 2 + rng.normal(size=(n, dim))).astype(np.float32)
        drawn[group] = (*extra(group, X, y), np.array([f"{group}/{i}" for i in range(n)]))
    with StoreWriter.open(path, recipe=facts, info=info, settings={}) as writer:
        orders = {g: rng.permutation(len(ids)) if shuffle else np.arange(len(ids)) for g, (_, _, ids) in drawn.items()}
        writer.groups({g: GroupSpec(ids[orders[g]], y[orders[g], None]) for g, (_, y, ids) in drawn.items()})
        for group, (X, _, ids) in drawn.items():
            rows, hashes = np.arange(len(ids)), rng.integers(0, 256, (len(ids), 16), dtype=np.uint8)
            writer.write_rows(group, rows, X[orders[group]], hashes)
        return writer.publish({})
