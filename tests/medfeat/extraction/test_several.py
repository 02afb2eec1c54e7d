"""Several processes make one store: the same bits as one, a process lost costs its part only, and none is left."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from medfeat.errors import ProcessesLostError
from medfeat.extraction.loop.several.shares import batches_a_part, dealt, pieces_of
from medfeat.types import SilentProgress
from several_arena import Pictures, contents, make

ROOT = Path(__file__).parents[3]
DATA = Pictures({"train": 101, "val": 30}, (3, 17))


@pytest.fixture(autouse=True)
def paths(monkeypatch):
    """Let processes find this code and that of the tests, as a runner of tests finds it."""
    here = [str(ROOT / name) for name in ("tests", "cli", "cache", "")]
    monkeypatch.setattr(sys, "path", [*here, *sys.path])


def equal(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    make(root, DATA, 1)
    return contents(root)


@pytest.mark.parametrize("count", [2, 3])
def test_the_store_is_that_of_one_process(tmp_path, whole, count):
    make(tmp_path, DATA, count)
    assert equal(contents(tmp_path), whole)
    assert not list(tmp_path.glob("*/*/.*"))


def test_pieces_are_whole_batches_and_hold_every_row_once():
    missing = {"train": np.setdiff1d(np.arange(50), [4, 9]), "val": np.arange(7)}
    pieces = pieces_of(missing, 8)
    assert [len(one.rows) for one in pieces] == [8] * 6 + [7]
    shares = dealt(pieces, 3)
    assert sorted(len(share) for share in shares) == [2, 2, 3]
    for group, rows in missing.items():
        found = np.concatenate([one.rows for share in shares for one in share if one.group == group])
        assert np.array_equal(np.sort(found), rows)
    assert batches_a_part(1000, 2, 64) == 64 and batches_a_part(3, 2, 64) == 1


class KillsOne(SilentProgress):
    """Kills one of the processes, or all, as soon as images come back."""

    def __init__(self, most):
        super().__init__()
        self.most = most

    def advance(self, count):
        for child in psutil.Process().children()[: self.most]:
            child.kill()
        object.__setattr__(self, "most", 0)

    def __setattr__(self, name, value):
        object.__setattr__(self, name, value)


def test_a_process_lost_costs_its_part_only(tmp_path, whole, monkeypatch):
    monkeypatch.setenv("ARITHMETIC_SECONDS", "0.02")
    said = make(tmp_path, DATA, 3, progress=KillsOne(1))
    assert len(said) == 1 and "killed by SIGKILL" in said[0] and "go to the others" in said[0]
    assert equal(contents(tmp_path), whole)


def test_with_all_lost_one_line_says_so_and_the_same_command_goes_on(tmp_path, whole, monkeypatch):
    monkeypatch.setenv("ARITHMETIC_SECONDS", "0.02")
    with pytest.raises(ProcessesLostError, match=r"^the process for cpu was lost .* run the same command again[^\n]*$"):
        make(tmp_path, DATA, 2, progress=KillsOne(2))
    assert not psutil.Process().children()
    make(tmp_path, DATA, 2)
    assert equal(contents(tmp_path), whole)


def kill_at_random(root, chance, images):
    """Begin an extraction by two processes and kill it, or one of its processes; return who it was, if it was hit."""
    paths = [str(ROOT / name) for name in ("tests", "cli", "cache", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "ARITHMETIC_SECONDS": "0.05"}
    command = [sys.executable, str(ROOT / "tests" / "several_arena.py"), str(root), "2", str(images)]
    first = psutil.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while first.poll() is None and len(first.children()) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    others = first.children() if first.poll() is None else []
    time.sleep(chance.uniform(0, 2))
    victim = chance.choice(["first", "other"])
    hit = (first if victim == "first" else chance.choice(others)) if others else None
    died = hit is not None and hit.is_running() and first.poll() is None
    if died:
        hit.send_signal(signal.SIGKILL)
    first.wait(120)
    _, left = psutil.wait_procs(others, timeout=10)
    assert not left, "processes live on after the one that began them"
    return victim if died else None


def kill_many(folder, kills, seed, images=101):
    """Kill so often, each round to its end; return how often whom."""
    chance, hits, rounds = random.Random(seed), {"first": 0, "other": 0}, 0
    data = Pictures({"train": images, "val": 30}, (3, 17))
    make(folder / "whole", data, 1)
    whole = contents(folder / "whole")
    while sum(hits.values()) < kills:
        root = folder / f"round{rounds}"
        for _ in range(chance.randint(1, 4)):
            victim = kill_at_random(root, chance, images)
            if victim is not None:
                hits[victim] += 1
        make(root, data, 1 if rounds % 2 else 2)
        assert equal(contents(root), whole), f"round {rounds} is not equal to the uninterrupted store"
        assert not list(root.glob("*/*/.*")), "something is left behind"
        rounds += 1
    return {**hits, "rounds": rounds}


def test_two_kills_at_random_moments(tmp_path):
    assert sum(kill_many(tmp_path, 2, seed=20261127).values()) >= 3


@pytest.mark.slow
def test_twenty_kills_at_random_moments(tmp_path):
    import machine

    found = kill_many(tmp_path, 20, seed=20261128)
    assert min(found["first"], found["other"]) >= 5
    text = json.dumps({"machine": machine.describe(), **found}, indent=1)
    (machine.RESULTS / "soak_several_kills.json").write_text(text + "\n")
