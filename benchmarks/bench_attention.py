"""Attention over 1,584 volumes of 84 slices of 512 numbers: seconds of the head, and anonymous memory meanwhile.

As an ordinary test it takes a small store and looks at memory alone. ``MEDFEAT_BENCH=1`` takes the whole, and writes
``benchmarks/results/attention.json``. The head works in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bench_memory import STATUS, anonymous_bytes, watched
from machine import MEASURING, keep

COUNTS = {"train": 1188, "val": 98, "test": 298} if MEASURING else {"train": 240, "val": 60, "test": 60}
SLICES, DIM = (84, 512) if MEASURING else (24, 256)
LIMIT_BYTES = 2 << 30


def write_store(root: Path) -> Path:
    """Write a store of noise in which two slices of each second volume tell; rows are drawn as they are written."""
    from medfeat_cache import GroupSpec, StoreWriter, recipe_digest, store_path

    recipe = {"dataset": "slices", "backbone": "noise", "size": 28, "slices": "keep", "kept": "slices"}
    info = {"dataset": {"name": "slices", "task": "binary-class", "classes": ["a", "b"], "counts": COUNTS}}
    path = store_path(root, "slices", "noise", recipe_digest(recipe))
    with StoreWriter.open(path, recipe=recipe, info=info, settings={}) as writer:
        labels = {group: np.arange(count) % 2 for group, count in COUNTS.items()}
        writer.groups({group: GroupSpec([f"{group}/{i}" for i in range(len(y))], y) for group, y in labels.items()})
        for number, (group, y) in enumerate(labels.items()):
            rng = np.random.default_rng(number)
            for start in range(0, len(y), 32):
                rows = np.arange(start, min(start + 32, len(y)))
                bags = rng.standard_normal((len(rows), SLICES, DIM), np.float32)
                telling = rng.integers(0, SLICES, (len(rows), 2))
                bags[np.arange(len(rows))[:, None], telling, :8] += 1.5 * y[rows][:, None, None]
                hashes = rng.integers(0, 256, (len(rows), 16), dtype=np.uint8)
                writer.write_rows(group, rows, bags.astype(np.float16), hashes)
        return writer.publish()


def probed(path: Path) -> dict[str, float]:
    """Train, choose and score as `medfeat probe` does, the intervals of its metrics aside."""
    from medfeat.evaluation.judging.protocol import run_protocol, val_scores
    from medfeat.evaluation.judging.reading import gather_for
    from medfeat.evaluation.measures.labelled_scores import LabelledScores
    from medfeat.heads import HEADS
    from medfeat.tasks import official
    from medfeat_cache import FeatureStore

    head, chosen, started = HEADS["attention"](), [], time.process_time()
    with FeatureStore(path) as store, watched() as found:
        scored = run_protocol(gather_for(head, store, official(store)), head, write_down=chosen.append)
        scored.choice.model.attention(gather_for(head, store, official(store)).X("test"))
    of_test = LabelledScores.of(scored.test.y, scored.test_scores, "binary-class")
    found |= {"cpu_seconds": round(time.process_time() - started, 1)}
    found |= {"auc": round(val_scores(of_test)[0], 4), "rss_anon_end_mib": round(anonymous_bytes() / 2**20, 1)}
    return {**found, "rounds": [one.settings["rounds"] for one in scored.choice.tried]}


@pytest.mark.skipif(not STATUS.exists(), reason="RssAnon is told by Linux alone")
@pytest.mark.timeout(3600)
def test_attention_over_slices_takes_minutes_and_bounded_memory(tmp_path: Path) -> None:
    path = write_store(tmp_path)
    command = [sys.executable, str(Path(__file__).resolve()), str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(run.stdout.splitlines()[-1])
    peak = (found["rss_anon_before_mib"] + found["rss_anon_peak_above_mib"]) * 2**20
    shape = {"volumes": sum(COUNTS.values()), "slices": SLICES, "dim": DIM, "store_bytes": path.stat().st_size}
    keep("attention", {"load_average": os.getloadavg(), **shape, **found, "rss_anon_peak_mib": round(peak / 2**20, 1)})
    assert peak < LIMIT_BYTES
    assert found["auc"] > 0.7


if __name__ == "__main__":
    print(json.dumps(probed(Path(sys.argv[1]))))
