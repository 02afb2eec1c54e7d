"""Weights that were changed to fit: by name, and where the change is too much, only when it is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from medfeat.backbones import load_backbone
from medfeat.errors import WeightsError

TINY = {"embed_dim": 192, "num_heads": 3}


def saved(folder: Path, name: str, prefix: str = "", **options: object) -> Path:
    torch.manual_seed(0)
    state = timm.create_model(name, **options).state_dict()
    torch.save({prefix + key: tensor for key, tensor in state.items()}, folder / "net.pth")
    return folder / "net.pth"


@pytest.mark.parametrize("prefix", ["", "module.", "teacher.backbone."])
def test_patches_of_another_size_are_refused_with_both_shapes(tmp_path: Path, prefix: str) -> None:
    file = saved(tmp_path, "vit_base_patch32_224", prefix, **TINY)
    with pytest.raises(WeightsError) as error:
        load_backbone("timm:vit_tiny_patch16_224", weights=file)
    for part in ("patch_embed.proj.weight", "(192, 3, 32, 32)", "(192, 3, 16, 16)", "--adapt"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_patches_of_another_size_are_resampled_when_asked_for_and_said(tmp_path: Path) -> None:
    file = saved(tmp_path, "vit_base_patch32_224", **TINY)
    backbone = load_backbone("timm:vit_tiny_patch16_224", weights=file, adapt=True)
    expected = timm.layers.resample_patch_embed(torch.load(file)["patch_embed.proj.weight"], [16, 16])
    torch.testing.assert_close(backbone.module.network.patch_embed.proj.weight.detach(), expected)
    assert "patch_embed.proj.weight was resampled from (192, 3, 32, 32) to (192, 3, 16, 16)" in backbone.reported
    assert "pos_embed was resampled from (1, 50, 192) to (1, 197, 192)" in backbone.reported


def test_a_position_table_of_another_image_size_is_resampled_and_said(tmp_path: Path) -> None:
    file = saved(tmp_path, "vit_tiny_patch16_384")
    backbone = load_backbone("timm:vit_tiny_patch16_224", weights=file)
    told = [line for line in backbone.reported if not line.startswith("classifier")]
    assert told == ["pos_embed was resampled from (1, 577, 192) to (1, 197, 192)"]


def test_a_table_of_relative_positions_is_said_too(tmp_path: Path) -> None:
    file = saved(tmp_path, "swin_tiny_patch4_window7_224", window_size=14)
    told = load_backbone("timm:swin_tiny_patch4_window7_224", weights=file).reported
    name = "layers.0.blocks.0.attn.relative_position_bias_table"
    assert f"{name} was resampled from (729, 3) to (169, 3)" in told


@pytest.mark.parametrize(("channels", "name"), [(1, "resnet18"), (4, "resnet18"), (1, "vit_tiny_patch16_224")])
def test_other_input_channels_are_refused_by_name(tmp_path: Path, channels: int, name: str) -> None:
    file = saved(tmp_path, name, in_chans=channels)
    first = "conv1.weight" if name == "resnet18" else "patch_embed.proj.weight"
    with pytest.raises(
        WeightsError, match=rf"of another shape \({first} is \(\d+, {channels}, .* instead of \(\d+, 3,"
    ):
        load_backbone(f"timm:{name}", weights=file)


def test_what_fits_as_it_is_has_nothing_to_report(tmp_path: Path) -> None:
    file = saved(tmp_path, "vit_tiny_patch16_224", num_classes=0)
    assert load_backbone("timm:vit_tiny_patch16_224", weights=file).reported == ()


def test_what_a_conversion_leaves_out_is_named(tmp_path: Path) -> None:
    file = saved(tmp_path, "vit_small_patch14_dinov2", img_size=224, num_classes=0)
    torch.save(torch.load(file) | {"mask_token": torch.zeros(1, 384), "head_of_ours": torch.zeros(3)}, file)
    with pytest.raises(WeightsError, match=r"1 unexpected \(head_of_ours\)"):
        load_backbone("dinov2_s", weights=file)
    torch.save({k: v for k, v in torch.load(file).items() if k != "head_of_ours"}, file)
    (line,) = load_backbone("dinov2_s", weights=file).reported
    assert "mask_token" in line


def test_the_decoder_of_a_masked_autoencoder_is_left_out_and_said(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict()
    decoder = {"mask_token": torch.zeros(1, 1, 8), "decoder_blocks.0.norm1.weight": torch.zeros(8)}
    torch.save({"model": encoder | decoder, "epoch": 3}, tmp_path / "mae.pth")
    backbone = load_backbone("timm:vit_tiny_patch16_224", weights=tmp_path / "mae.pth")
    assert torch.equal(backbone.module.network.pos_embed, encoder["pos_embed"])
    (line,) = backbone.reported
    assert "decoder_blocks.0.norm1.weight" in line and "mask_token" in line


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda t: (t * 10).to(torch.int8), "is int8 (64, 3, 3, 3) instead of (64, 3, 3, 3)"),
        (lambda t: t.to_sparse(), "is no plain tensor of numbers"),
        (lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), "is no plain tensor of numbers"),
        (lambda t: t.to("meta"), "is no plain tensor of numbers"),
    ],
    ids=["int8", "sparse", "quantised", "without values"],
)
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_tensors_that_are_no_plain_numbers_are_refused_by_name(tmp_path: Path, make: object, said: str) -> None:
    import torchvision

    state = dict(torchvision.models.squeezenet1_1().state_dict())
    state["features.0.weight"] = make(state["features.0.weight"])
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(WeightsError) as error:
        load_backbone("squeezenet1_1", weights=tmp_path / "net.pth")
    assert f"features.0.weight {said}" in str(error.value)
