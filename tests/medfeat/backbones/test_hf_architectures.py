"""Architectures of transformers as they are published: what is read of them is what the library itself reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from medfeat.backbones import load_backbone
from medfeat.backbones.loading import Backbone
from medfeat.errors import UsageError, WeightsError
from medfeat.types import View

TINY: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
WINDOWS: dict[str, Any] = {
    "image_size": 32,
    "patch_size": 4,
    "embed_dim": 16,
    "depths": [1, 1],
    "num_heads": [2, 2],
    "window_size": 4,
}


def loaded(folder: Path, model: Any, *views: View) -> Backbone:
    """Save a model as it would be published, and load it by name."""
    model.save_pretrained(folder)
    size = {"size": {"height": 32, "width": 32}}
    (folder / "preprocessor_config.json").write_text(json.dumps(size))
    return load_backbone("hf:clinic/mine", weights=folder, offline=True, views=views or (View(),))


def pixels() -> torch.Tensor:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def assert_reads(backbone: Backbone, expected: torch.Tensor) -> None:
    with torch.inference_mode():
        (found,) = backbone.module(pixels())
    assert found.shape == expected.shape
    assert float(torch.nn.functional.cosine_similarity(found, expected).min()) > 0.9999


@pytest.mark.parametrize("name", ["Swin", "Swinv2"])
def test_networks_that_merge_patches_are_pooled_over_what_is_left(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**WINDOWS)
    model = getattr(transformers, f"{name}Model")(config).eval()
    backbone = loaded(tmp_path, model)
    with torch.inference_mode():
        output = model(pixels())
    assert backbone.views[0].pool == "mean"
    assert_reads(backbone, output.pooler_output)
    assert_reads(backbone, output.last_hidden_state.mean(1))
    with pytest.raises(UsageError, match="pool must be one of mean, max, tokens"):
        loaded(tmp_path, model, View(pool="cls"))


def words() -> dict[str, Any]:
    return {name: TINY[name] for name in TINY if name not in ("image_size", "patch_size")} | {"vocab_size": 50}


def published(name: str) -> tuple[Any, Any]:
    """Return a model with all its parts, and the part of it that sees images."""
    torch.manual_seed(0)
    if name == "CLIPVisionModelWithProjection":
        model = transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(**TINY, projection_dim=16))
        return model.eval(), model.vision_model
    if name == "DeiTForImageClassificationWithTeacher":
        model = transformers.DeiTForImageClassificationWithTeacher(transformers.DeiTConfig(**TINY))
        return model.eval(), model.deit
    kind = name.removesuffix("Model")
    config = getattr(transformers, f"{kind}Config")(text_config=words(), vision_config=TINY)
    model = getattr(transformers, name)(config).eval()
    return model, model.vision_model


@pytest.mark.parametrize(
    "name",
    ["CLIPModel", "SiglipModel", "CLIPVisionModelWithProjection", "DeiTForImageClassificationWithTeacher"],
)
def test_models_of_several_parts_give_the_one_that_sees_images(tmp_path: Path, name: str) -> None:
    model, sees = published(name)
    backbone = loaded(tmp_path, model)
    with torch.inference_mode():
        output = sees(pixel_values=pixels())
    assert_reads(backbone, output.last_hidden_state[:, 0] if name.startswith("DeiT") else output.pooler_output)
    told = {line.split()[1].partition(".")[0] for line in backbone.reported if line.startswith("classifier")}
    assert told == ({"cls_classifier", "distillation_classifier"} if name.startswith("DeiT") else set())
    others = [line for line in backbone.reported if not line.startswith("classifier")]
    assert others == ([] if name.startswith("DeiT") else ["weights under 'vision_model' were read"])


def test_a_tower_with_a_tensor_missing_is_still_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    loaded(tmp_path, published("CLIPModel")[0])
    state = load_file(tmp_path / "model.safetensors")
    del state["vision_model.encoder.layers.0.mlp.fc1.weight"]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"1 missing \(.*mlp.fc1.weight"):
        load_backbone("hf:clinic/mine", weights=tmp_path, offline=True)


def test_a_masked_autoencoder_sees_every_patch_in_its_place(tmp_path: Path) -> None:
    decoder = {f"decoder_{name}": TINY[name] for name in words() if name in TINY}
    torch.manual_seed(0)
    model = transformers.ViTMAEForPreTraining(transformers.ViTMAEConfig(**TINY, **decoder)).eval()
    backbone = loaded(tmp_path, model, View(), View(pool="tokens"))
    model.vit.config.mask_ratio = 0.0
    in_order = torch.linspace(0, 1, 16).expand(3, -1)
    with torch.inference_mode():
        (first, places), (again, _) = backbone.module(pixels()), backbone.module(pixels())
        output = model.vit(pixels(), noise=in_order).last_hidden_state
    assert backbone.views[0].pool == "cls"
    assert torch.equal(first, again)
    torch.testing.assert_close(first, output[:, 0])
    torch.testing.assert_close(places, output[:, 1:])


def test_sizes_that_contradict_each_other_are_said_in_one_line(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = transformers.ViTModel(transformers.ViTConfig(**TINY))
    loaded(tmp_path, model)
    config = json.loads((tmp_path / "config.json").read_text())
    for changed, said in (
        # neither on the meta device nor for real can such tensors be made
        ({"hidden_size": -8}, "hf:clinic/mine cannot be built by transformers"),
        ({"image_size": 64}, "ViTModel cannot take an image of 32 px as it is configured"),
        ({"num_channels": 1}, "ViTModel cannot take an image of 32 px as it is configured"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config | changed))
        with pytest.raises(UsageError, match=said) as error:
            load_backbone("hf:clinic/mine", weights=tmp_path, offline=True)
        assert "\n" not in str(error.value)
