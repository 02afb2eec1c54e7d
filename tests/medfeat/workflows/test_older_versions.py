"""Caches that an older medfeat left, in which a name alone stood for images."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medfeat.errors import DataError
from medfeat.types import SilentProgress
from medfeat.workflows.stores.importing import import_store

from .embedded import embed, extracted
from .versioned import ALTERNATING, BRIGHT, DARK, HALVES, features, load_values, official_of, picture, table, write


def forget_bindings(cache_root, path, *, task):
    """Make a cache what an older medfeat would have left: no versions, tasks by name alone, no content in stores."""
    folder = path.parent.parent
    (folder / "versions.json").unlink()
    [kept] = [file for file in folder.glob("tasks/*/official.json") if json.loads(file.read_text())["images"] == task]
    content = json.loads(kept.read_text())
    del content["images"]
    for file in folder.glob("tasks/*/*.json"):
        file.unlink()
    (folder / "tasks" / "official.json").write_text(json.dumps(content))


@pytest.fixture
def no_content(monkeypatch):
    """Stores are written as by an older medfeat: their facts hold a fingerprint and no content."""
    from dataclasses import asdict

    from medfeat.extraction.loop import one_pass as passes

    def older(value):
        facts = asdict(value)
        facts.pop("content", None)
        return facts

    monkeypatch.setattr(passes, "asdict", older)


def test_an_older_cache_stays_usable_and_its_images_are_recognised(
    counting, cache_root, tmp_path, no_content, monkeypatch
):
    folder = write(tmp_path / "study", DARK, "folder")
    first = embed(cache_root, folder)
    forget_bindings(cache_root, first, task=official_of(first).images)
    assert official_of(first).ids.size == 16
    assert len(load_values(cache_root, "study")) == 16
    monkeypatch.undo()
    said = SilentProgress()
    assert embed(cache_root, folder, progress=said) == first
    picture(folder / "a" / "200.png", 200)
    assert extracted(cache_root, folder, progress=said).embedded == 1
    assert any("study@2" in line and "1 image added" in line for line in said.said)


def test_labels_that_an_older_medfeat_put_on_a_name_of_two_meanings_are_refused(
    counting, cache_root, tmp_path, no_content
):
    one = embed(cache_root, table(tmp_path / "a", DARK, HALVES))
    other = table(tmp_path / "b", [DARK[0], *BRIGHT[1:]], ALTERNATING)
    two = embed(cache_root, other)
    forget_bindings(cache_root, two, task=official_of(two).images)
    for path in (one, two):
        with pytest.raises(DataError, match=r"older medfeat.*15 of its ids show different images"):
            official_of(path)
    before = counting.images
    embed(cache_root, other)
    assert counting.images == before
    assert official_of(two).labels[:, 0].tolist() == [i % 2 for i in range(16)]


def test_hashes_that_imported_features_bring_put_no_labels_of_an_older_medfeat_in_doubt(
    counting, cache_root, tmp_path, no_content, monkeypatch
):
    folder = write(tmp_path / "study", DARK, "folder")
    first = embed(cache_root, folder)
    task = official_of(first)
    forget_bindings(cache_root, first, task=task.images)
    monkeypatch.undo()
    picture(folder / "a" / "200.png", 200)
    embed(cache_root, folder)
    claimed = np.full((len(task.ids), 16), 7, np.uint8)  # of no image that was seen
    file = features(tmp_path, task.ids, image_hash=claimed)
    import_store(file, data="study@2", backbone="theirs", cache_dir=cache_root)
    assert official_of(first).labels.tolist() == task.labels.tolist()
