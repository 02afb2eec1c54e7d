"""Made tests/cache/golden/v1.h5, once. Do not run it again: the file it made must open for ever.

A later format gets a script and a file of its own beside this one. Usage: make_golden.py OUT
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from medfeat_cache import GroupSpec, StoreWriter

RECIPE = {"dataset": "golden", "backbone": "ramp", "size": 4, "pool": "none", "precision": "fp32"}


def main(out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "000000000000.h5"
        info = {"licence": "CC0-1.0", "citation": "none", "environment": {"device": "none"}}
        with StoreWriter.open(path, recipe=RECIPE, info=info, settings={"batch_size": 2}) as writer:
            spec = {
                group: GroupSpec([f"{group}/{row}" for row in range(count)], np.arange(count) % 2)
                for group, count in {"train": 5, "val": 2, "test": 3}.items()
            }
            spec["test"] = GroupSpec(["test/0", "test/é", "test/2"], [0, 1, 0])
            writer.groups(spec)
            for group, one in spec.items():
                count = len(one.ids)
                rows = np.delete(np.arange(count), 3) if group == "train" else np.arange(count)
                ramp = (np.arange(3) + 10 * rows[:, None]).astype(np.float32) / 4
                hashes = np.repeat(rows[:, None].astype(np.uint8), 16, axis=1) + 1
                bad = [("train/3", "truncated file")] if group == "train" else []
                writer.write_rows(group, rows, ramp, hashes, bad)
            shutil.copyfile(writer.publish(), out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
