"""Layers by depth: blocks of a transformer, ends of a convolutional network's stages; read as hooks read them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medfeat.backbones import backbone_from, layers_by_depth, load_backbone, registered
from medfeat.backbones.backbone_table import BACKBONES
from medfeat.errors import UsageError
from medfeat.types import View

BLOCKS = [f"blocks.{i}" for i in range(11)]
BY_HAND = {
    # the last layer at 56, 28 and 14 px, then the last features at 7 px
    "resnet18": ("layer1", "layer2", "layer3", None),
    "squeezenet1_1": ("features.1", "features.4", "features.7", None),
    "mobilenetv2_100": ("blocks.1", "blocks.2", "blocks.4", None),
    "timm:tf_efficientnet_lite0": ("blocks.1", "blocks.2", "blocks.4", None),
    "densenet121": ("features.denseblock1", "features.denseblock2", "features.denseblock3", None),
    "convnext_b": ("stages.0", "stages.1", "stages.2", None),
    "timm:swin_tiny_patch4_window7_224": ("layers.0", "layers.1", "layers.2", None),
    "torchvision:swin_t": ("features.1", "features.3", "features.5", None),
    # twelve blocks: 3, 6, 9 and 12 of them
    "timm:vit_tiny_patch16_224": ("blocks.2", "blocks.5", "blocks.8", None),
    "torchvision:vit_b_32": (*(f"encoder.layers.encoder_layer_{i}" for i in (2, 5, 8)), None),
    "sam": ("blocks.2", "blocks.5", "blocks.8", None),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_quarters_are_the_blocks_and_stages_one_would_name(name: str) -> None:
    assert layers_by_depth(name, weights="random").quarter == BY_HAND[name]


def test_every_layer_is_every_block_and_every_side() -> None:
    assert layers_by_depth("timm:vit_tiny_patch16_224", weights="random").every == (*BLOCKS, None)
    assert layers_by_depth("mobilenetv2_100", weights="random").every == ("blocks.0", *BY_HAND["mobilenetv2_100"])


def test_places_count_from_the_first_layer_to_the_last() -> None:
    places = layers_by_depth("timm:vit_tiny_patch16_224", weights="random").places()
    assert places["blocks.2"] == {"at": 3, "of": 12, "quarter": True}
    assert places["blocks.3"] == {"at": 4, "of": 12, "quarter": False}
    assert places[""] == {"at": 12, "of": 12, "quarter": True}


def test_a_repository_of_hugging_face_has_layers_too(repository) -> None:
    assert layers_by_depth("hf:clinic/tiny", offline=True).every == ("encoder.layer.0", None)


class Tokens(nn.Module):
    """Three blocks on a class token and patches."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat([x.new_zeros(len(x), 1, 8), x], 1)
        for block in self.blocks:
            x = block(x)
        return x


@pytest.fixture
def own():
    """Own networks by name, forgotten afterwards."""
    before = set(BACKBONES)
    yield lambda module, name, **how: registered(
        backbone_from(module, name=name, input_size=16, mean=0.5, std=0.5, **how)
    )
    for name in set(BACKBONES) - before:
        BACKBONES.remove(name)


def test_networks_of_one_s_own_have_layers_too(own) -> None:
    stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
    halved = [nn.Sequential(nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU()) for _ in range(3)]
    assert layers_by_depth(own(nn.Sequential(stem, *halved), "stages")).quarter == ("0", "1", "2", None)
    assert layers_by_depth(own(Tokens(), "tokens", pool="cls", prefix=1)).every == ("blocks.0", "blocks.1", None)


def test_what_has_no_layers_by_depth_is_one_line(own) -> None:
    with pytest.raises(UsageError, match="pixels has no layers: leave --layer out"):
        layers_by_depth("pixels")
    one = own(nn.Sequential(nn.Conv2d(3, 4, 4, 4)), "one")
    with pytest.raises(UsageError, match="layers of Sequential cannot be told apart by depth: name them"):
        layers_by_depth(one)


@pytest.mark.parametrize("name", ["timm:vit_tiny_patch16_224", "squeezenet1_1", "hf:clinic/tiny", "tokens"])
def test_vectors_of_a_layer_are_those_of_a_hook(name: str, own, repository) -> None:
    if name == "tokens":
        own(Tokens(), name, pool="cls", prefix=1)
    weights = None if name in ("tokens", "hf:clinic/tiny") else "random"
    pool = "avg" if name == "squeezenet1_1" else "cls+mean"
    layers = layers_by_depth(name, weights=weights, offline=True).quarter
    backbone = load_backbone(name, weights=weights, offline=True, views=[View(layer, pool) for layer in layers])
    seen: dict[str, torch.Tensor] = {}

    def note(layer: str) -> object:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            seen[layer] = (output if isinstance(output, torch.Tensor) else output[0]).clone()

        return hook

    for layer in filter(None, layers):
        backbone.module.network.get_submodule(layer).register_forward_hook(note(layer))
    side = backbone.info.input_size
    with torch.inference_mode():
        *found, _ = backbone.module(torch.randn(2, 3, side, side))
    extra = 4 if name == "hf:clinic/tiny" else 1  # a class token, and three registers there
    for vectors, layer in zip(found, layers, strict=False):
        x = seen[layer]
        by_hand = x.mean((2, 3)) if pool == "avg" else torch.cat([x[:, 0], x[:, extra:].mean(1)], 1)
        torch.testing.assert_close(vectors, by_hand)


def test_a_class_token_that_is_not_there_is_said() -> None:
    with pytest.raises(UsageError, match=r"for this backbone, got 'cls\+mean', which has no class token"):
        load_backbone("resnet18", weights="random", views=[View(pool="cls+mean")])
