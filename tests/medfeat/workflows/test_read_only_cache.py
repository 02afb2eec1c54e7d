"""A colleague's cache that can only be read is probed all the same: what is made of it lies in one's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from medfeat.evaluation.runs.places import OF_OTHERS, runs_root
from medfeat.evaluation.runs.run import list_runs
from medfeat.workflows.audit import audit
from medfeat.workflows.compare import compare
from medfeat.workflows.predict import predict
from medfeat.workflows.probe import probe
from medfeat.workflows.stores.vouched_runs import verify_runs
from medfeat_cache.root import user_root

from .embedded import QUICK, plant


@pytest.fixture
def read_only(cache_root, monkeypatch):
    """Fill a cache, then take the right to write away; also from root, who has it everywhere."""
    plant(cache_root, counts={"train": 60, "val": 40, "test": 40}, classes=2, dataset="breastmnist")
    access = os.access
    for folder, _, files in os.walk(cache_root):
        Path(folder).chmod(0o555)
        for file in files:
            (Path(folder) / file).chmod(0o444)
    here = str(cache_root)
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).startswith(here) and access(path, mode))
    before = everything(cache_root)
    yield cache_root
    monkeypatch.undo()
    assert everything(cache_root) == before, "something was written into the cache"
    for folder, _, _ in os.walk(cache_root):
        Path(folder).chmod(0o755)


def everything(root):
    return sorted((str(path), path.stat().st_mtime_ns) for path in root.rglob("*"))


def test_a_cache_that_cannot_be_written_is_probed_with_runs_of_ones_own(read_only):
    run = probe("breastmnist", head="linear", cache_dir=read_only, **QUICK).runs[0]
    assert run.folder.is_relative_to(user_root() / OF_OTHERS)
    assert probe("breastmnist", head="linear", cache_dir=read_only, **QUICK).reused == 1
    assert [one.key for one in list_runs(read_only)[0]] == [run.key]
    assert [one.state for one in verify_runs(cache_dir=read_only)] == ["ok"]
    assert run.key[:12] in str(verify_runs([run.key[:8]], cache_dir=read_only)[0].folder)
    assert len(predict(run.key[:8], data="breastmnist", cache_dir=read_only).ids) == 140
    assert any(one.runs for one in compare("breastmnist", cache_dir=read_only).comparisons)


def test_choosing_and_auditing_write_elsewhere_too(read_only):
    assert probe("breastmnist", select=True, head="linear", cache_dir=read_only, **QUICK).selections
    audit("breastmnist", "fake", cache_dir=read_only)


def test_runs_of_two_caches_are_kept_apart_and_a_cache_of_ones_own_keeps_its_runs(read_only, tmp_path):
    assert runs_root(read_only) != runs_root(read_only / "other")
    assert runs_root(tmp_path / "mine") == tmp_path / "mine"
