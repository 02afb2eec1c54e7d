"""How fast a store reads beside `numpy.load` on the same bytes, and how much memory writing and exporting one takes.

An ordinary quick test. With MEDFEAT_BENCH=1 it has the size of the train split of TissueMNIST, 165,466 x 2,048 float32,
prints the figures and keeps them in `results`: `MEDFEAT_BENCH=1 python -m pytest benchmarks/bench_store_read.py -s`.
That needs about 4 GB of disk, and of memory to keep the files warm.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medfeat_cache import FeatureStore, find_stores

MEASURE = os.environ.get("MEDFEAT_BENCH") == "1"
ROWS, DIM = (165_466, 2_048) if MEASURE else (3_000, 64)
REPEATS = 9

# Run in processes of their own, so that peak memory is theirs alone.
STEPS = """
import json, sys, time
from pathlib import Path
import numpy as np
import h5py
from medfeat_cache import FeatureStore, GroupSpec, StoreWriter, export_store, recipe_digest, store_path, verify_store

def rss(key):
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith(key))

step, root, rows, dim = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
recipe = {"dataset": "bench", "backbone": "noise"}
path = store_path(root, "bench", "noise", recipe_digest(recipe))
facts = {}
if step == "write":
    writer = StoreWriter.open(path, recipe=recipe, info={}, settings={})
    writer.groups({"train": GroupSpec([f"train/{row}" for row in range(rows)], np.zeros(rows, np.int64))})
    noise = np.random.default_rng(0).normal(size=(1024, dim)).astype(np.float32)
    begin = time.perf_counter()
    for start in range(0, rows, 1024):
        places = np.arange(start, min(start + 1024, rows))
        hashes = np.zeros((len(places), 16), np.uint8)
        writer.write_rows("train", places, noise[: len(places)] + np.float32(start), hashes)
    facts["parts_s"] = time.perf_counter() - begin
before, begin = rss("VmRSS"), time.perf_counter()
if step == "write":
    writer.publish()
    writer.close()
elif step == "export":
    export_store(path, root / "export")
else:
    assert not verify_store(path).damaged
facts[f"{step}_s"] = time.perf_counter() - begin
facts[f"{step}_peak_mb_above_start"] = max(rss("VmHWM") - before, 0)
print(json.dumps(facts))
"""


def run(step: str, root: Path) -> dict[str, float]:
    command = [sys.executable, "-c", STEPS, step, str(root), str(ROWS), str(DIM)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def best_s(reads: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Time all in turn, several times over, so that other work on the machine meets each of them alike."""
    times: dict[str, list[float]] = {name: [] for name in reads}
    for _ in range(REPEATS):
        for name, read in reads.items():
            begin = time.perf_counter()
            read()
            times[name].append(time.perf_counter() - begin)
    return {name: min(taken) for name, taken in times.items()}


def read_speed(root: Path) -> dict[str, float]:
    path, npy = find_stores(root)[0].path, root / "export" / "train.embeddings.npy"

    def scan(values: np.ndarray) -> float:
        return float(values.sum())

    times = best_s(
        {
            "numpy_load_s": lambda: np.load(npy),
            "store_read_s": lambda: FeatureStore(path).read("train"),
            "numpy_load_and_sum_s": lambda: scan(np.load(npy)),
            "numpy_mapped_sum_s": lambda: scan(np.load(npy, mmap_mode="r")),
            "store_mapped_sum_s": lambda: scan(FeatureStore(path).embeddings("train")),
        }
    )
    times["read_over_numpy_load"] = times["numpy_load_s"] / times["store_read_s"]
    times["mapped_over_numpy_load_and_sum"] = times["numpy_load_and_sum_s"] / times["store_mapped_sum_s"]
    times["mapped_over_numpy_mapped"] = times["numpy_mapped_sum_s"] / times["store_mapped_sum_s"]
    return times


@pytest.mark.timeout(1800)
def test_a_store_reads_like_a_plain_file_and_streams(tmp_path: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("peak memory is read from /proc")
    facts: dict[str, float] = {"rows": ROWS, "dim": DIM}
    for step in ("write", "export", "verify"):
        facts |= run(step, tmp_path)
    facts |= read_speed(tmp_path)
    if not MEASURE:
        assert facts["write_peak_mb_above_start"] < 300
        return
    machine = {
        "cores": os.cpu_count(),
        "processor": processor(),
        "python": sys.version.split()[0],
        "numpy": np.__version__,
    }
    text = json.dumps({"machine": machine, **{name: round(value, 3) for name, value in facts.items()}}, indent=1)
    print(text)
    (Path(__file__).parent / "results" / "store_read.json").write_text(text + "\n")
    assert facts["read_over_numpy_load"] >= 0.8
    assert facts["mapped_over_numpy_load_and_sum"] >= 0.8
    for step in ("write", "export"):
        assert facts[f"{step}_peak_mb_above_start"] < 300
