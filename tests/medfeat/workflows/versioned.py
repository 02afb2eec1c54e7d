"""Pictures under one name, and what is known of them, as tests of versions write and read them."""

from __future__ import annotations

import numpy as np
from PIL import Image

import medfeat
from medfeat.tasks import official
from medfeat_cache import FeatureStore

DARK = [20 + 4 * i for i in range(16)]
BRIGHT = [130 + 7 * i for i in range(16)]
ALTERNATING = ["ab"[i % 2] for i in range(16)]
HALVES = ["ab"[i // 8] for i in range(16)]


def picture(path, value, size=12):
    """Write a grey picture around a value, with noise of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(value).integers(-3, 4, (size, size))
    Image.fromarray(np.clip(value + noise, 0, 255).astype(np.uint8)).save(path)


def table(folder, values, labels, name="l.csv"):
    """Write pictures 00.png, 01.png, ... and a CSV with their labels and a split; return the CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    splits = ["train", "train", "val", "test"]
    for i, value in enumerate(values):
        picture(folder / f"{i:02}.png", value)
    rows = [f"{i:02}.png,{label},{splits[i // 2 % 4]}" for i, label in enumerate(labels)]
    (folder / name).write_text("path,label,split\n" + "\n".join(rows) + "\n")
    return folder / name


def write(folder, values, source):
    labels = ["ab"[value % 2] for value in range(len(values))]
    if source == "csv":
        return table(folder, values, labels, "study.csv")
    if source == "folder":
        for value, label in zip(values, labels, strict=True):
            picture(folder / label / f"{value:03}.png", value)
        return folder
    folder.mkdir()
    images = np.stack([np.full((12, 12), value, np.uint8) for value in values])
    np.savez(folder / "study.npz", images=images, labels=np.arange(len(values)) % 2)
    return folder / "study.npz"


def features(folder, ids, **more):
    np.savez(folder / "f.npz", embeddings=np.eye(len(ids), 5, dtype=np.float32), ids=np.array(ids), **more)
    return folder / "f.npz"


def official_of(path):
    with FeatureStore(path) as store:
        return official(store)


def load_values(cache_root, name):
    splits = [medfeat.load(name, "counting", split=s, cache_dir=cache_root).X[:, 0] for s in ("train", "val", "test")]
    return sorted(np.concatenate(splits).tolist())
