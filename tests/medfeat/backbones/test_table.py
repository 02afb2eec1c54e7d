"""Every registered backbone, one by one: a new one is tested on arrival."""

from __future__ import annotations

import importlib.metadata
import math
import re
import subprocess
import sys

import pytest
import torch

from medfeat.backbones import BACKBONES, Entry, backbone_names, describe, load_backbone
from medfeat.backbones.library import Access
from medfeat.backbones.loading import skeleton
from medfeat.errors import UsageError
from medfeat.types import View

SMALL = ("alexnet", "resnet18", "squeezenet1_0", "squeezenet1_1", "mobilenetv2_100", "densenet121")
WEIGHTED = [name for name in backbone_names() if BACKBONES[name].build is None]
OF = {source: [n for n in WEIGHTED if BACKBONES[n].info.source == source] for source in ("torchvision", "timm", "hf")}


def test_every_name_is_there() -> None:
    assert len(WEIGHTED) == 33
    assert {"pixels", "stats"} <= set(backbone_names())


@pytest.mark.parametrize("name", backbone_names())
def test_an_entry_says_all_it_must(name: str) -> None:
    info = describe(name)
    assert info.name == name
    assert info.licence not in ("", "unknown")
    assert info.pretraining not in ("", "unknown")
    if BACKBONES[name].build is None:
        assert info.dim > 0
        assert len(info.mean) == len(info.std) == 3
        assert info.resize >= info.input_size > 0


@pytest.mark.parametrize("name", OF["torchvision"])
def test_torchvision_rows_are_what_torchvision_says(name: str) -> None:
    import torchvision

    info = describe(name)
    network, _, tag = info.source_id.partition(".")
    transforms = torchvision.models.get_model_weights(network)[tag].transforms()
    assert transforms.crop_size == [info.input_size]
    assert transforms.resize_size == [info.resize]
    assert (tuple(transforms.mean), tuple(transforms.std)) == (info.mean, info.std)
    assert transforms.interpolation.value == info.interpolation


@pytest.mark.parametrize("name", [n for n in OF["timm"] if n != "biomedclip"])
def test_timm_rows_are_what_timm_says(name: str) -> None:
    from timm.models import get_pretrained_cfg

    entry, info = BACKBONES[name], describe(name)
    config = get_pretrained_cfg(info.source_id, allow_unregistered=False)
    assert config is not None
    size = entry.options.get("img_size", config.input_size[-1])
    assert info.input_size == size
    assert info.resize == math.floor(size / config.crop_pct)
    assert (tuple(config.mean), tuple(config.std)) == (info.mean, info.std)
    assert config.interpolation == info.interpolation
    assert config.crop_mode == "center"
    if config.license is None:  # timm stated none of most weights yet
        assert importlib.metadata.version("timm") == "1.0.20"
        return
    said, known = (re.sub(r"[^a-z0-9]", "", text.lower()) for text in (config.license, info.licence))
    assert said.removesuffix("license") == known.removesuffix("licence")


@pytest.mark.parametrize("name", OF["hf"])
def test_transformers_rows_build_the_network_they_name(name: str) -> None:
    network, _ = skeleton(BACKBONES[name], (View(),), Access(offline=True))
    assert type(network.module).__name__ == {"beit": "BeitModel", "rad_dino": "Dinov2Model"}[name]
    assert network.module.config.image_size == describe(name).input_size


@pytest.mark.parametrize("name", WEIGHTED)
def test_every_network_is_built_and_gives_the_length_it_promises(name: str) -> None:
    entry = BACKBONES[name]
    _, plan = skeleton(entry, (View(),), Access(offline=True))
    assert plan.dims == (entry.info.dim,)
    assert plan.views[0].pool == entry.info.pool


@pytest.mark.parametrize("name", SMALL)
def test_small_networks_embed_frozen_and_finite(name: str) -> None:
    _check_embedding(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in WEIGHTED if name not in SMALL])
