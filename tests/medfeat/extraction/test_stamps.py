"""Other bytes under a kept size and time are read; a touched, restored or moved file runs no network."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from medfeat.datasets import digests
from medfeat.extraction.ask.remembered import file_identity
from medfeat.workflows.extract import extract
from medfeat_cache import FeatureStore, stamp

LONG_AGO = 1_000_000_000


def settled(monkeypatch):
    """Take every file for one that nobody has touched for long."""
    monkeypatch.setattr(stamp, "SETTLED_SECONDS", -1.0)


def pictures(folder, base):
    folder.mkdir(exist_ok=True)
    for i in range(6):
        path = folder / f"{i}.bmp"
        Image.fromarray(np.full((8, 8), base + 9 * i, np.uint8)).save(path)
        os.utime(path, (LONG_AGO, LONG_AGO))


def run(root, data, **options):
    options = {"precision": "fp32", "batch_size": 8, "device": "cpu", "cache_dir": root} | options
    return extract(data, "counting", **options).stores[0]


@pytest.mark.parametrize(
    ("modified", "entry", "told"),
    [(2.5, 9, True), (9, 2.5, True), (2, 9, False), (9, 0, False), (-1, 2.5, True), (-1, -1, False)],
)
def test_a_file_that_nobody_touched_for_more_than_two_seconds_is_told_by_its_stamp(modified, entry, told):
    """Seconds ago; FAT keeps times to 2 s, and a time that lies ahead says nothing."""
    now = 1_000 * 10**9
    assert stamp.Stamp(1, now - int(modified * 1e9), now - int(entry * 1e9), 7).settled(now) == told


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("young", [True, False])
def test_rewritten_images_of_the_same_size_and_time_are_embedded(
    counting, cache_root, tmp_path, monkeypatch, in_place, young
):
    if not young:
        settled(monkeypatch)
    pictures(tmp_path / "set", 20)
    run(cache_root, tmp_path / "set")
    if not in_place:
        shutil.rmtree(tmp_path / "set")
    pictures(tmp_path / "set", 150)
    with FeatureStore(run(cache_root, tmp_path / "set").path) as store:
        assert store.embeddings("all")[:, 0].min() * 255 > 140


@pytest.mark.parametrize("precision", ["fp32", "auto"])
@pytest.mark.parametrize("change", ["touched", "copied", "moved", "restored"])
def test_the_same_images_under_other_stamps_run_no_network(
    counting, cache_root, tmp_path, monkeypatch, change, precision
):
    settled(monkeypatch)
    folder = tmp_path / "set"
    pictures(folder, 20)
    first = run(cache_root, folder, precision=precision)
    before = counting.images
    if change == "touched":
        for path in folder.iterdir():
            path.touch()
    elif change == "restored":
        shutil.copytree(folder, tmp_path / "backup")
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "backup", folder)
    else:
        (tmp_path / "new").mkdir()
        (shutil.move if change == "moved" else shutil.copytree)(folder, tmp_path / "new" / "set")
        folder = tmp_path / "new" / "set"
    again = run(cache_root, folder, precision=precision)
    assert (again.action, again.path, counting.images) == ("reuse", first.path, before)


@pytest.mark.parametrize("young", [True, False])
def test_other_weights_of_the_same_size_and_time_are_another_request(tmp_path, monkeypatch, young):
    if not young:
        settled(monkeypatch)
    for where in (tmp_path / "w.pth", tmp_path / "folder" / "w.pth"):
        where.parent.mkdir(exist_ok=True)
        asked = tmp_path / "folder" if where.parent != tmp_path else where
        identities = []
        for value in (1.0, 2.0):
            torch.save({"w": torch.full((4,), value)}, where)
            os.utime(where, (LONG_AGO, LONG_AGO))
            identities.append(file_identity(asked))
        assert identities[0] != identities[1]


def test_a_young_file_is_told_by_its_content_and_an_old_one_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "w.pth"
    path.write_bytes(b"weights")
    assert file_identity(path)["blake2b"] == digests.file_digest(path, "blake2b")
    settled(monkeypatch)
    monkeypatch.setattr("medfeat.extraction.ask.remembered.file_digest", lambda *_: pytest.fail("it was read"))
    assert set(file_identity(path)) == {"path", "size", "mtime_ns", "ctime_ns", "inode"}


def test_lost_notes_and_moved_weights_measure_nothing_again(counting, cache_root):
    first = run(cache_root, "synthetic-binary", precision="auto")
    before = counting.images
    shutil.rmtree(cache_root / ".asked")
    assert run(cache_root, "synthetic-binary", precision="auto").path == first.path
    assert counting.images == before
    run(cache_root, "synthetic-binary", precision="auto", recheck=True)
    assert counting.images > before
