"""A run is believed as far as its digests go: what was changed is named, never used; what came before is read."""

from __future__ import annotations

import json
import os
import shutil
import time
import tracemalloc

import numpy as np
import pytest

from medfeat.errors import DataError
from medfeat.evaluation.runs.places import WRITER_LOCK
from medfeat.evaluation.runs.run import list_runs, read_run, read_scores
from medfeat.evaluation.runs.vouching import DIGESTS_FILE, disagreements
from medfeat.workflows.cache import tidy
from medfeat.workflows.predict import predict
from medfeat.workflows.probe import probe
from medfeat_cache.lock import Lock
from medfeat_cli.main import run as command

from .embedded import QUICK, plant

COUNTS = {"train": 60, "val": 40, "test": 40}


@pytest.fixture
def run(cache_root):
    plant(cache_root, counts=COUNTS)
    return probe("planted", head="linear", cache_dir=cache_root, **QUICK).runs[0]


def edit(run, **changes):
    path = run.folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def boast(run):
    facts = json.loads((run.folder / "run.json").read_text())
    facts["test"]["auc"]["value"] = 0.999
    (run.folder / "run.json").write_text(json.dumps(facts, indent=1))


def make_old(run):
    """Make of a run one that was written before there were digests."""
    (run.folder / DIGESTS_FILE).unlink()


def test_a_run_is_vouched_for_whole(run, cache_root, capsys):
    assert disagreements(run.folder) == [] and read_run(run.folder).vouched
    assert command(["runs", "verify", "--cache-dir", str(cache_root)]) == 0
    assert capsys.readouterr().out.startswith("ok  ")


def test_an_edited_score_is_named_and_not_used(run, cache_root, capsys):
    right = run.test.auc.value
    boast(run)
    found, problems = list_runs(cache_root)
    assert found == [] and "run.json was changed after the run was written" in problems[0]
    assert command(["runs", "verify", "--cache-dir", str(cache_root)]) == 1
    assert "run.json was changed" in capsys.readouterr().err
    again = probe("planted", head="linear", cache_dir=cache_root, **QUICK)
    assert again.reused == 0 and again.runs[0].test.auc.value == right
    assert list_runs(cache_root)[1] == []


def test_that_a_run_is_not_believed_is_said_when_it_is_made_again(run, cache_root, capsys):
    boast(run)
    assert (
        command(["probe", "-d", "planted", "--head", "linear", "--resamples", "20", "--cache-dir", str(cache_root)])
        == 0
    )
    assert "run.json was changed after the run was written" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["scores.npz", "model/head.skops", "model/probe.json", "choice.json"])
def test_no_changed_file_lets_a_run_be_used_again(run, cache_root, name):
    path = run.folder / name
    path.write_bytes(path.read_bytes() + b" ")
    assert disagreements(run.folder) == [f"{name} was changed"]
    if name != "choice.json":
        with pytest.raises(DataError, match="was changed after the run was written"):
            predict(run.folder, data="planted", cache_dir=cache_root)
    assert probe("planted", head="linear", cache_dir=cache_root, **QUICK).reused == 0


def test_files_that_are_missing_or_came_later_are_named(run):
    (run.folder / "choice.json").unlink()
    (run.folder / "model" / "more.json").write_text("{}")
    assert disagreements(run.folder) == ["choice.json is missing", "model/more.json was not written with the run"]


def test_a_run_of_before_is_read_and_marked(run, cache_root, capsys):
    make_old(run)
    found, problems = list_runs(cache_root)
    assert len(found) == 1 and not found[0].vouched and "nothing vouches for" in problems[0]
    assert probe("planted", head="linear", cache_dir=cache_root, **QUICK).reused == 1
    assert command(["runs", "verify", "--cache-dir", str(cache_root)]) == 0
    assert capsys.readouterr().out.startswith("NOT VOUCHED  ")


def test_damaged_digests_are_one_line(run, cache_root):
    (run.folder / DIGESTS_FILE).write_text('{"format": "medfeat-run-digests", "version": 1, "files": [], "digest": 3}')
    found, problems = list_runs(cache_root)
    assert found == [] and len(problems) == 1 and "nothing vouches for the run" in problems[0]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"[" * 200_000, b"\x00" * 100])
def test_scores_that_are_none_are_one_line(run, content):
    make_old(run)
    (run.folder / "scores.npz").write_bytes(content)
    with pytest.raises(DataError):
        read_scores(run.folder)


def test_a_bomb_of_scores_is_refused_before_it_is_held(run):
    make_old(run)
    rows = np.zeros(20_000_000, np.uint8)
    np.savez_compressed(run.folder / "scores.npz", val_labels=rows, val_scores=rows)
    del rows
    tracemalloc.start()
    with pytest.raises(DataError, match="compressed, as medfeat never writes"):
        read_scores(run.folder)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" * 100_000, "nested deeper"),
        (b"{}", "no field"),
        (b"[1, 2]", "must be an object, got list"),
        (b"\xff\xfe", "no JSON"),
    ],
)
def test_a_file_that_is_no_run_is_one_line(run, content, said):
    make_old(run)
    (run.folder / "run.json").write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_run(run.folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"colour": "red"}, "unknown field 'colour'"),
        ({"size": "28"}, "'size' must be a whole number, got str"),
        ({"store": []}, "'store' must be an object, got list"),
        ({"notes": [1]}, "lists of text"),
        ({"val": {"n": 3}}, "no field"),
    ],
)
def test_fields_of_another_kind_are_named(run, changes, said):
    make_old(run)
    edit(run, **changes)
    with pytest.raises(DataError, match=said):
        read_run(run.folder)


def test_hidden_leavings_of_killed_probes_go_and_the_living_stay(run, cache_root):
    left, live = (run.folder.with_name(f".{run.folder.name}.{number}-0123abcd.tmp") for number in (1, 2))
    for folder in (left, live):
        shutil.copytree(run.folder, folder)
    dead = Lock(left / WRITER_LOCK).acquire()
    dead._stop.set()
    facts = json.loads((left / WRITER_LOCK).read_text())
    (left / WRITER_LOCK).write_text(json.dumps({**facts, "pid": 2**22 + 1, "start": "1"}))
    lock = Lock(live / WRITER_LOCK).acquire()
    assert [one.path for one in tidy(cache_dir=cache_root)] == [left]
    assert live.exists() and not left.exists() and run.folder.exists()
    lock.release()


def test_hidden_files_of_killed_commands_go_after_an_hour_wherever_notes_are(run, cache_root):
    folders = (cache_root, cache_root / ".asked", run.folder.parents[1], cache_root / "planted" / "tasks")
    old, young = ([folder / f".note.json.{number}-0123abcd.tmp" for folder in folders] for number in (1, 2))
    for path in (*old, *young):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{")
    for path in old:
        os.utime(path, (time.time() - 3700,) * 2)
    assert sorted(one.path for one in tidy(cache_dir=cache_root, dry_run=True)) == sorted(old)
    assert all(path.exists() for path in old)
    assert sorted(one.path for one in tidy(cache_dir=cache_root)) == sorted(old)
    assert not any(path.exists() for path in old) and all(path.exists() for path in young)
