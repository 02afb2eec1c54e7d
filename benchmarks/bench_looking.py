"""How long, how much memory and how large a page `explore` takes for many images, and how soon a browser shows it.

An ordinary quick test. With MEDFEAT_BENCH=1 it has 17,092 images of 28 px with a store of 2,048 numbers each, then
100,000, and keeps the figures in `results`: `MEDFEAT_BENCH=1 python -m pytest benchmarks/bench_looking.py -s`.
Other work on the machine counts too: seconds of the processor and the load stand beside the seconds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from machine import MEASURING, keep

SIZES = (17_092, 100_000) if MEASURING else (120,)
DIM = 2_048 if MEASURING else 32

# In a process of its own, so that time and peak memory are its own.
EXPLORE = """
import json, os, sys, time
start, before = time.perf_counter(), os.times()
from medfeat import explore
data, cache, out = sys.argv[1:4]
report = explore(data, cache_dir=cache, out=out)
after = os.times()
print(json.dumps({
    "seconds": time.perf_counter() - start,
    "processor_seconds": after.user + after.system - before.user - before.system,
    "peak_mib": next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")),
    "looked_at": report.looked_at,
}))
"""


def many_images(n):
    """Draw images like those of `synthetic`: its own, each again in another light and turned."""
    from medfeat.datasets import open_dataset

    dataset, rng = open_dataset("synthetic"), np.random.default_rng(0)
    drawn = np.concatenate([np.stack(batch.images) for batch in dataset.batches("train", 256)])
    labels = dataset.labels("train")
    pick, light = rng.integers(0, len(drawn), n), rng.normal(0, 8, (n, 1, 1, 1))
    images = np.clip(drawn[pick] + light + rng.normal(0, 3, (n, *drawn.shape[1:])), 0, 255).astype(np.uint8)
    images[::2] = images[::2, ::-1]
    return images, labels[pick]


def make(folder, n):
    """Write an npz of `n` images and a store of them; return where the npz is."""
    from medfeat.datasets import image_hash, open_dataset
    from medfeat_cache import GroupSpec, StoreWriter, recipe_digest, store_path

    images, labels = many_images(n)
    parts = {"train": slice(0, n * 7 // 10), "val": slice(n * 7 // 10, n * 8 // 10), "test": slice(n * 8 // 10, n)}
    path = folder / "many.npz"
    np.savez(path, **{f"{name}_images": images[part] for name, part in parts.items()},
             **{f"{name}_labels": labels[part] for name, part in parts.items()})  # fmt: skip
    dataset = open_dataset(path)
    recipe = {"dataset": "many", "backbone": "fake", "size": 28, "fingerprint": dataset.info.fingerprint, "dim": DIM}
    centres, rng = np.random.default_rng(1).normal(size=(8, DIM)), np.random.default_rng(2)
    place = store_path(folder / "cache", "many", "fake", recipe_digest(recipe))
    with StoreWriter.open(place, recipe=recipe, info={}, settings={}) as writer:
        writer.groups({name: GroupSpec(dataset.ids(name), labels[part]) for name, part in parts.items()})
        for name, part in parts.items():
            mine, y = images[part], labels[part].reshape(-1)
            for start in range(0, len(mine), 2048):
                rows = np.arange(start, min(start + 2048, len(mine)))
                X = (centres[y[rows]] + rng.normal(0, 2, (len(rows), DIM))).astype(np.float32)
                hashes = np.array([np.frombuffer(image_hash(mine[row]), np.uint8) for row in rows])
                writer.write_rows(name, rows, X, hashes)
        writer.publish({})
    return path


def explored(path, folder, out):
    command = [sys.executable, "-c", EXPLORE, str(path), str(folder / "cache"), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {**json.loads(done.stdout.splitlines()[-1]), "load": os.getloadavg()[0]}


def seconds_until_shown(page):
    """Open a page in Chromium; None where there is none."""
    where = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if where is None:
        return None
    player = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: dev)")
    with player.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=where, args=["--no-sandbox"], timeout=300_000)
        tab = browser.new_page()
        begin = time.perf_counter()
        tab.goto(page.as_uri(), timeout=300_000)
        while not tab.evaluate("() => document.querySelector('.panel canvas')?.dataset.shown > 0"):
            tab.wait_for_timeout(20)
        seconds = time.perf_counter() - begin
        browser.close()
    return seconds


def test_explore_many_images(tmp_path):
    result = {}
    for n in SIZES:
        folder = tmp_path / str(n)
        folder.mkdir()
        path, page = make(folder, n), folder / "page.html"
        first, again = explored(path, folder, page), explored(path, folder, page)
        result[str(n)] = {
            "images": n, "dim": DIM, "first": first, "again": again,
            "page_mb": page.stat().st_size / 1e6, "browser_seconds": seconds_until_shown(page) if MEASURING else None,
        }  # fmt: skip
        assert first["looked_at"] == min(n, 20_000)
        assert again["processor_seconds"] < first["processor_seconds"] or not MEASURING
    keep("looking", result)


def test_explore_memory(tmp_path):
    """Measure memory alone, which other work on the machine does not change as it changes seconds."""
    path = make(tmp_path, SIZES[0])
    first = explored(path, tmp_path, tmp_path / "page.html")
    keep("looking-memory", {"images": SIZES[0], "dim": DIM, **first})
    assert first["peak_mib"] < 1536


# Many runs: real ones of one planted store and each head, copied under the names of other sets and backbones.
REPORT = """
import json, os, sys, time
from pathlib import Path
start, before = time.perf_counter(), os.times()
from medfeat import write_report
made = write_report(out=sys.argv[2], cache_dir=sys.argv[1])
after = os.times()
print(json.dumps({
    "seconds": time.perf_counter() - start,
    "processor_seconds": after.user + after.system - before.user - before.system,
    "peak_mib": next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")),
    "runs": made.runs,
}))
"""
DATASETS, BACKBONES, HEADS, SEEDS = (
    (18, 12, ("linear", "knn"), (0, 1)) if MEASURING else (2, 2, ("linear", "knn"), (0,))
)
TRAIN, VAL, TEST = (300, 100, 500) if MEASURING else (60, 30, 30)


def many_runs(folder):
    """Write runs of every set, backbone and head: one set is probed, and its runs are the others' under other names."""
    from medfeat.evaluation.runs.vouching import vouch
    from medfeat.workflows.probe import probe
    from medfeat_cache import GroupSpec, StoreWriter, recipe_digest, store_path

    root, rng = folder / "cache", np.random.default_rng(0)
    labels = {name: np.arange(n) % 4 for name, n in (("train", TRAIN), ("val", VAL), ("test", TEST))}
    for number in range(BACKBONES):
        recipe = {"dataset": "set00", "backbone": f"network{number:02d}", "size": 28, "input_size": 224, "pool": "avg",
                  "fit": "whole", "precision": "fp32", "fingerprint": "made-up"}  # fmt: skip
        info = {"dataset": {"name": "set00", "task": "multi-class", "classes": list("abcd"), "size": 28}}
        centres = np.random.default_rng(1).normal(size=(4, 32)) * (0.3 + 0.05 * number)
        place = store_path(root, "set00", recipe["backbone"], recipe_digest(recipe))
        with StoreWriter.open(place, recipe=recipe, info=info, settings={}) as writer:
            ids = {name: np.array([f"{name}/{i}" for i in range(len(y))]) for name, y in labels.items()}
            writer.groups({name: GroupSpec(ids[name], y[:, None]) for name, y in labels.items()})
            for name, y in labels.items():
                X = (centres[y] + rng.normal(size=(len(y), 32))).astype(np.float32)
                hashes = rng.integers(0, 256, (len(y), 16), dtype=np.uint8)
                writer.write_rows(name, np.arange(len(y)), X, hashes)
            writer.publish({})
    for seed in SEEDS:
        probe("set00", head=",".join(HEADS), cache_dir=root, resamples=200, seed=seed)
    for number in range(1, DATASETS):
        copy = root / "runs" / f"set{number:02d}"
        shutil.copytree(root / "runs" / "set00", copy)
        for path in copy.glob("*/run.json"):
            facts = json.loads(path.read_text())
            path.write_text(json.dumps(facts | {"dataset": f"set{number:02d}"}))
            vouch(path.parent)
    return root


