"""Checkpoints that name or cut their tensors otherwise than the installed library does, and foreign ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from medfeat.backbones.library import Access, on_meta
from medfeat.backbones.loading import load_backbone, skeleton
from medfeat.backbones.naming import find, library_of
from medfeat.backbones.weights.weights_file import read_state
from medfeat.errors import WeightsError
from medfeat.types import View

OFFLINE = Access(offline=True)
State = dict[str, torch.Tensor]


def stand_in(network: torch.nn.Module) -> State:
    """A checkpoint that costs no memory: each tensor repeats one number, its place in the list."""
    return {
        name: torch.tensor(place, dtype=tensor.dtype).expand(tensor.shape)
        for place, (name, tensor) in enumerate(network.state_dict().items())
    }


def torchvision_checkpoint(name: str) -> State:
    import torchvision

    return stand_in(on_meta(lambda: torchvision.models.get_model(name, weights=None)))


def timm_checkpoint(name: str, **options: object) -> State:
    import timm

    return stand_in(on_meta(lambda: timm.create_model(name, **options)))


def fill(name: str, state: Mapping[str, torch.Tensor]) -> tuple[State, list[str]]:
    """What a backbone holds after it was given a checkpoint, and what was ignored."""
    entry = find(name, OFFLINE)
    network, _ = skeleton(entry, (View(),), OFFLINE)
    module, ignored = library_of(entry.info.source).fill(network, state, entry, "file.pth")
    return module.state_dict(), ignored


def assert_same(held: State, expected: Mapping[str, torch.Tensor]) -> None:
    assert [name for name, tensor in held.items() if not torch.equal(tensor, expected[name])] == []


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("convnext_b", "timm:resnet18"),
        ("convnext_b", "timm:vit_tiny_patch16_224"),
        ("siglip2_b", "timm:vit_tiny_patch16_224"),
        ("dinov2_s", "timm:resnet18"),
        ("dino", "timm:convnext_tiny"),
        ("timm:regnety_002", "timm:resnet18"),
        ("timm:vgg11", "timm:resnet18"),
    ],
)
def test_weights_of_another_network_are_one_line_whatever_a_conversion_makes_of_them(name: str, other: str) -> None:
    with pytest.raises(WeightsError, match=r"file.pth does not fit \w+: \d+ missing .*name the backbone") as error:
        fill(name, timm_checkpoint(other.removeprefix("timm:")))
    assert "\n" not in str(error.value)


def test_a_conversion_that_fails_leaves_the_names_of_the_file_in_the_message() -> None:
    with pytest.raises(WeightsError, match=r"unexpected \(conv1.weight; bn1.weight; bn1.bias \.\.\.\)"):
        fill("convnext_b", timm_checkpoint("resnet18"))


@pytest.mark.parametrize("prefix", ["module.", "model.", "backbone.", "module.model.", "_orig_mod."])
def test_a_prefix_does_not_keep_position_embeddings_from_being_resampled(prefix: str) -> None:
    state = timm_checkpoint("vit_small_patch14_dinov2", img_size=518, num_classes=3)
    state["pos_embed"] = torch.randn(state["pos_embed"].shape, generator=torch.Generator().manual_seed(0))
    plain, _ = fill("dinov2_s", state)
    others = {"decoder.weight": torch.zeros(2)} if prefix == "module.model." else {}
    held, ignored = fill("dinov2_s", {prefix + key: tensor for key, tensor in state.items()} | others)
    assert plain["pos_embed"].shape == (1, 257, 384)
    assert_same(held, plain)
    assert ignored == ["classifier head.weight (3, 384) was ignored", "classifier head.bias (3,) was ignored"]


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_a_prefix_does_not_keep_names_from_being_converted(prefix: str) -> None:
    """The first authors of ConvNeXt and timm call none of its parameters the same."""
    state = timm_checkpoint("convnext_base", num_classes=5)
    old = {prefix + of_the_authors(key): tensor for key, tensor in state.items()}
    held, ignored = fill("convnext_b", old)
    assert_same(held, state)
    assert ignored == ["classifier head.fc.weight (5, 1024) was ignored", "classifier head.fc.bias (5,) was ignored"]


def of_the_authors(name: str) -> str:
    name = name.replace("head.norm.", "norm.").replace("head.fc.", "head.").replace("mlp.fc", "pwconv")
    name = re.sub(r"^stem\.(\d)", r"downsample_layers.0.\1", name)
    name = re.sub(r"^stages\.(\d)\.downsample\.(\d)", r"downsample_layers.\1.\2", name)
    name = re.sub(r"^stages\.(\d)\.blocks\.(\d+)", r"stages.\1.\2", name)
    return name.replace("conv_dw", "dwconv")


def before_torch_04(state: State) -> State:
    """DenseNet's names while they might still have dots in them, as its official weights have them."""
    old = re.compile(r"(denselayer\d+\.(?:norm|conv))([12]\.)")
    return {old.sub(r"\1.\2", name): tensor for name, tensor in state.items() if "num_batches" not in name}


