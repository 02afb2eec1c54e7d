"""Any number of processes share a study, one that is killed loses nothing, and a folder tells what is reproduced."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from medfeat.evaluation.runs.leftovers import collect_leftovers
from medfeat.workflows.study import study, verify_study
from medfeat.workflows.studying.slurm import script
from medfeat_cache.lock import Lock
from whole import wrong_in

SHARED = """
data = ["synthetic-binary", "synthetic-ordinal"]
backbone = ["stats", "pixels"]
head = ["majority", "prototypes", "knn"]
resamples = 20
"""
CELLS = 16


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shared.toml").write_text(SHARED)
    return tmp_path


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder that one process writes, which nobody disturbs."""
    desk = tmp_path_factory.mktemp("alone")
    (desk / "shared.toml").write_text(SHARED)
    return study(desk / "shared.toml", out=desk / "out", cache_dir=desk / "cache").out


def start(desk, *more, out="out"):
    """Start the command in a process of its own, at whose head it stands."""
    command = [sys.executable, "-m", "medfeat", "study", "shared.toml", "--cache-dir", "cache", "--out", out, *more]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with (desk / "log.txt").open("a") as log:
        return subprocess.Popen(
            command, cwd=desk, stdout=subprocess.PIPE, stderr=log, env=environment, start_new_session=True, text=True
        )


def equal(alone, cache):
    """Tell whether a cache holds bit for bit what one process made."""
    report = verify_study(alone, cache_dir=cache)
    assert [one for one in report.cells if one.verdict != "equal"] == []
    return len(report.cells) == CELLS


def test_processes_of_one_command_give_what_one_process_gives(desk, alone):
    report = study("shared.toml", jobs=2, cache_dir="cache")
    assert (report.made, report.failed, report.left) == (CELLS, (), 0)
    assert equal(alone, "cache") and list((desk / "cache/.study").glob("*.lock")) == []


def test_two_commands_started_by_hand_share_the_work(desk, alone):
    both = [start(desk, "--json", out=f"out{i}") for i in range(2)]
    said = [json.loads(one.communicate(timeout=280)[0]) for one in both]
    assert [one.returncode for one in both] == [0, 0], (desk / "log.txt").read_text()
    assert sum(one["made"] for one in said) == CELLS  # each cell by one of them
    assert equal(alone, "cache")


@pytest.mark.slow
def test_the_cell_of_a_killed_worker_is_taken_over(desk, alone):
    command = start(desk, "--jobs", "2", "--json")
    killed = False
    until = time.monotonic() + 250
    while command.poll() is None and not killed and time.monotonic() < until:
        holders = [json.loads(text) for path in (desk / "cache/.study").glob("*.lock") if (text := read(path))]
        for one in holders[:1]:
            with suppress(ProcessLookupError):
                os.kill(one["pid"], signal.SIGKILL)
                killed = True
        time.sleep(0.02)
    said = json.loads(command.communicate(timeout=280)[0])
    assert killed and command.returncode == 0, (desk / "log.txt").read_text()
    assert said["missing"] == 0 and "ended from outside" in (desk / "log.txt").read_text()
    assert equal(alone, "cache")


def read(path):
    with suppress(OSError):
        return path.read_text()
    return ""


