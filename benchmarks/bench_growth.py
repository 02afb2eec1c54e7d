"""What much of everything costs: thousands of stores, thousands of runs; processor seconds and peak memory of each.

An ordinary quick test at small sizes. With MEDFEAT_BENCH=1 it takes the full ones and keeps the figures in `results`:
`MEDFEAT_BENCH=1 python -m pytest benchmarks/bench_growth.py -s --timeout=0`. Each command is a process of its own.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time

import numpy as np

from machine import MEASURING, RESULTS, describe, keep

STORES, RUNS = (2_000, 5_000) if MEASURING else (40, 60)
AUDITED = (100_000, 2_048) if MEASURING else (400, 16)
SEARCHED = (1_000_000, 512) if MEASURING else (400, 16)
BOOSTED, BUDGET = ((20_000, 784), 60) if MEASURING else ((400, 16), 1)
CLASSES = 8


def measured(*command):
    """Run `medfeat` and return what it printed, with its processor seconds, seconds and peak memory."""
    return child([sys.executable, "-m", "medfeat", *map(str, command)])


def child(command):
    """Run a command and return what it printed, with its processor seconds, seconds and peak memory."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    # A process between, so that the peak is this command's and not the largest so far.
    code = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], capture_output=True, text=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); print(done.stderr, file=sys.stderr);"
        "print(done.stdout); sys.exit(done.returncode)"
    )
    # Compiled code is kept, as where medfeat is installed, whatever the caller's environment says.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=False, env=kept)
    assert done.returncode == 0, done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak, _, printed = done.stdout.partition("\n")
    return printed, {
        "processor_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "seconds": time.perf_counter() - start,
        "peak_mib": int(peak) / 1024,
        "load": os.getloadavg()[0],
    }


def write_store(root, recipe, labels, dim, *, info=None, seed=0):
    """Write a store of planted classes, block by block."""
    from medfeat_cache import GroupSpec, StoreWriter, recipe_digest, store_path

    rng, centres = np.random.default_rng(seed), np.random.default_rng(1).normal(0, 0.5, (CLASSES, dim))
    place = store_path(root, recipe["dataset"], recipe["backbone"], recipe_digest(recipe))
    with StoreWriter.open(place, recipe=recipe, info=info or {}, settings={}) as writer:
        writer.groups({
            name: GroupSpec(np.array([f"{name}/{i}" for i in range(len(y))]), y[:, None]) for name, y in labels.items()
        })  # fmt: skip
        for name, y in labels.items():
            for start in range(0, len(y), 8192):
                rows = np.arange(start, min(start + 8192, len(y)))
                X = (centres[y[rows]] + rng.normal(size=(len(rows), dim))).astype(np.float32)
                writer.write_rows(name, rows, X, rng.integers(0, 256, (len(rows), 16), dtype=np.uint8))
        return writer.publish({})


def recipe_of(dataset, backbone, **more):
    return {"dataset": dataset, "backbone": backbone, "size": 28, "input_size": 224, "pool": "avg", "fit": "whole",
            "precision": "fp32", "fingerprint": "made-up", **more}  # fmt: skip


def made_up_info(dataset):
    classes = list("abcdefgh")
    return {"dataset": {"name": dataset, "task": "multi-class", "classes": classes, "size": 28, "citation": "x" * 1500}}


