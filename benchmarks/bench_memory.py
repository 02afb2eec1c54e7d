"""Anonymous memory while a large .npz is streamed and embedded: it must not grow with the file.

As an ordinary test it takes a small file. ``MEDFEAT_BENCH=1`` takes one of more than 3 GB unpacked, once compressed
and once stored, and writes ``benchmarks/results/memory.json``.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

FULL = os.environ.get("MEDFEAT_BENCH") == "1"
RESULTS = Path(__file__).parent / "results" / "memory.json"
SIDE, BATCH, DRAWN = 224, 16, 48
IMAGE_BYTES = SIDE * SIDE * 3
COUNTS = {"train": 15_000, "val": 2_000, "test": 3_500} if FULL else {"train": 300, "val": 40, "test": 60}
LIMIT_BYTES = 1 << 30
STATUS = Path("/proc/self/status")


def write_npz(path: Path, compression: int) -> None:
    """Write an .npz in MedMNIST's form, piece by piece, of pictures that compress as photographs do."""
    rng = np.random.default_rng(0)
    ramp = np.add.outer(np.arange(SIDE), np.arange(SIDE))[None, :, :, None] // 2
    drawn = (ramp + rng.integers(0, 24, (DRAWN, SIDE, SIDE, 3))).astype(np.uint8)
    with zipfile.ZipFile(path, "w", compression, compresslevel=1) as archive:
        for group, count in COUNTS.items():
            with archive.open(f"{group}_images.npy", "w", force_zip64=True) as member:
                shape = (count, SIDE, SIDE, 3)
                header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(member, header)
                for start in range(0, count, DRAWN):
                    member.write(drawn[: min(DRAWN, count - start)].tobytes())
            with archive.open(f"{group}_labels.npy", "w") as member:
                np.lib.format.write_array(member, (np.arange(count) % 9)[:, None].astype(np.uint8))


def anonymous_bytes() -> int:
    """Return the anonymous resident memory of this process (Linux)."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Note the peak of anonymous memory above that at the start, and the seconds, in what is yielded."""
    before, peak, done, found = anonymous_bytes(), [0], threading.Event(), {}

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    try:
        yield found
    finally:
        found["seconds"] = round(time.perf_counter() - started, 2)
        done.set()
        watcher.join()
        found["rss_anon_before_mib"] = round(before / 2**20, 1)
        found["rss_anon_peak_above_mib"] = round((peak[0] - before) / 2**20, 1)


def stream(path: Path) -> dict[str, float]:
    """Open the file, which hashes it, and read every batch."""
    from medfeat.datasets import open_dataset

    with watched() as found:
        dataset = open_dataset(path)
        found["images"] = sum(len(batch.rows) for group in COUNTS for batch in dataset.batches(group, BATCH))
    return found


def embed(path: Path) -> dict[str, float]:
    """Embed the file with ten image statistics: the whole of extraction, and no network's own memory."""
    import torch  # noqa: F401 - loaded before memory is noted, as a model would be

    from medfeat.workflows.extract import extract

    extract("synthetic-3d", "stats", cache_dir=path.parent / "warm")
    with watched() as found:
        report = extract(str(path), "stats", batch_size=BATCH, cache_dir=path.parent / "cache")
        found["images"] = report.stores[0].images
    return found


def measured(what: str, path: Path) -> dict[str, float]:
    """Do it in a process of its own, so that nothing else counts."""
    command = [sys.executable, str(Path(__file__).resolve()), what, str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.skipif(not STATUS.exists(), reason="RssAnon is told by Linux alone")
@pytest.mark.timeout(1800)
def test_anonymous_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    found = {}
    for name, compression in (("compressed", zipfile.ZIP_DEFLATED), ("stored", zipfile.ZIP_STORED)):
        path = tmp_path / f"{name}.npz"
        write_npz(path, compression)
        found[f"{name}_bytes"] = path.stat().st_size
        for what in ("stream", "embed"):
            one = found[f"{what}_{name}"] = measured(what, path)
            assert one["images"] == sum(COUNTS.values())
            assert one["rss_anon_peak_above_mib"] * 2**20 < LIMIT_BYTES
        path.unlink()
    if FULL:
        facts = {
            "what": f"an .npz of {SIDE} px RGB images, read by open_dataset and embedded by stats, batch {BATCH}",
            "unpacked_bytes": sum(COUNTS.values()) * IMAGE_BYTES,
            "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "numpy": np.__version__},
            **found,
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    print(json.dumps({"stream": stream, "embed": embed}[sys.argv[1]](Path(sys.argv[2]))))
