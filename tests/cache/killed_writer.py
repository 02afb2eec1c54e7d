"""A tiny extraction, run by test_store_kills.py as a process of its own that may be killed at any moment.

Usage: killed_writer.py ROOT [PAUSE_S [bags]]. Batches of 4 images of 16 x 16 go through a fixed projection; of bags, an
image has 8 vectors of 64 numbers instead of one of 512.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from medfeat_cache import GroupSpec, StoreWriter, recipe_digest, store_path

COUNTS = {"train": 48, "val": 10, "test": 13}
RECIPE = {"dataset": "toy", "backbone": "projection", "size": 16}
BATCH = 4


def path(root: Path) -> Path:
    return store_path(root, "toy", "projection", recipe_digest(RECIPE))


def images(group: str, rows: np.ndarray) -> np.ndarray:
    return np.stack([np.random.default_rng([len(group), row]).integers(0, 256, 256) for row in rows.tolist()])


def extract(root: Path, pause_s: float, *, bags: bool) -> None:
    weights = np.random.default_rng(0).normal(size=(256, 512)).astype(np.float32)
    settings = {"batch_size": BATCH}
    with StoreWriter.open(path(root), recipe=RECIPE, info={}, settings=settings, on_wait=print) as writer:
        if writer.published:
            return
        writer.groups(
            {group: GroupSpec([f"{group}/{row}" for row in range(n)], np.arange(n) % 4) for group, n in COUNTS.items()}
        )
        for group, count in COUNTS.items():
            for start in range(0, count, BATCH):
                rows = np.arange(start, min(start + BATCH, count))
                if not np.isin(rows, writer.missing_rows(group)).any():
                    continue
                pixels = images(group, rows)
                time.sleep(pause_s)
                vectors = (pixels / 255).astype(np.float32) @ weights
                hashes = pixels[:, :16].astype(np.uint8)
                bad = [(f"{group}/{row}", "unreadable") for row in rows.tolist() if row == 5]
                keep = rows != 5
                vectors = vectors.reshape(-1, 8, 64) if bags else vectors
                writer.write_rows(group, rows[keep], vectors[keep], hashes[keep], bad)
        writer.publish()


if __name__ == "__main__":
    print("started", flush=True)
    extract(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0, bags="bags" in sys.argv)