@pytest.mark.parametrize("name", ["torchvision:densenet121", "torchvision:densenet169", "densenet121"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_densenets_of_torchvision_keep_their_old_names(name: str, prefix: str) -> None:
    state = torchvision_checkpoint(name.removeprefix("torchvision:"))
    old = {prefix + key: tensor for key, tensor in before_torch_04(state).items()}
    assert f"{prefix}features.denseblock1.denselayer1.norm.1.weight" in old
    held, ignored = fill(name, old)
    zero = torch.zeros((), dtype=torch.long)
    assert_same(held, {key: zero if "num_batches" in key else tensor for key, tensor in state.items()})
    assert [line.partition(" (")[0] for line in ignored] == [
        "classifier classifier.weight",
        "classifier classifier.bias",
    ]


def test_a_densenet_of_old_names_is_the_network_of_the_new_ones(tmp_path: Path) -> None:
    import torchvision

    torch.manual_seed(0)
    own = torchvision.models.densenet121().eval()
    torch.save(before_torch_04(own.state_dict()), tmp_path / "old.pth")
    own.classifier = torch.nn.Identity()
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for name in ("torchvision:densenet121", "densenet121"):
            torch.testing.assert_close(load_backbone(name, weights=tmp_path / "old.pth").module(images)[0], own(images))


def test_the_vgg_of_timm_takes_the_weights_of_torchvision() -> None:
    """Its first fully connected layers are convolutions there."""
    state = torchvision_checkpoint("vgg11")
    held, ignored = fill("timm:vgg11", state)
    assert_same({key: held[key] for key in held if key.startswith("features.")}, state)
    first = state["classifier.0.weight"]
    assert torch.equal(held["pre_logits.fc1.weight"], first[0, 0].expand(4096, 512, 7, 7))
    assert [line.partition(" (")[0] for line in ignored] == ["classifier head.fc.weight", "classifier head.fc.bias"]


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("name", ["vit_b_16", "vit_l_32"])
def test_vision_transformers_of_torchvision_keep_their_old_names(name: str, prefix: str) -> None:
    state = torchvision_checkpoint(name)
    old = {
        prefix + key.replace(".mlp.0.", ".mlp.linear_1.").replace(".mlp.3.", ".mlp.linear_2."): tensor
        for key, tensor in state.items()
    }
    assert f"{prefix}encoder.layers.encoder_layer_0.mlp.linear_2.bias" in old
    held, ignored = fill(f"torchvision:{name}", old)
    assert_same(held, state)
    assert [line.partition(" (")[0] for line in ignored] == [
        "classifier heads.head.weight",
        "classifier heads.head.bias",
    ]


@pytest.mark.parametrize("name", ["mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"])
def test_mnasnets_load_though_they_ask_for_the_version_of_their_checkpoint(name: str) -> None:
    state = torchvision_checkpoint(name)
    held, ignored = fill(f"torchvision:{name}", state)
    assert_same(held, state)
    assert len(ignored) == 2


def test_an_mnasnet_whose_stem_is_of_the_first_version_is_refused_with_its_shape() -> None:
    state = torchvision_checkpoint("mnasnet0_5") | {"layers.0.weight": torch.zeros(32, 3, 3, 3)}
    with pytest.raises(
        WeightsError, match=r"file.pth does not fit MNASNet: .*layers.0.weight is \(32, 3, 3, 3\) instead of \(16, 3"
    ):
        fill("torchvision:mnasnet0_5", state)


@pytest.mark.parametrize(
    "name", ["vgg11_bn", "regnet_y_400mf", "shufflenet_v2_x0_5", "mobilenet_v3_small", "convnext_tiny", "swin_v2_t"]
)
def test_networks_of_torchvision_take_their_own_names_as_they_are(name: str) -> None:
    state = torchvision_checkpoint(name)
    held, _ = fill(f"torchvision:{name}", state)
    assert_same(held, state)


@pytest.mark.parametrize(("name", "size"), [("vit_b_16", 384), ("vit_l_16", 512), ("vit_h_14", 518)])
def test_vision_transformers_are_built_for_the_images_of_their_weights(name: str, size: int) -> None:
    import torchvision

    entry = find(f"torchvision:{name}.IMAGENET1K_SWAG_E2E_V1", OFFLINE)
    assert entry.info.input_size == size
    own = stand_in(on_meta(lambda: torchvision.models.get_model(name, weights=None, image_size=size)))
    held, _ = fill(entry.info.name, own)
    assert_same(held, own)
    with pytest.raises(WeightsError, match=r"1 of another shape \(encoder.pos_embedding"):
        fill(f"torchvision:{name}.IMAGENET1K_SWAG_LINEAR_V1", own)


@pytest.mark.parametrize("wrapper", ["state_dict_ema", "model_ema"])
def test_averaged_weights_are_read_where_there_are_no_others(wrapper: str, tmp_path: Path) -> None:
    last, averaged = {"conv.weight": torch.zeros(2)}, {"module.conv.weight": torch.ones(2)}
    torch.save({"epoch": 1, wrapper: averaged, "optimizer": {"lr": torch.ones(())}}, tmp_path / "averaged.pth")
    assert read_state(tmp_path / "averaged.pth")["module.conv.weight"].tolist() == [1, 1]
    for other in ("state_dict", "model"):
        torch.save({wrapper: averaged, other: last}, tmp_path / "both.pth")
        assert read_state(tmp_path / "both.pth")["conv.weight"].tolist() == [0, 0]


def test_averaged_weights_of_a_training_script_are_embedded_with(tmp_path: Path) -> None:
    import torchvision

    torch.manual_seed(0)
    own = torchvision.models.squeezenet1_1().state_dict()
    average = {f"module.{key}": tensor for key, tensor in own.items()} | {"n_averaged": torch.tensor(3)}
    torch.save({"model_ema": average, "epoch": 3, "args": {"lr": 0.1}}, tmp_path / "averaged.pth")
    module = load_backbone("squeezenet1_1", weights=tmp_path / "averaged.pth").module.network
    assert_same(module.state_dict(), own)
