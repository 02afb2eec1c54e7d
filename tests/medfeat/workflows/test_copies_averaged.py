"""Vectors averaged over flipped or cropped copies: where that changes no meaning, and as a recipe of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medfeat.errors import UsageError
from medfeat.extraction.ask.copies import copies_for
from medfeat.extraction.network.copies import copied
from medfeat.workflows.asking.wanted import Wanted, wanted_request, wanted_views
from medfeat.workflows.embed import embed
from medfeat.workflows.extract import extract, plan
from medfeat.workflows.predict import predict
from medfeat.workflows.probe import probe
from medfeat_cache import FeatureStore

NETWORK = {"weights": "random", "precision": "fp32", "batch_size": 16, "device": "cpu"}


def images(count: int = 6, side: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side), dtype=np.uint8)


@pytest.mark.parametrize(
    ("asked", "name", "spelled"),
    [
        (None, "chestmnist", ""),
        ("flip", "breastmnist", "mirror"),
        ("flip", "pathmnist", "mirror+upside-down"),
        ("crops", "chestmnist", "crops 7/8"),
        ("crops", "my_own_images", "crops 7/8"),
    ],
)
def test_a_recipe_says_which_copies_there_are(asked, name, spelled):
    assert copies_for(asked, name, 2) == spelled


@pytest.mark.parametrize(
    ("asked", "name", "ndim", "said"),
    [
        (
            "flip",
            "chestmnist",
            2,
            r"--copies flip could change .* chestmnist mean \(the heart lies .*\): --copies crops$",
        ),
        ("flip", "organamnist", 2, "left and right kidney"),
        ("flip", "my_own_images", 2, r"is not known of own images\): --copies crops$"),
        ("crops", "organmnist3d", 3, r"slices of three planes .*: leave --copies out$"),
        ("turn", "pathmnist", 2, "--copies must be flip or crops, got 'turn'"),
    ],
)
def test_what_could_change_a_meaning_is_refused_by_name(asked, name, ndim, said):
    with pytest.raises(UsageError, match=said):
        copies_for(asked, name, ndim)


def test_copies_are_flips_and_windows_of_the_pixels():
    image = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    four = list(copied(image, "mirror+upside-down"))
    expected = [image, image[:, :, ::-1], image[:, ::-1], image[:, ::-1, ::-1]]
    assert len(four) == 4 and all(np.array_equal(one, other) for one, other in zip(four, expected, strict=True))
    assert [one.tolist() for one in copied(image, "mirror")] == [image.tolist(), image[:, :, ::-1].tolist()]
    five = list(copied(image, "crops 7/8"))
    assert [one.shape for one in five] == [(1, 7, 7)] * 5
    assert [int(one[0, 0, 0]) for one in five] == [0, 1, 8, 9, 0], "corners, then the middle"
    of_list = list(copied([image[0], np.zeros((16, 24, 3), np.uint8)], "crops 7/8"))
    assert [[one.shape for one in some] for some in of_list] == [[(7, 7), (14, 21, 3)]] * 5


@pytest.fixture
def breast(monkeypatch):
    """Images that go by the name of a set whose images may be mirrored."""
    monkeypatch.setattr("medfeat.extraction.ask.copies.allowed_for", lambda _name, ndim: _allowed(ndim))


def _allowed(ndim):
    from medfeat.datasets.changes import allowed_for

    return allowed_for("breastmnist", ndim)


@pytest.mark.parametrize("copies", ["flip", "crops"])
def test_a_store_holds_the_mean_of_the_vectors_of_its_copies(breast, cache_root, copies):
    held = images()
    report = extract(held, "squeezenet1_1", name="held", copies=copies, cache_dir=cache_root, **NETWORK)
    windows = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]
    by_hand = [held, held[:, :, ::-1]] if copies == "flip" else [held[:, y : y + 28, x : x + 28] for y, x in windows]
    apart = [
        embed(np.ascontiguousarray(one), "squeezenet1_1", name=f"one{i}", cache_dir=cache_root, **NETWORK)
        for i, one in enumerate(by_hand)
    ]
    with FeatureStore(report.stores[0].path) as store:
        rows = store.take([f"all/{i}" for i in range(6)] if store.groups == ("all",) else store.ids(store.groups[0]))
        assert store.recipe["copies"] == {"flip": "mirror", "crops": "crops 7/8"}[copies]
    np.testing.assert_allclose(rows, np.mean(apart, axis=0), rtol=1e-4, atol=1e-5)


def test_copies_are_another_store_and_none_is_the_store_of_before(breast, cache_root):
    plain = extract(images(), "squeezenet1_1", name="held", cache_dir=cache_root, **NETWORK).stores[0]
    flipped = extract(images(), "squeezenet1_1", name="held", copies="flip", cache_dir=cache_root, **NETWORK).stores[0]
    assert plain.path != flipped.path and "copies" not in plain.recipe
    again = extract(images(), "squeezenet1_1", name="held", copies="flip", cache_dir=cache_root, **NETWORK).stores[0]
    assert again.action == "reuse" and again.path == flipped.path


def test_new_images_are_averaged_as_the_stored_ones_were(breast, cache_root, tmp_path):
    from PIL import Image

    rng = np.random.default_rng(1)
    y = {"train": np.arange(20) % 2, "val": np.arange(10) % 2, "test": np.arange(10) % 2}
    held = {
        name: (
            np.clip(60 + 90 * one[:, None, None] + 40 * rng.normal(size=(len(one), 32, 32)), 0, 255).astype("u1"),
            one,
        )
        for name, one in y.items()
    }
    pairs = {name: list(zip(some, labels.tolist(), strict=True)) for name, (some, labels) in held.items()}
    extract(pairs, "squeezenet1_1", name="held", copies="crops", cache_dir=cache_root, **NETWORK)
    run = probe("held", head="linear", cache_dir=cache_root, resamples=20).runs[0]
    assert run.store["embedding"] == "avg, copies crops 7/8"
    folder = tmp_path / "new"
    folder.mkdir()
    for row, image in enumerate(held["test"][0]):
        Image.fromarray(image).save(folder / f"{row}.png")
    found = predict(run.folder, folder, cache_dir=cache_root, device="cpu")
    np.testing.assert_allclose(found.scores, np.load(run.folder / "scores.npz")["test_scores"], atol=1e-4)


def test_a_plan_refuses_before_anything_is_read(cache_root):
    request = replace(wanted_request(wanted_views()), copies="flip")
    report = plan(Wanted("synthetic-binary", "resnet18", request, cache_dir=cache_root))
    assert "not known of own images" in report.failures[0].line()
    with pytest.raises(UsageError, match="takes images as they are: leave it out"):
        extract("synthetic-binary", "pixels", copies="crops", cache_dir=cache_root)