@pytest.mark.slow
def test_a_cell_that_ends_its_process_each_time_is_named_and_the_others_are_made(desk, monkeypatch):
    (desk / "deadly.py").write_text(
        "import os, signal\n"
        "def deadly():\n    '''Ends the process.'''\n    return Deadly()\n"
        "class Deadly:\n    name = 'deadly'\n    trusted = ()\n"
        "    def candidates(self, *given, **named):\n        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    info = desk / "deadly-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: deadly\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[medfeat.heads]\ndeadly = deadly:deadly\n")
    monkeypatch.syspath_prepend(str(desk))
    (desk / "shared.toml").write_text(SHARED.replace('"knn"', '"deadly"').replace('"pixels"', '"stats"'))
    command = start(desk, "--jobs", "2", "--json")
    said = json.loads(command.communicate(timeout=280)[0])
    assert command.returncode == 1, (desk / "log.txt").read_text()
    assert [one["what"].split(" / ")[2] for one in said["failed"]] == ["deadly", "deadly"]
    assert "ended from outside, alone in it" in said["failed"][0]["error"]
    assert [one["state"] for one in said["cells"]].count("done") == 6


def kill_and_go_on(desk, alone, kills):
    """Kill the command so many times on its way through one study, then let it end."""
    chance, killed, seconds = random.Random(16), 0, 8.0
    while killed < kills:
        command, begun = start(desk), time.monotonic()
        # any moment from the start of Python on; where it got through before, from the first cell again
        with suppress(subprocess.TimeoutExpired):
            command.wait(timeout=chance.uniform(0.5, 1) * seconds)
        if command.poll() is not None:
            command.communicate()
            seconds = max((time.monotonic() - begun) * 0.7, 2.0)
            shutil.rmtree(desk / "cache")
            continue
        os.killpg(command.pid, signal.SIGKILL)
        command.communicate()
        killed += 1
        assert wrong_in(desk / "cache") == []
    command = start(desk, "--json")
    said = json.loads(command.communicate(timeout=600)[0])
    assert command.returncode == 0 and said["missing"] == 0
    assert equal(alone, desk / "cache")
    assert verify_study(desk / "out", cache_dir=desk / "cache").reproduced
    return killed


def test_a_study_survives_kills(desk, alone):
    assert kill_and_go_on(desk, alone, 2) == 2


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_a_study_survives_ten_kills(desk, alone):
    assert kill_and_go_on(desk, alone, 10) == 10


SBATCH = """#!/usr/bin/env bash
# Runs the tasks of an array here, all at once, as sbatch would.
set -euo pipefail
tasks=$(sed -n 's/^#SBATCH --array=1-//p' "$1")
for task in $(seq "$tasks"); do
    SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$task SLURM_CPUS_PER_TASK=1 bash "$1" > "task-$task.log" 2>&1 &
    jobs[task]=$!
done
for job in "${jobs[@]}"; do wait "$job"; done
"""


def test_an_array_job_gives_what_one_process_gives(desk, alone):
    asked = dict.fromkeys(("data_root", "max_hours", "max_disk")) | {"out": desk / "out", "cache_dir": desk / "cache"}
    (desk / "job.sh").write_text(script("shared.toml", asked, tasks=3) + "\n")
    (desk / "sbatch").write_text(SBATCH)
    for file in ("job.sh", "sbatch"):
        subprocess.run(["bash", "-n", file], cwd=desk, check=True)
        if shutil.which("shellcheck"):
            subprocess.run(["shellcheck", file], cwd=desk, check=True)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run(["bash", "sbatch", "job.sh"], cwd=desk, check=True, env=environment)
    made = [int(path.read_text().partition("made ")[2].split()[0]) for path in desk.glob("task-*.log")]
    assert len(made) == 3 and sum(made) == CELLS
    assert equal(alone, desk / "cache")


def test_a_script_says_what_was_asked_of_it(desk):
    asked = {"cache_dir": None, "device": "cuda", "max_hours": 2.0, "out": None, "offline": True}
    said = script("shared.toml", asked, tasks=8)
    for line in (
        "#SBATCH --array=1-8",
        "#SBATCH --gres=gpu:1",
        "#SBATCH --time=150",
        "#SBATCH --job-name=medfeat-shared",
    ):
        assert line in said.splitlines()
    assert "--max-hours 2.0 --offline" in said and f"study {desk / 'shared.toml'}" in said


@pytest.mark.parametrize(("place", "named"), [(".study", ""), ("tuned/toy", ".unfinished-")])
def test_only_locks_of_the_dead_are_collected(desk, place, named):
    folder = desk / "cache" / place
    folder.mkdir(parents=True)
    held = Lock(folder / f"{named}held.lock").acquire()
    for age_h in (0, 2):  # guards of those who removed a lock: one may be at it, one was killed
        guard = folder / f"{named}{age_h}.lock.break"
        guard.touch()
        os.utime(guard, (time.time() - 3600 * age_h,) * 2)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    facts = json.loads((folder / f"{named}held.lock").read_text())
    (folder / f"{named}dead.lock").write_text(json.dumps(facts | {"pid": dead.pid}))
    gone = [one.path.name for one in collect_leftovers(desk / "cache")]
    assert gone == [f"{named}dead.lock", f"{named}2.lock.break"]
    assert sorted(path.name for path in folder.iterdir()) == [f"{named}0.lock.break", f"{named}held.lock"]
    held.release()


def changed(alone, desk, change):
    """Return a copy of a folder whose manifest was changed."""
    shutil.copytree(alone, desk / "theirs")
    kept = json.loads((desk / "theirs/manifest.json").read_text())
    change(kept["cells"])
    (desk / "theirs/manifest.json").write_text(json.dumps(kept))
    return verify_study(desk / "theirs", cache_dir=alone.parent / "cache")


def test_verify_tells_equal_from_close_from_different(alone, desk):
    def change(cells):
        close, other = [cell for cell in cells if cell["kind"] == "probe"][:2]
        for cell, off in ((close, 0.004), (other, 0.2)):
            cell["figures"][0]["bits"] = "0" * 32
            cell["figures"][0]["figures"]["test auc"] -= off

    report = changed(alone, desk, change)
    verdicts = [one.verdict for one in report.cells]
    assert (verdicts.count("equal"), verdicts.count("within tolerance"), verdicts.count("differs")) == (14, 1, 1)
    assert not report.reproduced
    (different,) = [one for one in report.cells if one.verdict == "differs"]
    assert different.off.startswith("test auc: ") and different.off.endswith(" there")


def test_verify_names_data_that_is_not_here_and_cells_that_are_not_made(desk, alone):
    text = SHARED.replace('"synthetic-ordinal"', '"no/such/folder"')
    kept = json.loads((alone / "manifest.json").read_text())
    (desk / "theirs").mkdir()
    (desk / "theirs/study.toml").write_text(text)
    ours = study(desk / "theirs/study.toml", cache_dir=desk / "cache", out=desk / "theirs")
    assert ours.exit_code() == 1  # a folder that is not here
    theirs = json.loads((desk / "theirs/manifest.json").read_text())
    for cell in theirs["cells"]:
        cell["state"] = "done"
    theirs["cells"][1]["figures"] = kept["cells"][1]["figures"]
    (desk / "theirs/manifest.json").write_text(json.dumps(theirs))
    report = verify_study(desk / "theirs", cache_dir=desk / "cache")
    away = [one for one in report.cells if one.verdict == "data not here"]
    assert len(away) == 8 and all("no/such/folder" in one.off for one in away)
    empty = verify_study(alone, cache_dir=desk / "empty")
    assert {one.verdict for one in empty.cells} == {"not made here"} and "study.toml" in empty.how


def test_a_folder_that_is_none_is_refused_in_a_line(desk):
    for content in (None, "{", "[]", '{"format": "medfeat-study", "version": 9, "cells": []}', '{"format": 1}'):
        if content is not None:
            (desk / "manifest.json").write_text(content)
            (desk / "study.toml").write_text(SHARED)
        with pytest.raises(ValueError, match=r"study") as refused:
            verify_study(desk)
        assert "\n" not in str(refused.value)
