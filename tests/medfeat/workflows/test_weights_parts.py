"""One of several networks in a file: asked for once, and found again by every command that opens the weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from medfeat.backbones import Backbone
from medfeat.errors import WeightsError
from medfeat.extraction.ask.made_from import MadeFrom, RemakeOptions
from medfeat.extraction.ask.request import Request
from medfeat.extraction.remake import load_again
from medfeat.types import SilentProgress
from medfeat.workflows.asking.wanted import Wanted
from medfeat.workflows.cache import repair, verify
from medfeat.workflows.extract import extract, plan
from medfeat_cache import FeatureStore, Stamp, StoreHeader, read_header

NAME = "squeezenet1_1"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28), np.uint8)
    np.savez(tmp_path / "few.npz", train_images=images[:12], val_images=images[12:16], test_images=images[16:])
    return tmp_path / "few.npz"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    import torchvision

    torch.manual_seed(0)
    parts = {part: torchvision.models.squeezenet1_1().state_dict() for part in ("online", "target")}
    torch.save(parts, tmp_path / "byol.pth")
    return tmp_path / "byol.pth"


def store(cache_root: Path, data: Path, weights: str) -> Path:
    options = {"precision": "fp32", "batch_size": 16, "device": "cpu", "compile": False}
    return extract(data, NAME, weights=weights, cache_dir=cache_root, **options).stores[0].path


def test_each_part_has_a_store_of_its_own_and_is_found_again(
    cache_root: Path, data: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stamp, "settled", lambda *_: True)  # however long this takes
    online, target = (store(cache_root, data, f"{file}::{part}") for part in ("online", "target"))
    assert online != target
    assert read_header(online).info["asked"]["weights"]["part"] == "online"
    for part, path in (("online", online), ("target", target)):
        request = Request(weights=f"{file}::{part}", precision="fp32")
        [planned] = plan(Wanted(data, NAME, request, cache_dir=cache_root)).plans
        assert (planned.action, planned.store) == ("reuse", path)


def test_a_file_of_two_is_refused_before_anything_is_embedded(cache_root: Path, data: Path, file: Path) -> None:
    with pytest.raises(WeightsError, match=r"under 'online' and 'target': name the one you mean"):
        store(cache_root, data, str(file))


def test_the_canary_and_a_repair_read_the_part_again(cache_root: Path, data: Path, file: Path) -> None:
    path = store(cache_root, data, f"{file}::target")
    [found] = verify([path], canary=True, device="cpu")
    assert (found.state, found.canary is not None) == ("ok", True)
    whole = path.read_bytes()
    with FeatureStore(path) as opened:
        row = np.array(opened.embeddings("train")[3]).tobytes()
    damaged = bytearray(whole)
    damaged[whole.index(row) + 1] ^= 8
    path.write_bytes(damaged)
    assert repair(path, device="cpu").state == "ok"
    assert path.read_bytes() == whole


def again(header: StoreHeader, weights: object = None) -> Backbone:
    """Load the network of a store, its weights given anew or where they were."""
    network = MadeFrom.of(header.recipe, header.info).network
    assert network is not None
    return load_again(network, RemakeOptions(weights=weights))


def test_a_moved_file_is_given_without_its_part_or_with_it(cache_root: Path, data: Path, file: Path) -> None:
    header = read_header(store(cache_root, data, f"{file}::target"))
    moved = file.rename(file.with_name("moved.pth"))
    for weights in (moved, f"{moved}::target"):
        found = again(header, weights)
        assert found.info.weights_digest == header.recipe["weights_digest"]
    with pytest.raises(WeightsError, match="are not the ones its store was made with"):
        again(header, f"{moved}::online")


def test_resampled_patches_are_allowed_once_and_read_again(cache_root: Path, data: Path, tmp_path: Path) -> None:
    import timm

    torch.manual_seed(0)
    network = timm.create_model("vit_base_patch32_224", embed_dim=192, num_heads=3, num_classes=0)
    torch.save(network.state_dict(), tmp_path / "p32.pth")
    options = {"precision": "fp32", "batch_size": 16, "device": "cpu", "compile": False, "cache_dir": cache_root}
    name = "timm:vit_tiny_patch16_224"
    with pytest.raises(WeightsError, match="--adapt"):
        extract(data, name, weights=tmp_path / "p32.pth", **options)
    [outcome] = extract(data, name, weights=tmp_path / "p32.pth", adapt=True, **options).stores
    header = read_header(outcome.path)
    assert header.info["asked"]["weights"]["adapt"] is True
    assert again(header).info.weights_digest == header.recipe["weights_digest"]
    json.dumps(header.info["asked"])


def test_what_is_left_out_of_weights_is_said_once_however_many_datasets(cache_root: Path, data: Path, file: Path):
    other = data.with_name("other.npz")
    with np.load(data) as arrays:
        np.savez(other, **{name: array[::-1] for name, array in arrays.items()})
    said = SilentProgress()
    options = {"precision": "fp32", "batch_size": 16, "device": "cpu", "compile": False, "progress": said}
    report = extract(f"{data},{other}", NAME, weights=f"{file}::online", cache_dir=cache_root, **options)
    assert len(report.stores) == 2
    told = [line for line in said.said if "classifier" in line or "were read" in line]
    assert len(told) == len(set(told)) == 3, told
