"""Any repository of Hugging Face, from its cache."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from medfeat.backbones import describe, load_backbone
from medfeat.backbones.from_hf import read_processing
from medfeat.errors import MissingFileError, UsageError, WeightsError
from medfeat.types import View

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny DINOv2 with registers, laid out as huggingface_hub lays out its cache."""
    import huggingface_hub.constants
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    root = tmp_path / "hub"
    snapshot = root / "models--clinic--tiny" / "snapshots" / COMMIT
    refs = root / "models--clinic--tiny" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text(COMMIT)
    torch.manual_seed(0)
    config = Dinov2WithRegistersConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=56, patch_size=14, num_register_tokens=3
    )
    Dinov2WithRegistersModel(config).save_pretrained(snapshot)
    processor = {
        "crop_size": {"height": 56, "width": 56},
        "do_center_crop": True,
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [0.4, 0.5, 0.6],
        "resample": 3,
        "size": {"shortest_edge": 64},
    }
    (snapshot / "preprocessor_config.json").write_text(json.dumps(processor))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(root))
    monkeypatch.setattr(huggingface_hub.file_download.constants, "HF_HUB_CACHE", str(root))
    return snapshot


def test_a_cached_repository_is_described_by_its_own_files(repository: Path) -> None:
    info = describe("hf:clinic/tiny")
    assert (info.name, info.input_size, info.resize, info.squash) == ("hf:clinic/tiny", 56, 64, False)
    assert (info.mean, info.std, info.interpolation) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bicubic")


def test_loading_resolves_the_revision_and_skips_register_tokens(repository: Path) -> None:
    backbone = load_backbone(
        "hf:clinic/tiny", offline=True, views=[View(), View(pool="tokens"), View("encoder.layer.0", "cls")]
    )
    assert backbone.info.source_id == f"clinic/tiny@{COMMIT}"
    assert backbone.views[0].pool == "cls"
    with torch.inference_mode():
        first, patches, early = backbone.module(torch.randn(2, 3, 56, 56))
    assert (first.shape, patches.shape, early.shape) == ((2, 24), (2, 16, 24), (2, 24))


def test_a_folder_of_one_s_own_is_weights_and_configuration(repository: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    repository.rename(own)
    backbone = load_backbone("hf:clinic/mine", weights=own, offline=True)
    assert backbone.info.origin == "file"
    assert backbone.dims == (24,)


def test_a_folder_of_other_weights_is_refused(repository: Path) -> None:
    with pytest.raises(WeightsError, match="does not fit Dinov2Model"):
        load_backbone("rad_dino", weights=repository)


def test_a_repository_that_is_not_here_has_a_name_and_no_more() -> None:
    info = describe("hf:clinic/unknown")
    assert (info.name, info.source_id) == ("hf:clinic/unknown", "clinic/unknown")
    with pytest.raises(MissingFileError, match=r"https://huggingface.co/clinic/unknown"):
        load_backbone("hf:clinic/unknown", offline=True)


def test_code_of_a_repository_is_not_run_unless_asked(repository: Path) -> None:
    trace = repository / "ran"
    (repository / "code.py").write_text(f"open({str(trace)!r}, 'w')")
    config = json.loads((repository / "config.json").read_text())
    config |= {"model_type": "homemade", "auto_map": {"AutoConfig": "code.Config", "AutoModel": "code.Model"}}
    (repository / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="trust_remote_code") as error:
        load_backbone("hf:clinic/tiny", offline=True)
    assert "\n" not in str(error.value)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("content", "size", "resize", "squash"),
    [
        ({"size": {"height": 384, "width": 384}}, 384, 384, True),
        ({"size": 224, "do_center_crop": False}, 224, 224, True),
        ({"size": 256, "do_center_crop": True, "crop_size": 224}, 224, 256, False),
        (
            {"size": {"shortest_edge": 518}, "do_center_crop": True, "crop_size": {"height": 518, "width": 518}},
            518,
            518,
            False,
        ),
    ],
)
def test_image_processors_of_every_age_are_understood(
    content: dict[str, object], size: int, resize: int, squash: bool
) -> None:
    processing = read_processing(content, 224)
    assert (processing.size, processing.resize, processing.squash) == (size, resize, squash)
