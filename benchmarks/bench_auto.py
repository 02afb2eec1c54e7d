"""Seconds of ``--head auto``: every head that stands, their means, and the choice on val.

As an ordinary test it chooses among all heads on a small problem. ``MEDFEAT_BENCH=1`` measures 12,000 x 2,048 features
of 8 classes with a val of 2,000, and writes ``benchmarks/results/auto.json``.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from bench_heads import embeddings, processor
from medfeat.evaluation.judging.protocol import select
from medfeat.heads.auto import AutoHead
from medfeat.types import SilentProgress

FULL = os.environ.get("MEDFEAT_BENCH") == "1"
RESULTS = Path(__file__).parent / "results" / "auto.json"
N, D, CLASSES = (12_000, 2_048, 8) if FULL else (300, 32, 3)
MOST_SECONDS = 120


class Clocked(SilentProgress):
    """Seconds since the last word, by what was begun: by the wall, and of all threads."""

    def __init__(self) -> None:
        super().__init__()
        self.spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self.label, self.then = "", (0.0, 0.0)

    def start(self, total, label, unit="images"):
        self.finish()
        self.label = label

    def advance(self, count):
        self.finish()

    def finish(self):
        now = time.perf_counter(), time.process_time()
        if self.label:
            self.spent[self.label] = [a + b - c for a, b, c in zip(self.spent[self.label], now, self.then, strict=True)]
        self.then = now


def test_auto_chooses_among_every_head_that_stands():
    load = round(os.getloadavg()[0], 1)
    X, y = embeddings(N + N // 6, D, CLASSES)
    train, val = (X[:N], y[:N, None]), (X[N:], y[N:, None])
    head, clock = AutoHead(), Clocked()
    asked = ("multi-class", CLASSES)
    started, spent = time.perf_counter(), time.process_time()
    clock.finish()
    offered = head.candidates(train, val, *asked, seed=0, progress=clock)
    found = select(offered, *val, "multi-class")
    clock.finish()
    seconds, cpu = time.perf_counter() - started, time.process_time() - spent
    standing = {one.name for one in head.standing("multi-class", N, D, CLASSES) if one.head is not None}
    assert {one.settings["head"] for one in found.tried if " + " not in one.settings["head"]} == standing
    assert found.chosen.first == max(one.first for one in found.tried)
    assert np.isfinite(found.model.scores(val[0])).all()
    if not FULL:
        return
    result = {
        "what": "head auto: all that stands on 12,000 x 2,048 float32 features of 8 classes, val of 2,000",
        "seconds": round(seconds, 1),
        "processor_seconds": round(cpu, 1),
        "seconds_and_processor_seconds_of_heads": {
            name: [round(part, 1) for part in both] for name, both in clock.spent.items()
        },
        "chosen": found.chosen.settings["head"],
        "val_auc": round(found.chosen.first, 5),
        "left_out": head.left_out("multi-class", N, D, CLASSES),
        "machine": {"cores": os.cpu_count(), "load_before": load, "processor": processor()},
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    assert seconds < MOST_SECONDS or load > 1
