"""How long threads should spin before they sleep while they wait for one another: rates with and without busy loops.

GNU's OpenMP reads GOMP_SPINCOUNT when it is loaded, so each reading is a process of its own; the counts take turns.
Networks run eager at batch 8 with made-up weights, heads are fitted to made-up vectors. Rates are per second of time:
with nothing beside it the best of all rounds, which neighbours of the machine held up least; beside loops their middle.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np

import bench_extraction
import machine
from bench_decisions import busy_loops

NETWORKS = ("squeezenet1_1", "resnet50", "timm:vit_small_patch16_224")[: None if machine.MEASURING else 1]
COUNTS = ("not set", "1000", "3000", "10000")[: None if machine.MEASURING else 1]
BESIDE = {"nothing": 0, "two busy loops": 2} if machine.MEASURING else {"two busy loops": 2}
ROUNDS = int(os.environ.get("MEDFEAT_BENCH_ROUNDS", "5" if machine.MEASURING else "1"))
SECONDS = 2.0 if machine.MEASURING else 0.2


def rates():
    """Print runs a second of each network and head in this process."""
    import torch
    from sklearn.ensemble import HistGradientBoostingClassifier
    from xgboost import XGBClassifier

    images, found = bench_extraction.pictures(8), {}
    for name in NETWORKS:
        forward = bench_extraction.Forward(
            bench_extraction.load_backbone(name, weights="random"), fit="whole", device=torch.device("cpu"),
            precision="fp32", batch_size=8,
        )  # fmt: skip
        found[name] = 8 * rate(lambda forward=forward: forward(images))
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(1000, 128)).astype(np.float32)
    labels = (vectors[:, 0] + generator.normal(size=1000) > 0).astype(int)
    found["xgboost"] = rate(lambda: XGBClassifier(n_estimators=50, max_depth=4).fit(vectors, labels))
    found["HistGradientBoosting"] = rate(lambda: HistGradientBoostingClassifier(max_iter=20).fit(vectors, labels))
    print(json.dumps(found))


def rate(run):
    run()
    began, times = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        run()
        times += 1
    return times / (time.perf_counter() - began)


def reading(count):
    environment = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"}
    environment |= {} if count == "not set" else {"GOMP_SPINCOUNT": count}
    done = subprocess.run(
        [sys.executable, __file__], env=environment, check=True, capture_output=True, text=True
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def test_measure():
    found = {beside: {count: [] for count in COUNTS} for beside in BESIDE}
    for _ in range(ROUNDS):
        for count in COUNTS:
            for beside, loops in BESIDE.items():
                with busy_loops(loops):
                    found[beside][count].append(reading(count))
    of_several = {"nothing": max, "two busy loops": statistics.median}
    rates_of = {
        beside: {
            count: {what: round(of_several[beside](one[what] for one in several), 2) for what in several[0]}
            for count, several in counts.items()
        }
        for beside, counts in found.items()
    }
    machine.keep("waiting", {"rounds": ROUNDS, "a second": rates_of, "of each round": found})


if __name__ == "__main__":
    rates()
