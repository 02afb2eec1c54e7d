"""The embedding of an image is the library's own: same pipeline, same numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medfeat.backbones import describe, load_backbone
from medfeat.backbones.loading import Backbone
from medfeat.extraction.network.preprocess import Preprocess
from medfeat.types import BackboneInfo, Fit

SIZES = (28, 64, 128, 224)
SQUEEZENET = "squeezenet1_1_torchvision_fp16src.pth"
MOBILENET = "mobilenet_v2_tf2ptq_timm.pth"
RESAMPLE = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def pictures(size: int, *, rgb: bool) -> np.ndarray:
    """Smooth blobs on noise: something between a photograph and a scan."""
    rng = np.random.default_rng(size)
    places = np.linspace(-1, 1, size)
    blobs = [np.exp(-((places[:, None] - x) ** 2 + (places - y) ** 2) * 8) for x, y in rng.uniform(-1, 1, (6, 2))]
    levels = np.stack([sum(blobs[i : i + 3]) for i in (0, 1, 2)], -1)[None] * rng.uniform(60, 110, (2, 1, 1, 3))
    images = np.clip(levels + rng.normal(0, 12, (2, size, size, 3)), 0, 255).astype(np.uint8)
    return images if rgb else images[..., 0]


def embed(backbone: Backbone, images: np.ndarray, fit: Fit) -> torch.Tensor:
    with torch.inference_mode():
        return backbone.module(Preprocess(backbone.info, fit=fit)(torch.from_numpy(images)))[0]


def by_pillow(info: BackboneInfo) -> Callable[[Image.Image], torch.Tensor]:
    def prepare(image: Image.Image) -> torch.Tensor:
        resized = image.convert("RGB").resize((info.input_size,) * 2, RESAMPLE[info.interpolation])
        levels = np.asarray(resized, np.float32) / 255
        return torch.from_numpy((levels - np.float32(info.mean)) / np.float32(info.std)).permute(2, 0, 1)

    return prepare


def cosine(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(ours, theirs).min())


def torchvision_pair(weights: Path | None) -> tuple[Backbone, torch.nn.Module, Callable[[Image.Image], torch.Tensor]]:
    import torchvision

    backbone = load_backbone("squeezenet1_1", weights=weights or "random")
    own = torchvision.models.squeezenet1_1()
    own.load_state_dict(backbone.module.network.state_dict(), strict=False)
    pooled = torch.nn.Sequential(own.features, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    return backbone, pooled, torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1.transforms()


def timm_pair(weights: Path | None) -> tuple[Backbone, torch.nn.Module, Callable[[Image.Image], torch.Tensor]]:
    import timm

    backbone = load_backbone("mobilenetv2_100", weights=weights or "random")
    own = timm.create_model("mobilenetv2_100", num_classes=0).eval()
    own.load_state_dict(backbone.module.network.state_dict())
    return backbone, own, timm.data.create_transform(**timm.data.resolve_data_config({}, model=own))


def transformers_pair(weights: Path | None) -> tuple[Backbone, torch.nn.Module, Callable[[Image.Image], torch.Tensor]]:
    from transformers import BeitConfig, BeitImageProcessorPil, BeitModel

    assert weights is not None
    backbone = load_backbone("beit-tiny", weights=weights)

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own = BeitModel(BeitConfig.from_pretrained(weights)).eval()
            self.own.load_state_dict(backbone.module.network.state_dict())

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.own(images).pooler_output

    processor = BeitImageProcessorPil(resample=2)
    return backbone, Pooled().eval(), lambda image: processor(image, return_tensors="pt")["pixel_values"][0]


def check(
    pair: tuple[Backbone, torch.nn.Module, Callable[[Image.Image], torch.Tensor]], images: np.ndarray, fit: Fit
) -> None:
    backbone, own, transform = pair
    prepare = transform if fit == "reference" else by_pillow(backbone.info)
    batch = torch.stack([prepare(Image.fromarray(image).convert("RGB")) for image in images])
    with torch.inference_mode():
        theirs = own(batch)
    ours = embed(backbone, images, fit)
    assert ours.shape == theirs.shape
    assert cosine(ours, theirs) >= 0.9999
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max()))


@pytest.fixture(scope="module")
def squeezenet() -> tuple[Backbone, torch.nn.Module, Callable[[Image.Image], torch.Tensor]]:
    return torchvision_pair(None)


@pytest.fixture(scope="module")
def mobilenet() -> tuple[Backbone, torch.nn.Module, Callable[[Image.Image], torch.Tensor]]:
    return timm_pair(None)


@pytest.fixture(scope="module")
def beit(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Backbone, torch.nn.Module, Callable[[Image.Image], torch.Tensor]]:
    """BEiT with two layers, saved as a Hugging Face folder and registered under its own name."""
    from dataclasses import replace

    from transformers import BeitConfig, BeitForImageClassification

    from medfeat.backbones import BACKBONES

    shape = {"num_hidden_layers": 2, "hidden_size": 48, "num_attention_heads": 2, "intermediate_size": 96}
    folder = tmp_path_factory.mktemp("beit")
    torch.manual_seed(0)
    BeitForImageClassification(BeitConfig(use_relative_position_bias=True, **shape)).save_pretrained(folder)
    entry = BACKBONES["beit"]
    BACKBONES.add("beit-tiny", replace(entry, options=dict(entry.options) | shape))
    try:
        pair = transformers_pair(folder)
    finally:
        BACKBONES.remove("beit-tiny")
    assert any(line.startswith("classifier classifier.weight") for line in pair[0].reported)
    return pair


@pytest.mark.parametrize("fit", ["whole", "reference"])
@pytest.mark.parametrize("rgb", [False, True], ids=["grey", "rgb"])
@pytest.mark.parametrize("size", [*SIZES, 300])
@pytest.mark.parametrize("source", ["squeezenet", "mobilenet", "beit"])
def test_embeddings_equal_the_library_s_own(
    request: pytest.FixtureRequest, source: str, size: int, rgb: bool, fit: Fit
) -> None:
    check(request.getfixturevalue(source), pictures(size, rgb=rgb), fit)


@pytest.mark.realdata
@pytest.mark.parametrize("fit", ["whole", "reference"])
@pytest.mark.parametrize("data", ["breastmnist", "retinamnist"])
@pytest.mark.parametrize("source", ["torchvision", "timm"])
def test_real_embeddings_of_real_images_equal_the_library_s_own(
    real_data: Path, source: str, data: str, fit: Fit
) -> None:
    pair = torchvision_pair(real_data / SQUEEZENET) if source == "torchvision" else timm_pair(real_data / MOBILENET)
    check(pair, np.load(real_data / f"{data}.npz")["test_images"][:16], fit)


def test_position_embeddings_are_resampled_when_the_input_is_not_the_native_one(tmp_path: Path) -> None:
    import timm

    native = timm.create_model("vit_small_patch14_dinov2", img_size=518, num_classes=0)
    torch.save(native.state_dict(), tmp_path / "dinov2.pth")
    backbone = load_backbone("dinov2_s", weights=tmp_path / "dinov2.pth")
    own = timm.create_model(
        "vit_small_patch14_dinov2",
        img_size=224,
        num_classes=0,
        pretrained=True,
        pretrained_cfg_overlay={"file": str(tmp_path / "dinov2.pth"), "num_classes": 0},
    ).eval()
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(backbone.module(images)[0], own(images))
    assert describe("dinov2_s").input_size == 224


def test_an_open_clip_checkpoint_gives_its_image_tower(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(0)
    tower = timm.create_model("vit_base_patch16_224", num_classes=0).eval()
    whole = {f"visual.trunk.{name}": tensor for name, tensor in tower.state_dict().items()}
    whole |= {
        "visual.head.proj.weight": torch.zeros(512, 768),
        "text.embeddings": torch.zeros(3),
        "logit_scale": torch.ones(()),
    }
    torch.save(whole, tmp_path / "open_clip_pytorch_model.bin")
    backbone = load_backbone("biomedclip", weights=tmp_path)
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(backbone.module(images)[0], tower(images))
