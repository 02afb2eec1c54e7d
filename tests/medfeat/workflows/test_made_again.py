"""The commands that the page prints beside a run: given to an empty cache, they make that very run."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest

from medfeat.backbones import load_backbone
from medfeat.evaluation.runs.run import list_runs
from medfeat.finetuning.tuned_weights import write_weights
from medfeat.workflows.export import export
from medfeat.workflows.extract import extract
from medfeat.workflows.finetune import finetune
from medfeat.workflows.looking.made_again import made_again
from medfeat.workflows.probe import probe
from medfeat_cache import find_stores
from medfeat_cli.main import run as medfeat

from .trainings import CNN, FEW, QUICK, VIT, small


@pytest.fixture
def data(tmp_path):
    return small(tmp_path / "data")


@pytest.fixture
def printed(cache_root):
    """Return the runs of the cache with the commands that the page prints of them."""

    def found():
        runs = list_runs(cache_root)[0]
        headers = {header.digest: header for header in find_stores(cache_root)}
        known = {run.key: run for run in runs}
        return [(run, made_again(run, headers, known)) for run in runs]

    return found


@pytest.fixture
def again(tmp_path, monkeypatch):
    """Give commands to an empty cache, from another folder, and return its runs by their keys."""

    def give(commands):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("MEDFEAT_CACHE", str(tmp_path / "again"))
        for words in commands.split(" && "):
            assert medfeat(shlex.split(words)[1:]) == 0, words
        return {run.key: run for run in list_runs(tmp_path / "again")[0]}

    return give


def weights_file(folder, seed=7):
    network = load_backbone(CNN, weights="random", seed=seed).module.network
    write_weights(network, folder / "own weights.safetensors", None)
    return folder / "own weights.safetensors"


FORMS = {
    "random weights": {"weights": "random", "seed": 3},
    "random and padded": {"weights": "random", "fit": "pad", "precision": "fp32"},
    "a layer": {"weights": "random", "layer": "layer2", "dtype": "float16"},
    "crops": {"weights": "random", "pool": "max", "copies": "crops"},
}


@pytest.mark.parametrize("options", FORMS.values(), ids=FORMS)
def test_a_network_is_asked_for_as_it_was(options, data, cache_root, printed, again):
    extract(data, CNN, device="cpu", cache_dir=cache_root, **options)
    probe(head="knn", resamples=20, seed=5, cache_dir=cache_root)
    ((made, commands),) = printed()
    assert list(again(commands)) == [made.key]


def test_own_weights_are_named_by_their_file(data, tmp_path, cache_root, printed, again):
    extract(data, CNN, weights=weights_file(tmp_path), device="cpu", cache_dir=cache_root)
    extract(data, CNN, weights="random", device="cpu", cache_dir=cache_root)
    probe(head="knn", resamples=20, cache_dir=cache_root)
    of_file = next((run, commands) for run, commands in printed() if run.weights)
    assert list(again(of_file[1])) == [of_file[0].key]


def test_a_question_is_put_as_it_was(tmp_path, cache_root, monkeypatch, printed, again):
    monkeypatch.chdir(tmp_path)
    extract("synthetic", "stats", device="cpu", cache_dir=cache_root)
    probe("synthetic", head="knn", relabel="0,1,2,3=low;4,5,6,7=high", resamples=20, cache_dir=cache_root)
    lines = [f"{split}/{i},{'ab'[i % 3 == 0]}" for split, n in (("train", 40), ("val", 20), ("test", 20))
             for i in range(n)]  # fmt: skip
    (tmp_path / "a reading.csv").write_text("\n".join(["id,label", *lines]))
    probe("synthetic", head="knn", labels="a reading.csv", partial=True, resamples=20, cache_dir=cache_root)
    for made, commands in printed():
        assert made.key in again(commands)


def test_stores_side_by_side_are_chosen_again(data, cache_root, printed, again):
    for layer in ("layer1", "layer3"):
        extract(data, CNN, weights="random", layer=layer, device="cpu", cache_dir=cache_root)
    probe(head="linear", resamples=20, cache_dir=cache_root)
    alone = len(printed())
    headers = find_stores(cache_root)
    chosen = probe(store=[header.digest[:12] for header in headers], head="linear", select=True, resamples=20,
                   cache_dir=cache_root).runs[0]  # fmt: skip
    commands = {run.key: words for run, words in printed()}
    assert alone == 2 and chosen.key in again(commands[chosen.key])


def test_a_training_is_given_its_network_and_its_settings(data, cache_root, printed, again):
    finetune(data, CNN, mode="last-blocks", blocks=1, seed=2, cache_dir=cache_root, **QUICK | FEW)
    ((made, commands),) = [(run, words) for run, words in printed() if run.head == "finetune"]
    assert commands.startswith("medfeat finetune ") and "--weights random" in commands
    there = next(run for run in again(commands).values() if run.head == "finetune")
    assert there.test.to_dict() == made.test.to_dict()


def test_a_lost_store_is_asked_for_as_far_as_its_recipe_tells(data, cache_root, printed):
    extract(data, CNN, weights="random", seed=4, device="cpu", cache_dir=cache_root)
    probe(head="knn", resamples=20, cache_dir=cache_root)
    for header in find_stores(cache_root):
        header.path.unlink()
    ((_, commands),) = printed()
    assert f"--backbone {CNN} --seed 4" in commands and "--weights random" in commands
    assert "-random4" not in commands


def test_a_cache_that_lacks_a_network_says_how_to_get_it(data, cache_root, capsys):
    extract(data, CNN, weights="random", seed=1, device="cpu", cache_dir=cache_root)
    probe(head="knn", resamples=20, cache_dir=cache_root)
    (made,) = list_runs(cache_root)[0]
    extract("synthetic-binary", "stats", device="cpu", cache_dir=cache_root)
    where = ["--cache-dir", str(cache_root)]
    capsys.readouterr()
    assert medfeat(["predict", "--run", made.key[:12], "--data", "synthetic-binary", *where]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    words = said.partition("run `medfeat ")[2].partition("`")[0]
    assert medfeat(shlex.split(words)) == 0
    assert medfeat(["predict", "--run", made.key[:12], "--data", "synthetic-binary", *where]) == 0


def test_a_run_for_others_says_how_its_network_is_asked_for_and_no_folder_of_ours(data, tmp_path, cache_root):
    extract(data, VIT, weights="random", seed=1, device="cpu", pool="mean", cache_dir=cache_root)
    lines = [f"{split}/{i},{'ab'[i % 2]}" for split in ("train", "val", "test") for i in range(16)]
    (tmp_path / "a reading.csv").write_text("\n".join(["id,label", *lines]))
    probe(head="knn", labels=tmp_path / "a reading.csv", partial=True, resamples=20, cache_dir=cache_root)
    (made,) = list_runs(cache_root)[0]
    export(made.key[:12], tmp_path / "bundle", cache_dir=cache_root)
    readme = (tmp_path / "bundle" / "README.md").read_text()
    words = next(line for line in readme.splitlines() if line.startswith("medfeat extract"))
    words = words.replace("THIS_FOLDER", str(tmp_path / "bundle")).replace("NAME", "synthetic-binary")
    assert medfeat([*shlex.split(words)[1:], "--cache-dir", str(tmp_path / "theirs")]) == 0
    (theirs,) = find_stores(tmp_path / "theirs")
    assert theirs.recipe["pool"] == "mean"
    assert json.loads((tmp_path / "bundle" / "run.json").read_text())["task"]["asked"]["labels"] == "a reading.csv"
    assert not any(str(tmp_path).encode() in path.read_bytes() for path in (tmp_path / "bundle").rglob("*.json"))
    assert np.isclose(theirs.recipe["mean"], made.store["recipe"]["mean"]).all()
