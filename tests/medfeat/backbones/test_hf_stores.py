"""How a Hugging Face model is asked for, and loaded again for a store that was made with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from medfeat.backbones import BACKBONES, describe, load_backbone, takes_raw
from medfeat.datasets import open_dataset
from medfeat.errors import MissingFileError, UsageError, WeightsError
from medfeat.extraction.ask.asked import describe_request
from medfeat.extraction.ask.made_from import MadeFrom, NetworkThen, RemakeOptions
from medfeat.extraction.ask.request import Request
from medfeat.extraction.ask.store_plan import build_recipe
from medfeat.extraction.network.device import settings_here
from medfeat.extraction.network.volumes import views_for
from medfeat.extraction.remake import load_again
from medfeat.types import DatasetInfo, View
from medfeat.workflows.cache import verify
from medfeat.workflows.extract import extract
from medfeat.workflows.search import search
from tests.medfeat.workflows.embedded import export_images

VOLUMES = DatasetInfo("v", 12, "binary-class", ("a", "b"), 1, 3, {"train": 5}, "x:1")
FLAT = DatasetInfo("f", 12, "binary-class", ("a", "b"), 1, 2, {"train": 5}, "x:1")


def test_only_registered_backbones_take_images_as_they_are() -> None:
    assert [name for name in BACKBONES if takes_raw(name)] == ["pixels", "stats"]
    assert not any(map(takes_raw, ("hf:clinic/unknown", "timm:resnet10t", "torchvision:resnet18", "no such name")))


def test_volumes_are_sliced_for_a_repository_that_is_not_here_yet() -> None:
    info = describe("hf:clinic/unknown")
    assert views_for((View(),), VOLUMES, info)[0].slices == "mean-concat"
    with pytest.raises(UsageError, match="slice policy raptor reads patch tokens"):
        views_for((View(pool="cls", slices="raptor"),), VOLUMES, info)


def test_a_request_is_the_same_before_and_after_the_download(hub: Path, request: pytest.FixtureRequest) -> None:
    dataset = open_dataset("synthetic-binary")

    def asked(name: str) -> dict[str, Any]:
        return describe_request(dataset, name, Request(), View()).to_dict()

    names = ("hf:clinic/tiny", "hf:clinic/tiny@main", "rad_dino")
    before = [asked(name) for name in names]
    assert before[0] != before[1]
    request.getfixturevalue("repository")
    assert describe("hf:clinic/tiny").input_size == 56
    assert [asked(name) for name in names] == before


def made_with(name: str, **options: Any) -> NetworkThen:
    """Return the network of a store of this backbone, as the store knows it."""
    backbone = load_backbone(name, offline=True, **options)
    recipe = build_recipe(FLAT, backbone.info, backbone.views[0], fit="whole", precision="fp32").to_dict()
    folder = options.get("weights")
    used = {"origin": "file", "path": str(folder)} if folder else {"origin": "pretrained"}
    settings = settings_here(torch.device("cpu"), "fp32", 8, False, 1).to_dict()
    network = MadeFrom.of(recipe, {"asked": {"backbone": name, "weights": used}, "settings": settings}).network
    assert network is not None
    return network


def test_a_store_is_embedded_again_at_its_own_commit(repository: Path) -> None:
    network = made_with("hf:clinic/tiny")
    newer = shutil.copytree(repository, repository.parent / ("f" * 40))
    (newer / "model.safetensors").unlink()
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(1)
    AutoModel.from_config(AutoConfig.from_pretrained(newer)).save_pretrained(newer)
    (repository.parent.parent / "refs" / "main").write_text("f" * 40)
    assert load_backbone("hf:clinic/tiny", offline=True).info.weights_digest != network.recipe.weights_digest
    assert load_again(network, RemakeOptions(offline=True)).info.weights_digest == network.recipe.weights_digest
    shutil.rmtree(repository)
    with pytest.raises(MissingFileError, match=f"--revision {repository.name}"):
        load_again(network, RemakeOptions(offline=True))


def test_a_store_is_not_embedded_again_with_another_configuration(repository: Path, tmp_path: Path) -> None:
    own = shutil.copytree(repository, tmp_path / "own")
    network = made_with("hf:clinic/mine", weights=own)
    assert load_again(network, RemakeOptions(offline=True)).info.source_id == network.recipe.source_id
    config = json.loads((own / "config.json").read_text())
    (own / "config.json").write_text(json.dumps(config | {"num_attention_heads": 4}))
    with pytest.raises(WeightsError, match=r"the configuration of hf:clinic/mine is not the one .* --weights FOLDER"):
        load_again(network, RemakeOptions(offline=True))


def test_code_is_run_again_only_when_that_is_allowed_again(homemade: Path) -> None:
    network = made_with("hf:clinic/tiny", trust_remote_code=True)
    with pytest.raises(UsageError, match="trust_remote_code"):
        load_again(network, RemakeOptions(offline=True))
    again = load_again(network, RemakeOptions(offline=True, trust_remote_code=True))
    assert again.info.weights_digest == network.recipe.weights_digest


def test_checks_and_searches_run_code_of_a_repository_only_where_asked(homemade: Path, tmp_path: Path) -> None:
    where = {"offline": True, "device": "cpu"}
    cache = tmp_path / "cache"
    report = extract("synthetic-binary", "hf:clinic/tiny", trust_remote_code=True, cache_dir=cache, **where)
    images = export_images(tmp_path / "images")
    paths, found = [report.stores[0].path], {"image": images / "00007.png", "cache_dir": cache}
    with pytest.raises(UsageError, match="trust_remote_code"):
        verify(paths, canary=True, **where)
    with pytest.raises(UsageError, match="trust_remote_code"):
        search("synthetic-binary", "hf:clinic/tiny", **found, **where)
    (checked,) = verify(paths, canary=True, trust_remote_code=True, **where)
    assert checked.canary is not None and checked.canary.rows > 0
    nearest = search("synthetic-binary", "hf:clinic/tiny", **found, trust_remote_code=True, **where)
    assert nearest.hits[0].id == "test/7"