def test_large_networks_embed_frozen_and_finite(name: str) -> None:
    _check_embedding(name)


def _check_embedding(name: str) -> None:
    backbone = load_backbone(name, weights="random", offline=True)
    assert not backbone.module.training
    assert not any(parameter.requires_grad for parameter in backbone.module.parameters())
    size = backbone.info.input_size
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    before = {key: value.clone() for key, value in backbone.module.state_dict().items()}
    with torch.inference_mode():
        (rows,) = backbone.module(images)
        (again,) = backbone.module.train()(images)
    assert rows.shape == (2, backbone.dims[0])
    assert torch.isfinite(rows).all()
    # dropout and batch norm would show here
    assert torch.equal(rows, again)
    assert all(torch.equal(before[key], value) for key, value in backbone.module.state_dict().items())


def test_short_names_are_described_without_torch() -> None:
    code = (
        "import sys; from medfeat.backbones import backbone_names, describe; [describe(n) for n in backbone_names()];"
        "sys.exit(bool({'torch', 'timm', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet19", "did you mean resnet18"),
        ("timm:resnet19", "unknown timm backbone 'resnet19'"),
        ("timm:resnet18.nothing", "unknown weights of timm:resnet18 'nothing'"),
        ("torchvision:resnet19", "did you mean resnet18"),
        ("torchvision:resnet50.IMAGENET1K_V3", "IMAGENET1K_V2"),
        ("keras:resnet50", "timm:NAME"),
        ("hf:rad-dino", "hf:OWNER/REPO"),
    ],
)
def test_a_name_that_is_not_one_is_answered_with_what_is(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        describe(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "source_id", "size", "interpolation"),
    [
        ("timm:resnet10t", "resnet10t.c3_in1k", 176, "bicubic"),
        ("timm:convnext_atto.d2_in1k", "convnext_atto.d2_in1k", 224, "bicubic"),
        ("torchvision:resnet50", "resnet50.IMAGENET1K_V2", 224, "bilinear"),
        ("torchvision:swin_t.IMAGENET1K_V1", "swin_t.IMAGENET1K_V1", 224, "bicubic"),
    ],
)
def test_any_network_of_a_library_is_described_by_it(name: str, source_id: str, size: int, interpolation: str) -> None:
    info = describe(name)
    assert (info.name, info.source_id, info.input_size, info.interpolation) == (name, source_id, size, interpolation)


@pytest.mark.parametrize(
    ("name", "pool"),
    [
        ("torchvision:mobilenet_v3_small", "pre-logits"),
        ("torchvision:convnext_tiny", "avg"),
        ("torchvision:swin_t", "avg"),
        ("torchvision:vit_b_16", "cls"),
        ("torchvision:shufflenet_v2_x0_5", "avg"),
        ("torchvision:regnet_y_400mf", "avg"),
        ("torchvision:mnasnet0_5", "avg"),
        ("torchvision:googlenet", "avg"),
        ("torchvision:efficientnet_b0", "avg"),
        ("timm:swin_tiny_patch4_window7_224", "avg"),
        ("timm:mobilenetv3_small_100", "pre-logits"),
        ("timm:vit_tiny_patch16_224", "cls"),
        ("timm:deit3_small_patch16_224", "cls"),
        ("timm:resnetv2_50", "avg"),
    ],
)
def test_a_library_s_network_is_pooled_as_its_architecture_means(name: str, pool: str) -> None:
    from medfeat.backbones.naming import find

    _, plan = skeleton(find(name, Access(offline=True)), (View(),), Access(offline=True))
    assert plan.views[0].pool == pool


def test_a_fake_goes_through_the_registry_like_any_other() -> None:
    info = describe("stats")
    BACKBONES.add("fake", Entry(info, build=torch.nn.Flatten, takes_raw=True))
    try:
        assert load_backbone("fake").module(torch.ones(2, 3))[0].shape == (2, 3)
    finally:
        BACKBONES.remove("fake")
