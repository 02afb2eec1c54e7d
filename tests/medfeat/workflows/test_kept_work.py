"""Compiled networks and measurements can be seen, counted and taken away, and hold up nothing else."""

from __future__ import annotations

import json
import os
import time

import pytest

from medfeat.workflows import cache
from medfeat_cache.root import compiled_folder, measured_folder
from medfeat_cli.main import run


@pytest.fixture
def kept(cache_root, monkeypatch, tmp_path):
    """A machine that compiled and measured something."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    machine = compiled_folder() / "0123456789ab"
    (machine / "fx").mkdir(parents=True)
    (machine / "since").write_text("abc")
    (machine / "fx" / "code.so").write_bytes(bytes(1000))
    notes = measured_folder(cache_root)
    notes.mkdir(parents=True)
    (notes / "note.json").write_text("{}")
    return machine, notes


def test_what_is_kept_is_listed_with_its_size_and_what_removes_it(kept, cache_root, make_store, capsys):
    make_store()
    assert run(["cache", "ls", "--cache-dir", str(cache_root)]) == 0
    shown = capsys.readouterr().out
    assert "compiled networks and measurements take 0.0 MB" in shown
    assert f"`medfeat cache gc --compiled --cache-dir {cache_root}` removes them" in shown
    assert run(["cache", "ls", "--json", "--cache-dir", str(cache_root)]) == 0
    values = json.loads(capsys.readouterr().out)
    assert {one["path"]: one["size_bytes"] for one in values["kept"]} == {str(kept[0]): 1003, str(kept[1]): 2}
    assert len(values["stores"]) == 1


def test_verify_passes_over_it(kept, cache_root, make_store):
    store = make_store()
    assert cache.all_paths(cache_dir=cache_root) == [store]
    assert [one.state for one in cache.verify(cache.all_paths(cache_dir=cache_root))] == ["ok"]


def test_gc_leaves_what_is_in_use_and_removes_all_of_it_when_it_is_asked_to(kept, cache_root, make_store):
    store = make_store()
    assert cache.tidy(cache_dir=cache_root) == []
    assert all(place.exists() for place in kept)
    gone = cache.tidy(cache_dir=cache_root, compiled=True, dry_run=True)
    assert [one.path for one in gone] == list(kept) and all(place.exists() for place in kept)
    cache.tidy(cache_dir=cache_root, compiled=True)
    assert not any(place.exists() for place in kept)
    assert store.exists()


def test_gc_removes_what_was_compiled_for_a_machine_that_is_gone(kept, cache_root):
    machine, notes = kept
    old = time.time() - 70 * 86400
    for place in (machine / "since", machine / "fx", machine):
        os.utime(place, (old, old))
    assert [(one.path, one.why) for one in cache.tidy(cache_dir=cache_root)] == [
        (machine, "compiled, and not used for 70 days")
    ]
    assert notes.exists() and not machine.exists()


def test_what_is_not_of_medfeat_stays(kept, cache_root, tmp_path):
    """A link in the place of a folder leads to somebody's own files."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("words")
    (compiled_folder() / "ba9876543210").symlink_to(mine)
    (compiled_folder() / "notes").mkdir()
    cache.tidy(cache_dir=cache_root, compiled=True)
    assert (mine / "thesis.txt").exists() and (compiled_folder() / "notes").exists()
