"""Stores made by several processes whose network is arithmetic: in one, two or three processes, and killed."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np

if __name__ == "__main__":
    import without_torch  # noqa: F401

from arithmetic_worker import Arithmetic
from medfeat.extraction.ask.run_settings import RunSettings
from medfeat.extraction.loop.embed_rows import extract_rows
from medfeat.extraction.loop.several import processes
from medfeat.extraction.loop.several.messages import Job
from medfeat.extraction.loop.several.shares import pieces_of
from medfeat.types import BadImage, DatasetInfo, ImageBatch, SilentProgress
from medfeat_cache import FeatureStore, GroupSpec, StoreWriter, recipe_digest, store_path

SETTINGS = RunSettings("cpu,cpu", "fp32", Arithmetic.batch_size, False, 2)
VIEWS = (0, 1)


class Pictures:
    """Two groups of small images that a seed makes; of some nothing can be read."""

    def __init__(self, counts, unreadable=()):
        self.unreadable = tuple(unreadable)
        self.info = DatasetInfo("pictures", 5, None, (), 1, 2, dict(counts), "blake2b:00")

    def ids(self, group):
        return np.array([f"{group}/{row}" for row in range(self.info.counts[group])])

    def labels(self, group):
        return None

    def batches(self, group, batch_size, rows=None):
        rows = np.arange(self.info.counts[group]) if rows is None else rows
        for start in range(0, len(rows), batch_size):
            some = rows[start : start + batch_size]
            bad = tuple(BadImage(f"{group}/{row}", "torn", int(row)) for row in some if row in self.unreadable)
            good = np.array([row for row in some if row not in self.unreadable], np.int64)
            seeds = ([len(group), int(row)] for row in good)
            images = [np.random.default_rng(seed).integers(0, 256, (5, 5), dtype=np.uint8) for seed in seeds]
            yield ImageBatch(good, np.stack(images) if images else np.empty((0, 5, 5), np.uint8), bad)


def paths(root: Path) -> dict[int, Path]:
    """Return where the store of each view is."""
    return {view: store_path(root, "pictures", "arithmetic", recipe_digest(recipe(view))) for view in VIEWS}


def recipe(view: int) -> dict[str, object]:
    return {"dataset": "pictures", "backbone": "arithmetic", "view": view, "kept": "", "dtype": ""}


def make(root: Path, data: Pictures, count: int, *, before=lambda processes: None, progress=None) -> list[str]:
    """Make the stores of both views in this process (`count` 1), or by so many others; return what was said."""
    progress = progress or SilentProgress()
    with ExitStack() as stack:
        writers = {}
        for view, path in paths(root).items():
            writer = StoreWriter.open(path, recipe=recipe(view), info={}, settings=SETTINGS.to_dict())
            writers[view] = stack.enter_context(writer)
            writer.groups({group: GroupSpec(data.ids(group)) for group in data.info.counts})
        if count == 1:
            extract_rows(data, Arithmetic(), writers, part_batches=2, progress=progress)
        else:
            missing = {
                group: np.union1d(*(w.missing_rows(group) for w in writers.values())) for group in data.info.counts
            }
            job = Job(data, partial(dict), "whole", "", SETTINGS, "arithmetic", {v: recipe(v) for v in VIEWS}, 2)
            stack.enter_context(patch.object(processes, "_WORKER", "arithmetic_worker"))
            devices = ["cpu"] * count
            processes.embed_together(
                job,
                pieces_of(missing, 2 * Arithmetic.batch_size),
                writers,
                devices=devices,
                threads=1,
                progress=progress,
            )
        for writer in writers.values():
            writer.publish()
    return getattr(progress, "said", [])


def contents(root: Path) -> dict[str, np.ndarray]:
    """Return everything of both stores that must be equal."""
    found = {}
    for view, path in paths(root).items():
        with FeatureStore(path, verify=True) as store:
            for group in store.groups:
                found[f"{view} {group}"] = np.array(store.embeddings(group))
                found[f"{view} {group} ids"] = store.ids(group)
            found[f"{view} bad"] = np.array(sorted(map(str, store.info["bad_images"])))
    return found


def main() -> None:
    """Make the stores in a folder by some processes: what a test starts, and kills."""
    root, count, images = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    make(root, Pictures({"train": images, "val": 30}, (3, 17)), count)


if __name__ == "__main__":
    import several_arena  # under the name by which other processes know its images

    several_arena.main()
