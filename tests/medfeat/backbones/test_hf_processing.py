"""Images are prepared as the image processor of the repository does it, or the repository is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from medfeat.backbones import describe
from medfeat.backbones.libraries.hf_processing import read_processing
from medfeat.errors import DataError
from medfeat.extraction.network.preprocess import Preprocess
from medfeat.types import BackboneInfo, Fit

NORMAL = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
SQUARE = {"size": {"height": 32, "width": 32}}


def info_of(content: dict[str, Any]) -> BackboneInfo:
    found = read_processing(content, 32)
    return BackboneInfo(
        name="hf:clinic/mine",
        source="hf",
        source_id="clinic/mine",
        input_size=found.size,
        mean=found.mean,
        std=found.std,
        interpolation=found.interpolation,
        pool="own",
        resize=found.resize,
        squash=found.squash,
    )


def picture(height: int, width: int) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (8, 10, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def ours(content: dict[str, Any], image: np.ndarray, fit: Fit = "reference") -> torch.Tensor:
    return Preprocess(info_of(content), fit=fit)(torch.from_numpy(image.copy())[None])


def theirs(content: dict[str, Any], image: np.ndarray, folder: Path) -> torch.Tensor:
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    return processor(Image.fromarray(image), return_tensors="pt")["pixel_values"]


@pytest.mark.parametrize("shape", [(60, 80), (90, 50), (24, 24)])
@pytest.mark.parametrize(
    "content",
    [
        {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 64}, "crop_pct": 0.875},
        {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 48}, "crop_pct": 0.95} | NORMAL,
        {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}, "crop_pct": 0.875},
        {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 40}},
        {"feature_extractor_type": "ConvNextFeatureExtractor", "size": 64, "crop_pct": 0.875, "resample": 3},
        {"image_processor_type": "ViTImageProcessor", "rescale_factor": 1 / 127.5, "do_normalize": False} | SQUARE,
        {"image_processor_type": "ViTImageProcessor", "rescale_factor": 0.01} | SQUARE | NORMAL,
        {"image_processor_type": "ViTImageProcessor", "do_rescale": False, "image_mean": [99.0, 120, 130]} | SQUARE,
        {"image_processor_type": "ViTImageProcessor"} | SQUARE,
        {"feature_extractor_type": "ViTFeatureExtractor", "size": 32},
        {"image_processor_type": "ViTImageProcessorFast", "do_normalize": None} | SQUARE,
        {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 24}, "crop_size": 24},
        {"image_processor_type": "ViTImageProcessor", "crop_pct": 0.9, "include_top": True} | SQUARE,
        {"image_processor_type": "EfficientNetImageProcessor"} | SQUARE | NORMAL,
    ],
)
def test_images_are_prepared_as_the_library_does(
    content: dict[str, Any], shape: tuple[int, int], tmp_path: Path
) -> None:
    image = picture(*shape)
    wanted, found = theirs(content, image, tmp_path), ours(content, image)
    assert found.shape == wanted.shape
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))


def test_another_scale_of_colours_counts_under_every_fit(tmp_path: Path) -> None:
    content = {"image_processor_type": "ViTImageProcessor", "rescale_factor": 1 / 127.5} | SQUARE | NORMAL
    image = picture(60, 80)
    torch.testing.assert_close(ours(content, image, "whole"), theirs(content, image, tmp_path), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"do_flip_channel_order": True}, "do_flip_channel_order to True"),
        ({"image_processor_type": "MobileViTImageProcessor"}, "do_flip_channel_order to True"),
        ({"rescale_offset": True}, "rescale_offset to True"),
        ({"do_resize": False}, "do_resize to False"),
        ({"size": {"height": 32, "width": 48}}, "size to {'height': 32, 'width': 48}"),
        ({"size": [32, 48]}, r"size to \[32, 48\]"),
        ({"do_center_crop": True, "crop_size": {"height": 16, "width": 24}}, "crop_size to {'height': 16"),
        ({"image_processor_type": "PoolFormerImageProcessor", "crop_pct": 0.9}, "crop_pct to 0.9"),
    ],
)
def test_steps_that_would_be_left_out_are_refused(repository: Path, content: dict[str, Any], key: str) -> None:
    file = repository / "preprocessor_config.json"
    file.write_text(json.dumps(NORMAL | SQUARE | content))
    with pytest.raises(DataError, match=f"preprocessor_config.json sets {key}.*name another backbone") as error:
        describe("hf:clinic/tiny")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("factor", [0, -1, float("nan"), "small"])
def test_a_scale_that_makes_no_sense_is_refused(repository: Path, factor: object) -> None:
    (repository / "preprocessor_config.json").write_text(json.dumps(NORMAL | {"rescale_factor": factor}))
    with pytest.raises(DataError, match="does not say how images are prepared"):
        describe("hf:clinic/tiny")


def test_a_size_that_is_not_told_is_the_network_s_own() -> None:
    assert read_processing({"image_processor_type": "ViTImageProcessor"}, 48).size == 48


@pytest.mark.parametrize("kind", ["NoSuchProcessor", "AutoModel", "__path__", 3])
def test_a_class_that_is_no_processor_has_no_defaults(kind: object) -> None:
    found = read_processing({"image_processor_type": kind} | SQUARE, 48)
    assert (found.size, found.mean, found.std) == (32, (0.0,) * 3, (1.0,) * 3)
