"""Made tests/cache/golden/v2.h5, once. Do not run it again: the file it made must open for ever.

Three images of two slices each, whose vectors can be worked out in the head. Usage: make_golden_v2.py OUT
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from medfeat_cache import GroupSpec, StoreWriter

RECIPE = {"dataset": "golden", "backbone": "ramp", "size": 4, "pool": "none", "slices": "keep", "kept": "slices"}


def main(out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "000000000000.h5"
        info = {"licence": "CC0-1.0", "citation": "none", "environment": {"device": "none"}}
        with StoreWriter.open(path, recipe=RECIPE, info=info, settings={"batch_size": 2}) as writer:
            writer.groups(
                {
                    "train": GroupSpec([f"train/{row}" for row in range(4)], np.arange(4) % 2),
                    "val": GroupSpec(["val/é"], [1]),
                    "test": GroupSpec(["test/0"], [0]),
                }
            )
            for group, rows, bad in (
                ("train", [0, 1, 3], [("train/2", "truncated file")]),
                ("val", [0], []),
                ("test", [0], []),
            ):
                at = np.array(rows)
                # image r, slice p, number j: 10 r + 100 p + j / 4
                slices = (10 * at[:, None, None] + 100 * np.arange(2)[:, None] + np.arange(3) / 4).astype(np.float16)
                hashes = np.repeat(at[:, None].astype(np.uint8), 16, axis=1) + 1
                writer.write_rows(group, at, slices, hashes, bad)
            shutil.copyfile(writer.publish(), out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
