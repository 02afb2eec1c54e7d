"""What is read out of a forward pass."""

from __future__ import annotations

import pytest
import torch

from medfeat.backbones import load_backbone
from medfeat.errors import UsageError
from medfeat.types import View


def randn(size: int, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def outputs(name: str, *views: View) -> tuple[torch.Tensor, ...]:
    backbone = load_backbone(name, weights="random", views=views)
    with torch.inference_mode():
        return backbone.module(randn(backbone.info.input_size))


def test_maps_are_averaged_maximised_or_left_as_places() -> None:
    average, maximum, places = outputs("resnet18", View(), View(pool="max"), View(pool="tokens"))
    assert places.shape == (2, 49, 512)
    torch.testing.assert_close(places.mean(1), average)
    torch.testing.assert_close(places.amax(1), maximum)


def test_tokens_are_pooled_without_those_that_are_not_patches() -> None:
    views = [View(pool=pool) for pool in ("cls", "mean", "cls+mean", "max", "tokens")]
    first, mean, both, maximum, patches = outputs("timm:vit_small_patch16_dinov3", *views)
    assert patches.shape == (2, 256, 384)
    torch.testing.assert_close(patches.mean(1), mean)
    torch.testing.assert_close(patches.amax(1), maximum)
    assert torch.equal(both, torch.cat([first, mean], 1))


def test_a_convolutional_network_s_hidden_layers_can_be_left_out() -> None:
    hidden, average = outputs("alexnet", View(), View(pool="avg"))
    assert hidden.shape == (2, 4096)
    assert average.shape == (2, 256)


def test_named_layers_and_the_default_come_out_of_one_pass() -> None:
    backbone = load_backbone("resnet18", weights="random", views=[View(), View("layer2"), View("layer4", "max")])
    assert backbone.dims == (512, 128, 512)
    assert [view.pool for view in backbone.views] == ["avg", "avg", "max"]
    calls: list[int] = []
    backbone.module.network.layer2.register_forward_hook(lambda *_: calls.append(1))
    images = randn(224)
    with torch.inference_mode():
        default, second, last = backbone.module(images)
    assert calls == [1]
    network = backbone.module.network
    with torch.inference_mode():
        maps = network.layer2(network.layer1(network.maxpool(network.relu(network.bn1(network.conv1(images))))))
        end = network.layer4(network.layer3(maps))
    torch.testing.assert_close(second, maps.mean((2, 3)))
    torch.testing.assert_close(last, end.amax((2, 3)))
    torch.testing.assert_close(default, end.mean((2, 3)))


@pytest.mark.parametrize("layer", ["bn1", "layer1.0.bn1", "layer4.1.bn2"])
def test_a_layer_before_an_operation_in_place_is_the_one_named(layer: str) -> None:
    backbone = load_backbone("resnet18", weights="random", views=[View(layer)])
    seen: list[torch.Tensor] = []
    # hooks run in the order they were added, and this one copies before anything else can write
    backbone.module.network.get_submodule(layer).register_forward_hook(
        lambda _module, _inputs, output: seen.append(output.mean((2, 3)))
    )
    with torch.inference_mode():
        (found,) = backbone.module(randn(224))
    torch.testing.assert_close(found, seen[0])


def test_maps_that_keep_their_channels_last_are_read_as_maps() -> None:
    backbone = load_backbone("timm:swin_tiny_patch4_window7_224", weights="random", views=[View(), View("layers.1")])
    assert backbone.dims == (768, 192)


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (View(layer="layer9"), "did you mean layer"),
        (View(layer="fc.weight"), "unknown layer"),
        (View(pool="cls"), "pool must be one of avg, max, tokens for this backbone, got 'cls'"),
        (View(layer="layer1", pool="attention"), "for layer 'layer1', got 'attention'"),
    ],
)
def test_what_cannot_be_read_is_refused_before_the_weights_are_filled(view: View, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_backbone("resnet18", weights="random", views=[view])


def test_no_view_at_all_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one view"):
        load_backbone("resnet18", weights="random", views=[])


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenetv2_100", "timm:vit_tiny_patch16_224"])
def test_the_default_view_is_one_graph(name: str) -> None:
    backbone = load_backbone(name, weights="random")
    compiled = torch.compile(backbone.module, backend="eager", fullgraph=True)
    images = randn(backbone.info.input_size, 1)
    with torch.inference_mode(), torch._dynamo.config.patch(disable=False):
        torch.testing.assert_close(compiled(images)[0], backbone.module(images)[0])


def test_inception_mends_the_normalisation_its_weights_want() -> None:
    backbone = load_backbone("inception_v3", weights="random")
    assert backbone.module.network.transform_input
    assert not any("Aux" in name for name in backbone.module.network.state_dict())


@pytest.mark.parametrize("name", ["torchvision:googlenet", "torchvision:swin_t", "alexnet"])
def test_features_are_what_the_library_s_own_classifier_would_see(name: str) -> None:
    import torchvision

    backbone = load_backbone(name, weights="random")
    own = torchvision.models.get_model(
        name.removeprefix("torchvision:"),
        weights=None,
        **({"aux_logits": False, "init_weights": False, "transform_input": True} if "googlenet" in name else {}),
    ).eval()
    seen: list[torch.Tensor] = []
    classifier = [module for module in own.modules() if isinstance(module, torch.nn.Linear)][-1]
    classifier.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    own.load_state_dict(backbone.module.network.state_dict(), strict=False)
    images = randn(224, 1)
    with torch.inference_mode():
        own(images)
        torch.testing.assert_close(backbone.module(images)[0], seen[0])
