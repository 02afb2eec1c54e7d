"""Whether the simulation of many GPUs tells the truth: its closed forms, and real processes of which one is killed.

An ordinary quick test of the closed forms. With MEDFEAT_BENCH=1 it also measures one process alone on a few minutes of
work, foretells how long two processes take of which one is killed in the middle, lets them, and keeps both in
`results/scale.json`: `MEDFEAT_BENCH=1 python -m pytest benchmarks/bench_scale.py -s --timeout=0`. In the place of a GPU
the network of these processes waits, as a processor does while a GPU computes: what else runs disturbs that least.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from bench_growth import child, measured
from machine import MEASURING, RESULTS, describe, keep
from simulate_scale import Cluster, Pace, Work, arrivals, fair_shares, kills, simulate, slow_spells

measuring = pytest.mark.skipif(not MEASURING, reason="real processes: measured with MEDFEAT_BENCH=1")
WITHIN = 1.5
"""Times by which real processes may be faster or slower than foretold."""
PARTS, IMAGES, SECOND_AFTER_S, NAP_S = 6, 10_000, 5.0, 0.002
IDS = 1_000_000
MANY = (50, 200)
HEAD = 'head = "majority"\nresamples = 0\n'  # a study has heads, and this one takes no time


def together(workers):
    return Cluster(arrivals=(0.0,) * workers)


def test_without_limits_or_kills_it_takes_images_over_workers_times_rate():
    found = simulate(Work((1000,) * 40), Pace(50.0), together(8))
    assert found.seconds == pytest.approx(40_000 / (8 * 50.0))
    assert found.efficiency == pytest.approx(1.0) and found.bound_by == "computing"


def test_start_and_parts_take_what_is_said_and_nobody_waits_without_a_reason():
    found = simulate(Work((1000,) * 40), Pace(50.0, start_s=30.0, part_s=5.0), together(8))
    assert found.seconds == pytest.approx(30.0 + 5 * (5.0 + 20.0))
    assert found.spent == pytest.approx(
        {"starting": 240.0, "opening": 200.0, "computing": 800.0, "file system": 0.0, "merging": 0.0, "lost": 0.0,
         "waiting": 0.0}
    )  # fmt: skip


def test_bound_by_the_file_system_it_takes_bytes_over_bandwidth():
    found = simulate(
        Work((1000,) * 40, image_bytes=900.0, row_bytes=100.0), Pace(50.0, merge_bytes_per_second=1e6),
        Cluster((0.0,) * 8, bandwidth=5e3),
    )  # fmt: skip
    moved = 40_000 * 1000.0 + 4 * 40_000 * 100.0
    assert found.read_bytes + found.written_bytes == pytest.approx(moved)
    assert found.seconds == pytest.approx(moved / 5e3)
    assert found.bound_by == "file system"


def test_files_are_digested_before_their_part_begins_and_once():
    pace, work = Pace(50.0, check_bytes_per_second=1e4), Work((1000,) * 2, opened_bytes=100.0, chunk=100)
    found = simulate(work, pace, Cluster((0.0,)))
    assert found.seconds == pytest.approx(2 * (10.0 + 20.0)) and found.spent["opening"] == pytest.approx(20.0)
    again = simulate(work, pace, Cluster((0.0,), kills=((30.0, 0), (35.0, 0)), back_s=0.0))
    assert again.spent["opening"] == pytest.approx(20.0 + 5.0)  # the second kill comes amid the second part's


def test_a_kill_costs_at_most_the_chunk():
    pace, work = Pace(50.0), Work((10_000,), chunk=400)
    found = simulate(work, pace, Cluster((0.0,), kills=((101.0, 0),), back_s=0.0))
    assert found.images_lost == pytest.approx(5050 % 400)  # 5,050 images in 101 seconds
    assert found.seconds == pytest.approx((10_000 + 5050 % 400) / 50.0)
    for moment in np.linspace(1, 199, 20):
        one = simulate(work, pace, Cluster((0.0,), kills=((float(moment), 0),), back_s=0.0))
        assert 200.0 <= one.seconds < 200.0 + 400 / 50.0


def test_a_part_of_the_dead_goes_to_others_when_its_lock_is_stale():
    work, pace = Work((1000, 1000), chunk=100), Pace(10.0)
    found = simulate(work, pace, Cluster((0.0, 0.0), kills=((50.0, 1),), stale_s=300.0))
    assert found.seconds == pytest.approx(50.0 + 300.0 + 50.0) and found.images_lost == 0
    assert found.spent["waiting"] == pytest.approx(250.0)  # of the other one, from its own end on


def test_who_is_killed_in_a_merge_merges_again():
    work, pace = Work((1000,), row_bytes=10.0), Pace(10.0, merge_bytes_per_second=100.0)
    found = simulate(work, pace, Cluster((0.0,), kills=((150.0, 0),), back_s=0.0))
    assert found.seconds == pytest.approx(150.0 + 100.0)
    assert found.spent["lost"] == pytest.approx(50.0) and found.images_lost == 0


def test_all_killed_and_none_back_is_no_plan():
    with pytest.raises(ValueError, match="no worker is left for 1 parts"):
        simulate(Work((1000,)), Pace(10.0), Cluster((0.0,), kills=((5.0, 0),)))


def test_a_slow_file_system_costs_what_it_does_not_move():
    work, pace = Work((1000,) * 4, image_bytes=100.0), Pace(1e6)
    whole = simulate(work, pace, Cluster((0.0,) * 4, bandwidth=1e3)).seconds
    slow = simulate(work, pace, Cluster((0.0,) * 4, bandwidth=1e3, slow=((50.0, 150.0, 0.25),))).seconds
    assert (whole, slow) == (pytest.approx(400.0), pytest.approx(475.0))


def test_shares_are_fair():
    assert fair_shares(np.array([1.0, 5.0, 5.0]), 7.0).tolist() == [1.0, 3.0, 3.0]
    assert fair_shares(np.array([2.0, 0.0, 9.0]), 6.0).tolist() == [2.0, 0.0, 4.0]
    assert fair_shares(np.array([2.0, 1.0]), math.inf).tolist() == [2.0, 1.0]


def test_every_second_of_every_worker_is_accounted_for_and_a_seed_says_all():
    begun = arrivals(1, 12, 30.0)
    cluster = Cluster(
        begun, bandwidth=2e5, kills=kills(2, 12, 0.2, 3600.0), back_s=60.0, stale_s=120.0,
        slow=slow_spells(3, every_s=300.0, last_s=60.0, share=0.2, until_s=3600.0),
    )  # fmt: skip
    work = Work((2000,) * 50, image_bytes=800.0, row_bytes=200.0, chunk=100)
    pace = Pace(40.0, start_s=10.0, part_s=3.0, merge_bytes_per_second=1e5, check_bytes_per_second=1e6)
    found = simulate(work, pace, cluster)
    assert found == simulate(work, pace, cluster)
    away = found.kills * 60.0
    assert found.worker_seconds == pytest.approx(12 * found.seconds - sum(begun) - away, rel=0.02)
    assert found.kills > 3 and 0 < found.images_lost < 100 * found.kills
    assert found.spent["computing"] == pytest.approx(100_000 / 40.0)  # what was kept, once


def note(name, facts):
    """Keep one measurement beside the others of this file."""
    path = RESULTS / "scale.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    keep("scale", {**{key: value for key, value in known.items() if key != "machine"}, name: facts})


COMMAND = """
import sys, time
from dataclasses import replace
import torch
from medfeat.backbones import BACKBONES
from medfeat_cli.main import run
entry = BACKBONES["stats"]

