"""How cost grows with images, numbers an image, classes and cores: processor seconds and peak memory of each point.

An ordinary quick test at small sizes. With MEDFEAT_BENCH=1 each curve goes on until a point would take ten minutes of
the processor or 12 GiB, by the point before it, and `results/curves.json` keeps every point as it is made:
`MEDFEAT_BENCH=1 python -m pytest benchmarks/bench_curves.py -s --timeout=0`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from bench_growth import child, made_up_info, measured, recipe_of
from machine import MEASURING, RESULTS, keep

ROWS = (1_000, 10_000, 100_000, 1_000_000) if MEASURING else (60, 120)
DIM = 2_048 if MEASURING else 16
DIMS = (128, 512, 2_048, 8_192) if MEASURING else (8, 16)
CLASSES = (2, 8, 64, 256) if MEASURING else (2, 4)
AT_ROWS = 10_000 if MEASURING else 120
QUERIES = 500 if MEASURING else 20
measuring = pytest.mark.skipif(not MEASURING, reason="one of many curves: measured with MEDFEAT_BENCH=1")
SECONDS, MIB, BARE_MIB = 600.0, 12 * 1024.0, 300.0

LOAD = """
import sys, medfeat
X, y, ids = medfeat.load("set00", "network", split="train", cache_dir=sys.argv[1])
print(X.shape)
"""
WRITE = """
import sys
from pathlib import Path
import numpy as np
from bench_curves import fill
fill(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
"""
BOOTSTRAP = """
import sys
import numpy as np
from bench_bootstrap import scores_of
from medfeat.evaluation.measures.bootstrap import bootstrap, strata_of
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.measures.statistics import statistics
y, scores = scores_of(int(sys.argv[1]))
found = statistics(LabelledScores.of(y, scores, "multi-class"))
bootstrap(found, strata_of(y, "multi-class"), resamples=int(sys.argv[2]))
"""
RESAMPLES = 2_000 if MEASURING else 20


def fill(root, rows, dim, classes=8, block=4096):
    """Write a store of `rows` train samples and a few of val and test; one block of numbers is drawn, and shifted."""
    from medfeat_cache import GroupSpec, StoreWriter, recipe_digest, store_path

    recipe, info = recipe_of("set00", "network"), made_up_info("set00")
    info["dataset"]["classes"] = [f"c{number:03}" for number in range(classes)]
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 0.3, (classes, dim)).astype(np.float32)
    drawn = rng.normal(size=(block, dim)).astype(np.float32)
    labels = {name: np.arange(n) % classes for name, n in (("train", rows), ("val", QUERIES), ("test", QUERIES))}
    place = store_path(root, recipe["dataset"], recipe["backbone"], recipe_digest(recipe))
    with StoreWriter.open(place, recipe=recipe, info=info, settings={}) as writer:
        writer.groups({
            name: GroupSpec(np.array([f"{name}/{i}" for i in range(len(y))]), y[:, None]) for name, y in labels.items()
        })  # fmt: skip
        for name, y in labels.items():
            for start in range(0, len(y), block):
                at = np.arange(start, min(start + block, len(y)))
                shift = np.float32(start / 7919 % 1)
                values = np.roll(drawn[: len(at)], start // block % dim, axis=1) * (1 + 0.1 * shift) + centres[y[at]]
                writer.write_rows(name, at, values, rng.integers(0, 256, (len(at), 16), dtype=np.uint8))
        writer.publish({})


def here(name, facts):
    """Keep a curve beside the others."""
    path = RESULTS / "curves.json"
    known = json.loads(path.read_text()) if MEASURING and path.exists() else {}
    keep("curves", {**{key: value for key, value in known.items() if key != "machine"}, name: facts})


def curve(name, axis, sizes, point):
    """Measure points of growing size until one would cost too much; say why it ended."""
    points, end = [], "the largest size that was asked for"
    for size in sizes:
        if points:
            grown, last = size / points[-1][axis], points[-1]
            likely = last["processor_seconds"] * grown, max(0, last["peak_mib"] - BARE_MIB) * grown
            if likely[0] > SECONDS or likely[1] > MIB:
                end = f"{size:,} would take about {likely[0]:.0f} s and {likely[1]:,.0f} MiB, were it linear"
                break
        cost = point(size)
        points.append({axis: size, **{key: float(f"{value:.4g}") for key, value in cost.items()}})
        here(name, {"axis": axis, "points": points, "end": "still being measured"})
        if cost["processor_seconds"] > SECONDS or cost["peak_mib"] > MIB:
            end = f"{size:,} took {cost['processor_seconds']:.0f} s and {cost['peak_mib']:,.0f} MiB: over the limits"
            break
    here(name, {"axis": axis, "points": points, "end": end})
    assert len(points) == len(sizes) or MEASURING
    return points


def script(code, *arguments):
    return child([sys.executable, "-c", code, *map(str, arguments)])


@pytest.fixture
def stores(tmp_path):
    """Stores by rows and numbers, made once each."""
    made = {}

    def of(rows=AT_ROWS, dim=DIM, classes=8):
        key = rows, dim, classes
        if key not in made:
            for old in list(made):  # one at a time is on the disk
                shutil.rmtree(made.pop(old))
            made[key] = tmp_path / "-".join(map(str, key))
            fill(made[key], *key)
        return made[key]

    return of


ASKED = ("--data", "set00", "--backbone", "network")


def probe(root, head):
    return measured("probe", *ASKED, "--cache-dir", root, "--head", head, "--resamples", "100")[1]


def search(root):
    return measured("search", *ASKED, "--cache-dir", root, "--id", "val/3")[1]


def audit(root):
    return measured("audit", *ASKED, "--cache-dir", root, "--threshold", "0.95")[1]


def load(root):
    return script(LOAD, root)[1]


def verify(root):
    return measured("cache", "verify", "--cache-dir", root)[1]


BY_ROWS = {
    "read": load,
    "verify": verify,
    "search": search,
    "kNN": lambda root: probe(root, "knn"),
    "linear": lambda root: probe(root, "linear"),
    "audit": audit,
}


@pytest.fixture(autouse=True)
def children_find_what_is_here(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)]))


def test_writing_grows_with_rows(tmp_path):
    def point(rows):
        cost = script(WRITE, tmp_path / "written", rows, DIM)[1]
        shutil.rmtree(tmp_path / "written")
        return cost

    curve("write", "rows", ROWS, point)


@pytest.mark.parametrize("name", BY_ROWS if MEASURING else ["search"])
def test_reading_and_heads_grow_with_rows(stores, name):
    curve(name, "rows", ROWS, lambda rows: BY_ROWS[name](stores(rows)))


@measuring
@pytest.mark.parametrize("head", ["linear", "knn"])
def test_heads_grow_with_numbers_and_classes(stores, head):
    curve(f"{head} by numbers an image", "dim", DIMS, lambda dim: probe(stores(dim=dim), head))
    curve(f"{head} by classes", "classes", CLASSES, lambda classes: probe(stores(classes=classes), head))


@measuring
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be set aside here")
@pytest.mark.parametrize("name", ["linear", "kNN", "audit"])
def test_several_cores_pay(stores, name):
    root, there = stores(), sorted(os.sched_getaffinity(0))

    def point(cores):
        os.sched_setaffinity(0, there[:cores])
        shutil.rmtree(root / "runs", ignore_errors=True)  # a run that is there would be read, not made again
        try:
            return BY_ROWS[name](root)
        finally:
            os.sched_setaffinity(0, there)

    curve(f"{name} by cores", "cores", [count for count in (1, 2, 4, 8, 16) if count <= len(there)], point)


def images(folder, count, side=28):
    """An npz in MedMNIST's form."""
    rng, path = np.random.default_rng(0), folder / f"made{count}.npz"
    coarse = rng.integers(0, 256, (count, 4, 4, 3), np.uint8).repeat(side // 4, axis=1).repeat(side // 4, axis=2)
    first, second = int(0.7 * count), int(0.8 * count)
    parts = {"train": coarse[:first], "val": coarse[first:second], "test": coarse[second:]}
    labels = {f"{name}_labels": (np.arange(len(part)) % 2)[:, None] for name, part in parts.items()}
    np.savez_compressed(path, **{f"{name}_images": part for name, part in parts.items()}, **labels)
    return path


@measuring
@pytest.mark.parametrize(("network", "most"), [("pixels", 1_000_000), ("squeezenet1_1", 10_000)])
def test_extraction_grows_with_images(tmp_path, network, most):
    def point(count):
        options = ("--weights", "random", "--precision", "fp32", "--no-compile") if network != "pixels" else ()
        asked = ("--data", images(tmp_path, count), "--backbone", network, "--cache-dir", tmp_path / f"of{count}")
        cost = measured("extract", *asked, *options)[1]
        shutil.rmtree(tmp_path / f"of{count}")
        return cost

    curve(f"extract {network}", "images", [count for count in ROWS if count <= most], point)


@measuring
def test_exploring_grows_with_images(tmp_path):
    def point(count):
        data, cache = images(tmp_path, count), tmp_path / f"of{count}"
        measured("extract", "--data", data, "--backbone", "stats", "--cache-dir", cache)
        return measured("explore", "--data", data, "--cache-dir", cache, "--out", tmp_path / "look.html")[1]

    curve("explore", "images", [count for count in ROWS if count <= 100_000], point)


def test_resampling_grows_with_samples():
    curve("bootstrap", "samples", ROWS, lambda count: script(BOOTSTRAP, count, RESAMPLES)[1])
