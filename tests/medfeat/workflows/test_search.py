"""`search`: nearest stored images, with ids and labels; a stored image costs no embedding, a new one costs one."""

from __future__ import annotations

import numpy as np
import pytest

from medfeat.errors import DataError, UsageError
from medfeat.evaluation.audit import nearest as near
from medfeat.workflows.search import search
from medfeat_cache import FeatureStore

from .embedded import embed, export_images, plant

COUNTS = {"train": 200, "val": 40, "test": 60}


def brute_force(path, vector, k):
    with FeatureStore(path) as store:
        ids = np.concatenate([store.ids(group) for group in store.groups])
        X = np.concatenate([store.embeddings(group) for group in store.groups]).astype(np.float64)
    cosine = X @ vector / np.linalg.norm(X, axis=1) / np.linalg.norm(vector)
    return ids[np.argsort(-cosine)[:k]].tolist()


def test_a_stored_image_finds_its_neighbours_and_not_itself(cache_root):
    path = plant(cache_root, counts=COUNTS)
    report = search("planted", "fake", id="test/7", k=5, cache_dir=cache_root)
    with FeatureStore(path) as store:
        expected = brute_force(path, store.take(["test/7"])[0].astype(np.float64), 6)
    assert [hit.id for hit in report.hits] == expected[1:]
    assert expected[0] == "test/7" and report.embedded == 0
    for hit in report.hits:
        assert hit.split == hit.id.split("/")[0]
        assert hit.label == f"c{int(hit.id.split('/')[1]) % 3}"


def test_an_id_that_is_not_stored_is_answered_with_those_most_like_it(cache_root):
    plant(cache_root, counts=COUNTS)
    with pytest.raises(UsageError, match=r"there is no image 'test7': did you mean test/7 or "):
        search("planted", "fake", id="test7", cache_dir=cache_root)
    with pytest.raises(UsageError, match=r"there is no image 'zebra': ids look like train/0, train/1"):
        search("planted", "fake", id="zebra", cache_dir=cache_root)


def test_memory_does_not_grow_with_the_store(cache_root, monkeypatch):
    plant(cache_root, counts=COUNTS)
    whole = search("planted", "fake", id="val/3", cache_dir=cache_root)
    asked = []
    slice_of = FeatureStore.slice
    monkeypatch.setattr(near, "BLOCK_NUMBERS", 12 * 7)
    monkeypatch.setattr(
        FeatureStore,
        "slice",
        lambda self, group, name, start, stop: asked.append(stop - start) or slice_of(self, group, name, start, stop),
    )
    assert search("planted", "fake", id="val/3", cache_dir=cache_root) == whole
    assert max(asked) == 7 and sum(asked) == 2 * sum(COUNTS.values())  # features and ids, each once


def test_a_new_image_is_embedded_once_and_finds_itself(counting, cache_root, tmp_path):
    embed(cache_root)
    file = export_images(tmp_path / "images") / "00005.png"
    before = counting.images
    report = search("synthetic-binary", "counting", image=file, k=3, cache_dir=cache_root, device="cpu")
    assert counting.images - before <= 16 and report.embedded == 1
    # the colours of others are so near that rounding puts one of them first on some machines
    [itself] = [hit for hit in report.hits if hit.id == "test/5"]
    assert itself.cosine == pytest.approx(1)
    assert itself.label in ("irregular mass", "smooth mass")


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({}, UsageError, "either --image FILE or --id"),
        ({"id": "test/0", "image": "x.png"}, UsageError, "either"),
        ({"id": "test/0", "k": 0}, UsageError, "-k must be 1 or more, got 0"),
        ({"id": "test/999"}, Exception, "there is no image 'test/999': did you mean test/9"),
        ({"image": "nonesuch.png"}, UsageError, "there is no image file nonesuch.png"),
    ],
)
def test_searches_that_cannot_be_meant_are_one_line(cache_root, options, error, said):
    plant(cache_root, counts=COUNTS)
    with pytest.raises(error, match=said):
        search("planted", "fake", cache_dir=cache_root, **options)


def test_a_damaged_picture_is_said(counting, cache_root, tmp_path):
    embed(cache_root)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"broken.png: no image of PNG"):
        search("synthetic-binary", "counting", image=tmp_path / "broken.png", cache_dir=cache_root)


def test_features_that_were_imported_have_no_network(cache_root, tmp_path):
    plant(cache_root, counts=COUNTS)
    file = export_images(tmp_path / "images") / "00005.png"
    with pytest.raises(DataError, match="were not made by medfeat"):
        search("planted", "fake", image=file, cache_dir=cache_root)