def published_labels(n):
    parts = {"train": n * 7 // 10, "val": n // 10, "test": n * 2 // 10}
    return {name: np.arange(count) % CLASSES for name, count in parts.items()}


def note(name, facts):
    """Keep one measurement beside the others of this file, each with its machine, and with what it was before."""
    path = RESULTS / "growth.json"
    known = json.loads(path.read_text()) if MEASURING and path.exists() else {}
    machine = known.pop("machine", None)
    rows = {key: {"machine": machine} | row for key, row in known.items()}
    before = {key: value for key, value in rows.get(name, {}).items() if key == "before"}
    keep("growth", rows | {name: {"machine": describe()} | facts | before})


def test_many_stores_are_listed(tmp_path):
    for i in range(STORES):
        recipe = recipe_of(f"set{i % 20:02d}", f"network{i // 20 % 50:02d}", number=i)
        write_store(tmp_path, recipe, {"train": np.arange(4)}, 4, info=made_up_info(recipe["dataset"]))
    time.sleep(2.1)  # younger files are not remembered
    measured("cache", "ls", "--cache-dir", tmp_path / "empty")  # what is imported is compiled once
    first, cost = measured("cache", "ls", "--cache-dir", tmp_path)
    again, known = measured("cache", "ls", "--cache-dir", tmp_path)
    # and nothing of notes below the table
    assert again == first and sum("\t" in line for line in first.splitlines()) == STORES + 1
    note("cache_ls", {"stores": STORES, "first": cost, "again": known})


def many_runs(folder):
    """Probe one store, and copy its runs under the names of all published sets and many backbones."""
    from medfeat.evaluation.compare import published
    from medfeat.workflows.probe import probe

    write_store(folder / "seed", recipe_of("bloodmnist", "network"), published_labels(400), 32,
                info=made_up_info("bloodmnist"))  # fmt: skip
    probe("bloodmnist", head="linear,knn", cache_dir=folder / "seed", resamples=100)
    runs = [json.loads(path.read_text()) for path in (folder / "seed" / "runs").glob("*/*/run.json")]
    names = published.datasets()
    for i in range(RUNS):
        facts = dict(runs[i % len(runs)])
        facts |= {"dataset": names[i % len(names)], "backbone": f"network{i // len(names) % 140:03d}"}
        facts |= {"key": f"{i:012x}{facts['key'][12:]}", "store": {**facts["store"], "digest": f"{i:064x}"}}
        place = folder / "cache" / "runs" / facts["dataset"] / facts["key"][:12]
        place.mkdir(parents=True)
        (place / "run.json").write_text(json.dumps(facts, indent=1))
    return folder / "cache"


def test_many_runs_are_compared(tmp_path):
    root = many_runs(tmp_path)
    printed, cost = measured("compare", "--cache-dir", root)
    assert printed.count("ours: network") == RUNS
    note("compare", {"runs": RUNS, **cost})


def test_a_large_store_is_audited(tmp_path):
    n, dim = AUDITED
    write_store(tmp_path, recipe_of("set00", "network"), published_labels(n), dim, info=made_up_info("set00"))
    asked = ("--data", "set00", "--backbone", "network", "--threshold", "0.95")
    printed, cost = measured("audit", *asked, "--cache-dir", tmp_path)
    assert "without duplicates" in printed or "likely label errors" in printed
    note("audit", {"rows": n, "dim": dim, **cost})


def test_a_million_rows_are_searched_and_voted_on(tmp_path):
    n, dim = SEARCHED
    labels = {"train": np.arange(n) % CLASSES, "val": np.arange(500) % CLASSES, "test": np.arange(500) % CLASSES}
    write_store(tmp_path, recipe_of("set00", "network"), labels, dim, info=made_up_info("set00"))
    asked = ("--data", "set00", "--backbone", "network", "--cache-dir", tmp_path)
    hits, cost = measured("search", *asked, "--id", "val/3", "-k", "5")
    assert len(hits.strip().splitlines()) == 7
    _, voted = measured("probe", *asked, "--head", "knn", "--resamples", "20")
    note("knn_and_search", {"rows": n, "dim": dim, "search": cost, "knn": voted})


def test_boosting_keeps_its_budget(tmp_path):
    n, dim = BOOSTED
    write_store(tmp_path, recipe_of("set00", "network"), published_labels(n), dim, info=made_up_info("set00"))
    asked = ("--data", "set00", "--backbone", "network", "--cache-dir", tmp_path, "--head", "xgboost")
    _, cost = measured("probe", *asked, "--budget", BUDGET, "--resamples", "20")
    note("boosting", {"rows": n, "dim": dim, "budget": BUDGET, **cost})
