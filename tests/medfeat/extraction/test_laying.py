"""Images of unequal shapes are resized by threads before their turn, and no bit of a vector shows it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from medfeat.backbones import describe, load_backbone
from medfeat.extraction.network import laying
from medfeat.extraction.network.forward import Forward
from medfeat.extraction.network.laying import Laid, laid_ahead
from medfeat.extraction.network.preprocess import Preprocess
from medfeat.workflows.extract import extract
from medfeat_cache import FeatureStore

TINY = "timm:test_resnet.r160_in1k"
SHAPES = [(300, 260, 3), (190, 410, 3), (60, 50, 3), (160, 160, 3), (240, 200)]


def pixels(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.fixture(scope="module")
def backbone():
    return load_backbone(TINY, weights="random")


def network(backbone, fit="whole"):
    return Forward(backbone, fit=fit, device=torch.device("cpu"), precision="fp32", batch_size=len(SHAPES))


@pytest.fixture
def threads():
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.mark.parametrize("fit", ["whole", "reference", "pad"])
@pytest.mark.parametrize("several", [True, False])
def test_the_vectors_are_those_of_images_resized_in_their_turn(backbone, threads, fit, several):
    images = [pixels(shape) for shape in SHAPES] if several else np.stack([pixels((300, 260, 3), i) for i in range(3)])
    embedder = network(backbone, fit)
    ahead = laid_ahead(images, embedder, threads)
    assert isinstance(ahead, Laid) and len(ahead) == len(images)
    assert {max(image.shape[:2]) <= backbone.info.input_size for image in ahead} == {True}
    np.testing.assert_array_equal(
        embedder.submit(ahead.images, laid=True).result()[0], embedder(images)[0], strict=True
    )


def test_they_are_one_array_unless_padded(backbone, threads):
    images = [pixels(shape) for shape in SHAPES[:4]]
    assert laid_ahead(images, network(backbone), threads).images.shape == (4, 160, 160, 3)
    padded = laid_ahead(images, network(backbone, "pad"), threads).images
    assert [image.shape[:2] for image in padded] == [(160, 139), (74, 160), (60, 50), (160, 160)]


@pytest.mark.parametrize(
    ("device", "images", "said"),
    [
        ("cpu", np.zeros((2, 28, 28), np.uint8), False),  # sooner as one product
        ("cpu", np.zeros((2, 300, 300, 3), np.uint8), True),
        ("cpu", np.zeros((2, 224, 224, 3), np.uint8), False),  # nothing to do
        ("cpu", [np.zeros((30, 20), np.uint8), np.zeros((20, 30), np.uint8)], True),
        ("cpu", [np.zeros((30, 20), np.uint8), np.zeros((5000, 4000), np.uint8)], False),  # too much for Pillow
        ("meta", [np.zeros((30, 20), np.uint8), np.zeros((20, 30), np.uint8)], True),
    ],
)
def test_only_what_gains_by_it_is_resized_ahead(device, images, said):
    assert Preprocess(describe("resnet18"), device=device).lays_ahead(images) is said


def test_a_gpu_resizes_what_reaches_it_in_one_copy():
    preprocess = Preprocess(describe("resnet18"))
    preprocess.device = torch.device("cuda", 0)
    assert not preprocess.lays_ahead(np.zeros((2, 300, 300, 3), np.uint8))
    assert preprocess.lays_ahead([np.zeros((300, 200, 3), np.uint8), np.zeros((200, 300, 3), np.uint8)])


def test_images_that_no_network_wants_resized_stay_as_they_are(threads):
    images = [pixels((30, 20)), pixels((20, 30))]
    assert laid_ahead(images, object(), threads) is images
    assert laid_ahead([], object(), threads) == []


def test_large_ones_are_resized_one_at_a_time(backbone, threads, monkeypatch):
    names: list[threading.Thread] = []
    embedder = network(backbone)
    lay = embedder._preprocess.lay

    def noted(image):
        names.append(threading.current_thread())
        return lay(image)

    monkeypatch.setattr(embedder._preprocess, "lay", noted)
    images = [pixels((300, 260)), pixels((200, 260))]
    laid_ahead(images, embedder, threads)
    assert threading.main_thread() not in names
    monkeypatch.setattr(laying, "_LARGE_BYTES", 60_000)
    names.clear()
    laid_ahead(images, embedder, threads)
    assert set(names) == {threading.main_thread()}


def test_a_store_of_unequal_pictures_is_the_same_and_its_pictures_were_resized_ahead(tmp_path, cache_root, monkeypatch):
    for number in range(11):
        image = Image.fromarray(pixels((170 + 13 * number, 200 + number, 3), number))
        image.save(tmp_path / f"{number:02}.png")
    (tmp_path / "05.png").write_bytes(b"spoilt")
    counts, submit = [], Forward.submit

    def counted(embedder, images, *, laid=False):
        counts.append(laid)
        return submit(embedder, images, laid=laid)

    def vectors(root):
        options = {"weights": "random", "cache_dir": root, "device": "cpu", "batch_size": 4, "precision": "fp32"}
        with FeatureStore(extract(str(tmp_path), TINY, **options).stores[0].path) as store:
            return store.digest, store.take(store.ids("all"))

    monkeypatch.setattr(Forward, "submit", counted)
    found = vectors(cache_root / "a")
    assert counts.count(True) == 3  # the others were measured
    monkeypatch.setattr(Preprocess, "lays_ahead", lambda *_: False)
    expected = vectors(cache_root / "b")
    assert counts.count(True) == 3
    np.testing.assert_array_equal(found[1], expected[1], strict=True)
    assert found[0] == expected[0]
