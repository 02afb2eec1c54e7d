"""Several layers from one pass: a store each, found again, planned, and refused in one line where there are none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medfeat.backbones import load_backbone
from medfeat.datasets import open_dataset
from medfeat.errors import UsageError
from medfeat.extraction.loop import one_pass
from medfeat.types import View
from medfeat.workflows.asking.wanted import Wanted, wanted_request, wanted_views
from medfeat.workflows.extract import extract, plan
from medfeat_cache import FeatureStore

from .embedded import extracted

NETWORK = {"weights": "random", "precision": "fp32", "batch_size": 16, "device": "cpu"}


@pytest.fixture
def passes(monkeypatch) -> list[int]:
    """Count the runs over the images."""
    seen: list[int] = []
    once = one_pass.extract_rows

    def counted(dataset, embedder, writers, **how):
        seen.append(len(writers))
        return once(dataset, embedder, writers, **how)

    monkeypatch.setattr(one_pass, "extract_rows", counted)
    return seen


@pytest.fixture
def few():
    """Twelve images."""
    images = np.random.default_rng(0).integers(0, 256, (12, 28, 28), dtype=np.uint8)
    return {"train": images[:6], "val": images[6:9], "test": images[9:]}


def test_a_quarter_is_four_stores_from_one_pass(few, passes, cache_root):
    report = extract(few, "squeezenet1_1", layer="quarter", name="few", cache_dir=cache_root, **NETWORK)
    assert [store.view.layer for store in report.stores] == ["features.1", "features.4", "features.7", None]
    assert passes == [4]
    again = extract(few, "squeezenet1_1", layer="quarter", name="few", cache_dir=cache_root, **NETWORK)
    assert [store.path for store in again.stores] == [store.path for store in report.stores]
    assert passes == [4], "found, not embedded"
    with FeatureStore(report.stores[1].path) as store:
        assert store.info["depth"] == {"at": 2, "of": 4, "quarter": True}
        assert store.recipe["layer"] == "features.4"
    plain = extract(few, "squeezenet1_1", name="few", cache_dir=cache_root, **NETWORK)
    assert plain.stores[0].path == report.stores[3].path, "the last of them is what is read without --layer"


def test_a_store_of_a_layer_holds_what_a_hook_sees(few, cache_root):
    report = extract(few, "squeezenet1_1", layer="quarter", name="few", cache_dir=cache_root, **NETWORK)
    network = load_backbone("squeezenet1_1", weights="random").module.network
    seen = []
    network.features[4].register_forward_hook(lambda _module, _inputs, output: seen.append(output.mean((2, 3))))
    from PIL import Image

    info = load_backbone("squeezenet1_1", weights="random").info
    mean, std = (np.array(part, np.float32) for part in (info.mean, info.std))
    fed = [
        (np.asarray(Image.fromarray(image).convert("RGB").resize((224, 224), 2), np.float32) / 255 - mean) / std
        for image in few["test"]
    ]
    with torch.inference_mode():
        network.features(torch.from_numpy(np.stack(fed)).permute(0, 3, 1, 2))
    with FeatureStore(report.stores[1].path) as store:
        rows = store.take([f"test/{i}" for i in range(3)])
    np.testing.assert_allclose(rows, seen[0].numpy(), rtol=1e-3, atol=1e-4)


def test_a_plan_names_every_layer(cache_root):
    request = wanted_request(wanted_views("quarter", "cls+mean"), weights="random")
    wanted = Wanted("synthetic-binary", "timm:vit_tiny_patch16_224", request, cache_dir=cache_root)
    plans = plan(wanted).plans
    assert [one.view for one in plans] == [
        View(name, "cls+mean") for name in ("blocks.2", "blocks.5", "blocks.8", None)
    ]
    count = sum(open_dataset("synthetic-binary").info.counts.values())
    assert {one.disk_bytes for one in plans} == {4 * 384 * count}


@pytest.mark.parametrize(
    ("backbone", "options", "said"),
    [
        ("resnet18", {"pool": "cls+mean"}, "no class token"),
        ("pixels", {"weights": None}, "pixels has no layers: leave --layer out"),
    ],
)
def test_what_has_no_such_layers_is_refused(cache_root, backbone, options, said):
    with pytest.raises(UsageError, match=said):
        extracted(cache_root, backbone=backbone, layer="quarter", **{"weights": "random", **options})
