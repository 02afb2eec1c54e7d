"""A Hugging Face cache with one tiny model in it, laid out as huggingface_hub lays it out."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

COMMIT = "0123456789abcdef0123456789abcdef01234567"


HOMEMADE = """
import torch
from transformers import PreTrainedModel, PreTrainedConfig
from transformers.modeling_outputs import BaseModelOutput

class Config(PreTrainedConfig):
    model_type = "homemade"

class Model(PreTrainedModel):
    config_class = Config
    main_input_name = "pixel_values"

    def __init__(self, config):
        super().__init__(config)
        self.mix = torch.nn.Conv2d(3, 5, 8, 8)
        self.post_init()

    def forward(self, pixel_values):
        return BaseModelOutput(last_hidden_state=self.mix(pixel_values))
"""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of Hugging Face."""
    import huggingface_hub.constants

    root = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(root))
    return root


@pytest.fixture
def repository(hub: Path) -> Path:
    """The snapshot of clinic/tiny, a DINOv2 with registers."""
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    snapshot = hub / "models--clinic--tiny" / "snapshots" / COMMIT
    refs = hub / "models--clinic--tiny" / "refs"
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
    return snapshot


@pytest.fixture
def homemade(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """clinic/tiny with code of its own."""
    from transformers import dynamic_module_utils

    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("sys.path", list(sys.path))
    (repository / "code.py").write_text(HOMEMADE)
    auto = {"AutoConfig": "code.Config", "AutoModel": "code.Model"}
    (repository / "config.json").write_text(json.dumps({"model_type": "homemade", "image_size": 56, "auto_map": auto}))
    torch.manual_seed(0)
    mix = torch.nn.Conv2d(3, 5, 8, 8)
    state = {f"mix.{name}": tensor for name, tensor in mix.state_dict().items()}
    save_file(state, repository / "model.safetensors", metadata={"format": "pt"})
    return repository
