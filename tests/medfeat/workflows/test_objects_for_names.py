"""Images held in Python are labelled and searched for like files; where only a name can stand, one line says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.naive_bayes import GaussianNB

import medfeat
from medfeat.datasets import open_dataset
from medfeat.errors import DataError, MedfeatError, UsageError
from medfeat.heads.knn import NeighboursHead
from medfeat.workflows.predict import predict
from medfeat.workflows.probe import probe
from medfeat.workflows.search import search

from .embedded import QUICK, embed, export_images, extracted


@pytest.fixture
def own_cache(counting, cache_root, monkeypatch):
    """A cache that no option has to name, with the synthetic binary set and one run on it."""
    monkeypatch.setenv("MEDFEAT_CACHE", str(cache_root))
    embed(cache_root)
    return probe("synthetic-binary", **QUICK).runs[0]


def held(group="test"):
    return np.concatenate([np.stack(list(b.images)) for b in open_dataset("synthetic-binary").batches(group, 64)])


FORMS = {
    "array": lambda images: images,
    "pictures": lambda images: [Image.fromarray(one) for one in images],
    "tensor": torch.from_numpy,
    "dataset": lambda images: medfeat.dataset_from(images, name="held"),
    "named": lambda images: medfeat.dataset_from(images, ids=[f"scan-{i}" for i in range(len(images))]),
}


@pytest.mark.parametrize("form", FORMS)
def test_images_of_a_program_get_the_scores_of_their_files(own_cache, tmp_path, form):
    images = held()
    files = predict(own_cache.key, export_images(tmp_path / "images"), device="cpu")
    report = predict(own_cache.key, FORMS[form](images), device="cpu")
    np.testing.assert_allclose(report.scores, files.scores, atol=1e-5)
    assert report.embedded == len(images) and report.labels == files.labels
    assert report.ids[7] == ("scan-7" if form == "named" else "all/7")


def test_what_a_program_holds_keeps_to_the_contract_of_the_images_of_training(own_cache):
    images = held()[:4]
    with pytest.raises(DataError, match="declare an intensity"):
        predict(own_cache.key, images / 255, device="cpu")
    floats = predict(own_cache.key, images / 255, intensity="range:0..1", device="cpu")
    np.testing.assert_allclose(floats.scores, predict(own_cache.key, images, device="cpu").scores, atol=1e-5)
    for option in ({"size": 28}, {"path_column": "path"}, {"volumes": "series"}):
        with pytest.raises(UsageError, match="column" if "path_column" in option else "object of Python"):
            predict(own_cache.key, images, **option)
    with pytest.raises(UsageError, match="holds volumes"):
        predict(own_cache.key, np.zeros((2, 8, 8, 8), np.uint8), device="cpu")


def test_one_image_of_a_program_is_searched_for(own_cache, tmp_path):
    image = held()[7]
    file = search("synthetic-binary", "counting", image=export_images(tmp_path / "images") / "00007.png", device="cpu")
    for form in (image, Image.fromarray(image), torch.from_numpy(image), [image]):
        found = search("synthetic-binary", "counting", image=form, device="cpu")
        assert found.hits == file.hits and found.embedded == 1 and found.query.startswith("the ")
    with pytest.raises(DataError, match="as one image"):
        search("synthetic-binary", "counting", image=[image, image], device="cpu")


IMAGES = np.zeros((6, 8, 8), np.uint8)
NETWORK = torch.nn.Conv2d(3, 4, 3)
REFUSED = {
    "probe of an array": (lambda: medfeat.probe(IMAGES), r"medfeat\.extract"),
    "probe of pictures": (lambda: medfeat.probe([Image.new("L", (8, 8))] * 3), r"medfeat\.extract"),
    "probe of a dataset": (lambda: medfeat.probe(medfeat.dataset_from(IMAGES)), r"medfeat\.extract"),
    "probe of parts": (lambda: medfeat.probe({"train": IMAGES}), r"medfeat\.extract"),
    "a head of a name that is taken": (lambda: medfeat.probe("x", head=NeighboursHead()), "give it another name"),
    "an estimator": (lambda: medfeat.probe("x", head=GaussianNB()), r"extend\.Head has.* a GaussianNB of Python"),
    "a head to compare": (lambda: medfeat.compare(head=NeighboursHead()), r"medfeat\.probe takes one"),
    "a backbone": (lambda: medfeat.probe("x", entry()), "info.name"),
    "labels": (lambda: medfeat.probe("x", labels=np.arange(3)), "CSV"),
    "curves": (lambda: medfeat.few_shot(IMAGES), r"medfeat\.extract"),
    "load": (lambda: medfeat.load(IMAGES, "stats"), r"medfeat\.extract"),
    "audit": (lambda: medfeat.audit(torch.zeros(3, 8, 8)), r"medfeat\.extract"),
    "search": (lambda: medfeat.search(IMAGES, id="all/0"), r"medfeat\.extract"),
    "robustness": (lambda: medfeat.robustness(IMAGES), r"medfeat\.extract"),
    "folds": (lambda: medfeat.cross_validate(IMAGES), r"medfeat\.extract"),
    "compare": (lambda: medfeat.compare(IMAGES), r"medfeat\.extract"),
    "explore": (lambda: medfeat.explore(IMAGES), r"medfeat\.extract"),
    "a report": (lambda: medfeat.write_report(IMAGES), r"medfeat\.extract"),
    "fuse": (lambda: medfeat.fuse(IMAGES), r"medfeat\.extract"),
    "transfer": (lambda: medfeat.transfer("x", IMAGES), "extract what is to be tested on"),
    "fine-tuning": (lambda: medfeat.finetune(IMAGES, "counting"), r"\.npz"),
    "fine-tuning of a dataset": (lambda: medfeat.finetune(medfeat.dataset_from(IMAGES), "counting"), r"\.npz"),
    "fine-tuning a network": (lambda: medfeat.finetune("x", entry()), "registered"),
    "a study": (lambda: medfeat.study({"data": ["x"]}), "TOML"),
    "a run": (lambda: medfeat.predict(object(), "x"), "key"),
    "an export": (lambda: medfeat.export(object()), "key"),
    "one picture": (lambda: medfeat.embed(np.zeros((8, 8, 3), np.uint8), "stats"), "one image in colour"),
}


def entry():
    return medfeat.backbone_from(NETWORK, input_size=32, mean=0.5, std=0.5, name="mine")


@pytest.mark.parametrize("what", REFUSED)
def test_an_object_where_only_a_name_can_stand_is_one_line(cache_root, monkeypatch, what):
    monkeypatch.setenv("MEDFEAT_CACHE", str(cache_root))
    call, says = REFUSED[what]
    with pytest.raises(MedfeatError, match=says) as caught:
        call()
    assert "0x" not in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_the_name_of_images_that_were_held_is_no_place_to_read_them_from(counting, cache_root):
    extracted(cache_root, held("train")[:12], name="mem", labels=np.arange(12) % 2)
    for call in (medfeat.finetune, medfeat.extract):
        with pytest.raises(UsageError, match="held in Python"):
            call("mem", "counting", cache_dir=cache_root)


def test_labels_stand_beside_images(counting, cache_root):
    extracted(cache_root, held("train")[:12], name="mem", labels=np.arange(12) % 2)
    found = medfeat.load("mem", "counting", split="all", cache_dir=cache_root)
    assert dict(zip(found.ids.tolist(), found.y.tolist(), strict=True)) == {f"all/{i}": i % 2 for i in range(12)}
    with pytest.raises(UsageError, match="images that a program holds"):
        medfeat.extract("synthetic-binary", "stats", labels=[0, 1], cache_dir=cache_root)


def test_one_number_of_shots_needs_no_list(own_cache):
    report = medfeat.few_shot("synthetic-binary", shots=5, draws=2, resamples=20)
    assert [point.shots for point in report.curves[0].points] == ["5"]
