"""2,000 stratified resamples of the official AUC against the loop they replace, and a whole probe of a large store.

As an ordinary test it is small. ``MEDFEAT_BENCH=1`` measures 47,280 x 8 scores (the size of TissueMNIST's test set) and
a probe of 12,000 x 2,048 features with selection, intervals and files; it writes ``benchmarks/results/bootstrap.json``.
"""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path

import numpy as np

from medfeat.cost import usable_cores
from medfeat.evaluation.measures import official_scores as metrics
from medfeat.evaluation.measures.bootstrap import bootstrap, resample_weights, strata_of
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.measures.statistics import mean_auc, statistics
from medfeat.workflows.probe import probe
from medfeat_cache import GroupSpec, StoreWriter, recipe_digest, store_path

FULL = os.environ.get("MEDFEAT_BENCH") == "1"
RESULTS = Path(__file__).parent / "results" / "bootstrap.json"
N, RESAMPLES = (47_280, 2_000) if FULL else (2_000, 50)
TRAIN, REST, DIM = (12_000, 2_000, 2_048) if FULL else (300, 100, 32)
CLASSES = 8
NAIVE = 5  # resamples of the loop that are timed; the rest is extrapolated


def scores_of(n, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, CLASSES, n)
    scores = rng.random((n, CLASSES)) + 0.4 * (y[:, None] == np.arange(CLASSES))
    return y[:, None], scores / scores.sum(axis=1, keepdims=True)


def test_the_array_bootstrap_equals_the_loop_and_is_far_faster():
    y, scores = scores_of(N)
    strata = strata_of(y, "multi-class")
    auc = {"auc": mean_auc(LabelledScores.of(y, scores, "multi-class").one_vs_rest)}
    start = time.perf_counter()
    draws = bootstrap(auc, strata, resamples=RESAMPLES)["auc"]
    seconds = time.perf_counter() - start

    weights = next(resample_weights(strata, resamples=RESAMPLES)).astype(int)
    start = time.perf_counter()
    for b in range(NAIVE):
        taken = np.repeat(np.arange(N), weights[:, b])
        assert abs(draws[b] - metrics.auc(LabelledScores.of(y[taken], scores[taken], "multi-class"))) < 1e-12
    naive = (time.perf_counter() - start) / NAIVE * RESAMPLES

    start = time.perf_counter()
    bootstrap(statistics(LabelledScores.of(y, scores, "multi-class")), strata, resamples=RESAMPLES)
    everything = time.perf_counter() - start
    keep(
        "bootstrap",
        {
            "samples": N, "classes": CLASSES, "resamples": RESAMPLES, "auc_seconds": round(seconds, 2),
            "loop_seconds_extrapolated": round(naive, 1), "all_metrics_seconds": round(everything, 2),
        },
    )  # fmt: skip
    if FULL:
        assert seconds < 20


def test_a_probe_of_a_large_store_is_quick_and_its_repetition_instant(tmp_path):
    write_store(tmp_path)
    start = time.perf_counter()
    report = probe(cache_dir=tmp_path, resamples=2000 if FULL else 50)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    assert probe(cache_dir=tmp_path, resamples=2000 if FULL else 50).reused == 1
    again = time.perf_counter() - start
    fit = report.runs[0].costs["probe"]["seconds"]
    keep(
        "probe",
        {
            "train": TRAIN,
            "dim": DIM,
            "seconds": round(seconds, 2),
            "of_that_fit": fit,
            "again_seconds": round(again, 3),
        },
    )
    if FULL:
        assert seconds < 60


def write_store(root):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CLASSES, DIM)) * 0.06
    counts = {"train": TRAIN, "val": REST, "test": 2 * REST}
    recipe = {"dataset": "bench", "backbone": "bench", "size": 28, "input_size": 224, "fit": "whole", "pool": "avg"}
    info = {
        "dataset": {"name": "bench", "task": "multi-class", "classes": list("abcdefgh"), "counts": counts},
        "backbone": {},
    }
    path = store_path(root, "bench", "bench", recipe_digest(recipe))
    with StoreWriter.open(path, recipe=recipe, info=info, settings={}) as writer:
        labels = {group: rng.integers(0, CLASSES, (n, 1)) for group, n in counts.items()}
        ids = {group: np.array([f"{group}/{i}" for i in range(n)]) for group, n in counts.items()}
        writer.groups({group: GroupSpec(ids[group], labels[group]) for group in counts})
        for group, n in counts.items():
            X = np.maximum(centres[labels[group][:, 0]] + rng.normal(size=(n, DIM)) + 0.5, 0).astype(np.float32)
            writer.write_rows(group, np.arange(n), X, np.zeros((n, 16), np.uint8))
        writer.publish({})


def keep(name, facts):
    """Add one measurement to the results, beside the others."""
    if not FULL:
        return
    known = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    known["machine"] = {"processor": platform.processor() or platform.machine(), "cores": usable_cores()}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(known | {name: facts}, indent=1) + "\n")
