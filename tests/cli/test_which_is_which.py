"""Stores are named by digest, and what goes by one name is told apart wherever a score is shown."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from medfeat.evaluation.runs import wording
from medfeat_cli.main import run


def say(capsys, *words, code=0):
    capsys.readouterr()
    assert run([str(word) for word in words]) == code, capsys.readouterr().err
    return capsys.readouterr()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two files of weights of one network, and the baselines, on one dataset; one store of another."""
    from torchvision.models import squeezenet1_1

    root = tmp_path_factory.mktemp("stores")
    images = root / "pictures"
    rng = np.random.default_rng(0)
    for i in range(40):
        path = images / ("ill" if i % 2 else "well") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(path)
    for seed in (1, 2):
        torch.manual_seed(seed)
        torch.save(squeezenet1_1().state_dict(), root / f"epoch{seed}.pth")
        words = ["extract", "-d", str(images), "-b", "squeezenet1_1", "--weights", str(root / f"epoch{seed}.pth")]
        assert run([*words, "--precision", "fp32", "--cache-dir", str(root / "cache")]) == 0
    assert run(["extract", "-d", "synthetic-binary", "-b", "stats", "--cache-dir", str(root / "cache")]) == 0
    return root / "cache"


@pytest.fixture
def digests(made, capsys):
    """Of both stores of the pictures, by their file of weights."""
    stores = json.loads(say(capsys, "cache", "ls", "-d", "pictures", "--json", "--cache-dir", made).out)["stores"]
    return {wording.weights(one["info"]): one["digest"][:12] for one in stores}


def test_two_files_of_weights_are_two_names_in_every_table(made, capsys, tmp_path):
    where = ["--cache-dir", made]
    names = ("squeezenet1_1 (epoch1.pth)", "squeezenet1_1 (epoch2.pth)")
    pictures = ["-d", "pictures"]
    for words in (
        ["probe", *pictures, "--resamples", 20],
        ["probe", *pictures, "--select", "--resamples", 20],
        ["probe", *pictures, "--shots", "2", "--draws", 2, "--resamples", 20],
        ["probe", *pictures, "--fuse", "concat", "--resamples", 20],
        ["probe", *pictures, "--pivot", "--resamples", 20],
        ["probe", *pictures, "--folds", 3, "--resamples", 20],
        ["probe", *pictures, "--test-on", "pictures", "--resamples", 20],
        ["compare", *pictures],
        ["runs", "list", *pictures],
    ):
        shown = say(capsys, *words, *where).out
        assert all(name in shown for name in names), words
    say(capsys, "report", *pictures, "--out", tmp_path / "r.html", "--no-images", *where)
    say(capsys, "explore", *pictures, "--out", tmp_path / "e.html", "--no-images", *where)
    for page in ("r.html", "e.html"):
        assert all(name in (tmp_path / page).read_text(encoding="utf-8") for name in names), page


def test_the_name_of_a_run_that_is_older_is_its_backbone_alone():
    assert wording.network("resnet18", "") == "resnet18"
    assert wording.weights({}) == wording.weights({"asked": {"weights": {"origin": "pretrained"}}}) == ""


def test_a_store_is_named_by_its_digest_everywhere(made, digests, capsys, tmp_path):
    where, digest = ["--cache-dir", made], digests["epoch2.pth"]
    assert "by squeezenet1_1" in say(capsys, "search", "--store", digest, "--id", "ill/1.png", "-k", 3, *where).out
    probed = json.loads(say(capsys, "probe", "--store", digest[:6], "--resamples", 20, "--json", *where).out)
    assert [one["store"]["digest"][:12] for one in probed["runs"]] == [digest]
    words = ("--shots", "2", "--draws", 2, "--resamples", 20)
    assert len(json.loads(say(capsys, "probe", "--store", digest, *words, "--json", *where).out)["curves"]) == 1
    key = probed["runs"][0]["key"][:12]
    labelled = say(capsys, "predict", "--run", key, "--store", digest, "--json", *where)
    assert json.loads(labelled.out)["n"] == 40
    other = say(capsys, "predict", "--run", key, "--store", digests["epoch1.pth"], *where, code=2)
    assert "by another recipe" in other.err
    audited = say(capsys, "audit", "--store", digest, "--threshold", 0.9999, "--json", *where)
    assert json.loads(audited.out)["dataset"] == "pictures"
    looked = say(capsys, "explore", "--store", digest, "--no-images", "--out", tmp_path / "e.html", *where)
    assert "40 of 40 images" in looked.out


def test_names_beside_a_digest_must_agree_with_it(made, digests, capsys):
    where, digest = ["--cache-dir", made], digests["epoch1.pth"]
    for command in (["search", "--id", "ill/1.png"], ["probe"], ["audit"]):
        wrong = say(capsys, *command, "--store", digest, "-d", "synthetic-binary", *where, code=2)
        assert f"store {digest} is of data pictures, and --data says synthetic-binary" in wrong.err
    assert "no store in" in say(capsys, "probe", "--store", "ffff", *where, code=2).err


def test_several_stores_that_fit_are_listed_by_digest_and_what_tells_them_apart(made, digests, capsys):
    said = say(
        capsys, "search", "-d", "pictures", "-b", "squeezenet1_1", "--id", "ill/1.png", "--cache-dir", made, code=2
    )
    assert all(digest in said.err for digest in digests.values())
    assert "weights_digest" in said.err and said.err.rstrip().endswith("name one by its digest, --store")
    assert "='" not in said.err and "mean" not in said.err


def test_where_one_store_fits_nothing_more_is_asked(made, capsys):
    found = say(capsys, "search", "-d", "synthetic-binary", "--id", "test/1", "-k", 2, "--cache-dir", made)
    assert "in synthetic-binary by stats" in found.out
    found = say(capsys, "audit", "-b", "stats", "--threshold", 0.99999, "--cache-dir", made)
    assert "synthetic-binary: images that are there twice" in found.out


def test_runs_say_the_version_of_their_images(tmp_path, capsys):
    rng, folder = np.random.default_rng(0), tmp_path / "skin"
    where = ["--cache-dir", tmp_path / "cache"]
    for count in (30, 33):
        for i in range(count):
            path = folder / ("ill" if i % 2 else "well") / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
        say(capsys, "extract", "-d", folder, "-b", "stats", *where)
        say(capsys, "probe", "-d", "skin", "--resamples", 20, *where)
    shown = say(capsys, "runs", "list", *where).out
    assert "skin@1" in shown and "skin@2" in shown