def test_report_many_runs(tmp_path):
    root, page = many_runs(tmp_path), tmp_path / "report.html"
    done = subprocess.run(
        [sys.executable, "-c", REPORT, str(root), str(page)], capture_output=True, text=True, check=True
    )
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["runs"] == DATASETS * BACKBONES * len(HEADS) * len(SEEDS)
    keep("report", {"datasets": DATASETS, "backbones": BACKBONES, "heads": HEADS, "seeds": SEEDS, "test_samples": TEST,
                    "page_mb": page.stat().st_size / 1e6, "load": os.getloadavg()[0], **facts})  # fmt: skip


def test_maps_are_faithful():
    """State how trustworthy maps are beside those of openTSNE's own defaults, on made-up rows of the two methods."""
    import time

    from openTSNE import TSNE
    from sklearn.manifold import trustworthiness

    from medfeat.evaluation.looking.projection import apart, neighbours, principal, searched, tsne

    def of_rows(X, Z):
        near, far = neighbours(searched(X, Z, unit=True), 90)
        return tsne(Z, near, apart(far, unit=True), dims=2)

    result = {}
    for n in (2_000, 4_000) if MEASURING else (60,):
        centres, rng = np.random.default_rng(1).normal(size=(8, DIM)), np.random.default_rng(0)
        X = (centres[rng.integers(0, 8, n)] + rng.normal(0, 2, (n, DIM))).astype(np.float32)
        unit = X / np.linalg.norm(X, axis=1, keepdims=True)
        Z, seconds, maps = principal(X, unit=True).of(X), {}, {}
        for name in ("medfeat", "openTSNE"):
            start = time.process_time()
            maps[name] = of_rows(X, Z) if name == "medfeat" else TSNE(random_state=0, n_jobs=1).fit(unit)
            seconds[name] = time.process_time() - start
        score = {name: trustworthiness(X, np.asarray(Y), n_neighbors=15, metric="cosine") for name, Y in maps.items()}
        result[str(n)] = {"rows": n, "dim": DIM, "trustworthiness": score, "processor_seconds": seconds}
    keep("faithful", result)