class Waiting(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = entry.build()
    def forward(self, images):
        time.sleep(len(images) * float(sys.argv[1]))
        return self.inner(images)

BACKBONES.replace("waiting", replace(entry, info=replace(entry.info, name="waiting"), build=Waiting))
sys.exit(run(sys.argv[2:]))
"""


class Desk:
    """A folder of parts, of which processes make stores."""

    def __init__(self, folder, count):
        self.folder = folder
        rng = np.random.default_rng(0)
        for number in range(count):
            images = rng.integers(0, 256, (IMAGES, 28, 28, 3), np.uint8)
            np.savez(folder / f"part{number}.npz", images=images, labels=np.arange(IMAGES) % 2)

    def start(self, count, cache):
        """Start the study over the first parts in a process of its own."""
        study = self.folder / f"of{count}.toml"
        data = [str(self.folder / f"part{number}.npz") for number in range(count)]
        study.write_text(f'data = {json.dumps(data)}\nbackbone = "waiting"\n{HEAD}')
        command = [sys.executable, "-c", COMMAND, str(NAP_S), "study", str(study), "--cache-dir", self.folder / cache]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with (self.folder / "log.txt").open("a") as log:
            return subprocess.Popen(
                [*command, "--out", str(self.folder / f"out-{cache}")], cwd=self.folder, stdout=log, stderr=log,
                env=environment, start_new_session=True,
            )  # fmt: skip

    def alone(self, count, cache):
        """Return the seconds that one process takes, and the headers of the stores it made."""
        begun = time.monotonic()
        assert self.start(count, cache).wait() == 0, (self.folder / "log.txt").read_text()[-2000:]
        return time.monotonic() - begun, self.stores(cache)

    def stores(self, cache):
        from medfeat_cache import find_stores

        return find_stores(self.folder / cache)


def pace_of(desk):
    """Measure one process alone on one part and on three."""
    first, _ = desk.alone(1, "one")
    third, stores = desk.alone(3, "three")
    rates = [header.info["environment"]["images_per_second"] for header in stores]
    rate = 3 / sum(1 / one for one in rates)
    part = (third - first) / 2
    settings = stores[0].info["settings"]
    chunk = settings["batch_size"] * settings["part_batches"]
    return Pace(rate, start_s=max(0.0, first - part), part_s=max(0.0, part - IMAGES / rate)), chunk


@measuring
@pytest.mark.timeout(0)
def test_two_processes_of_which_one_is_killed_take_what_was_foretold(tmp_path):
    desk = Desk(tmp_path, PARTS)
    pace, chunk = pace_of(desk)
    work, begun = Work((IMAGES,) * PARTS, chunk=chunk), (0.0, SECOND_AFTER_S)
    killed = round(simulate(work, pace, Cluster(begun)).seconds / 2, 1)
    foretold = simulate(work, pace, Cluster(begun, kills=((killed, 0),)))
    start = time.monotonic()
    first = desk.start(PARTS, "two")
    time.sleep(SECOND_AFTER_S)
    second = desk.start(PARTS, "two")
    time.sleep(max(0.0, start + killed - time.monotonic()))
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert second.wait() == 0, (tmp_path / "log.txt").read_text()[-2000:]
    took = time.monotonic() - start
    stores = desk.stores("two")
    made = [header.info["environment"]["images"] for header in stores]
    assert len(stores) == PARTS and {sum(header.counts.values()) for header in stores} == {IMAGES}
    note("check", {
        "machine": describe(), "load": os.getloadavg()[0], "within": WITHIN, "parts": PARTS, "images_a_part": IMAGES,
        "one_process_alone": {name: round(value, 3) for name, value in vars(pace).items() if value < 1e29},
        "chunk": chunk, "second_process_after_s": SECOND_AFTER_S, "first_killed_after_s": killed,
        "foretold": {"seconds": round(foretold.seconds, 1), "images_lost": round(foretold.images_lost)},
        "took": {"seconds": round(took, 1), "images_kept_of_the_part_of_the_dead": sum(IMAGES - one for one in made)},
        "took_over_foretold": round(took / foretold.seconds, 3),
    })  # fmt: skip
    assert 1 / WITHIN <= took / foretold.seconds <= WITHIN


DECLARE = """
import sys
from pathlib import Path
from medfeat_cache import GroupSpec, StoreWriter, recipe_digest, store_path
recipe = {"dataset": "many", "backbone": "none"}
path = store_path(Path(sys.argv[1]), "many", "none", recipe_digest(recipe))
ids = [f"all/{row:012d}" for row in range(int(sys.argv[2]))]
with StoreWriter.open(path, recipe=recipe, info={}, settings={}) as writer:
    if ids:
        writer.groups({"all": GroupSpec(ids)})
"""


@measuring
@pytest.mark.timeout(0)
def test_ids_take_memory(tmp_path):
    none, many = (child([sys.executable, "-c", DECLARE, str(tmp_path / str(n)), str(n)])[1] for n in (0, IDS))
    note("ids", {"machine": describe(), "ids": IDS, "processor_seconds": round(many["processor_seconds"], 2),
                 "peak_bytes_an_id": round((many["peak_mib"] - none["peak_mib"]) * 2**20 / IDS)})  # fmt: skip


@measuring
@pytest.mark.timeout(0)
def test_planning_grows_with_parts(tmp_path):
    rows = []
    for count in MANY:
        data, place = [], tmp_path / str(count)
        place.mkdir()
        for number in range(count):
            data.append(str(place / f"part{number}.npz"))
            images = np.random.default_rng(number).integers(0, 256, (20, 28, 28), np.uint8)
            np.savez(data[-1], images=images, labels=np.arange(20) % 2)
        study, cache = place / "many.toml", place / "cache"
        study.write_text(f'data = {json.dumps(data)}\nbackbone = "stats"\n{HEAD}')
        options = ("--cache-dir", cache)
        before = measured("study", study, "--dry-run", *options)[1]
        made = measured("study", study, "--out", place / "out", *options)[1]
        after = measured("study", study, "--dry-run", *options)[1]
        costs = {"planned_empty": before, "made": made, "planned_done": after}
        rows.append({"parts": count, **{name: round(cost["processor_seconds"], 2) for name, cost in costs.items()}})
    for one, other in itertools.pairwise(rows):
        assert other["parts"] > one["parts"]
    note("planning", {"machine": describe(), "processor_seconds": rows})
