"""Small networks in the caches of the libraries, under the names of large ones; no test needs another download."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

_COMMIT = "0123456789abcdef0123456789abcdef01234567"
_WORDS = [
    "[PAD]",
    "[UNK]",
    "[BOS]",
    "[EOS]",
    "a",
    "an",
    "image",
    "of",
    "dark",
    "bright",
    "photo",
    "no",
    "black",
    "white",
]
SIDE = 32
DINO = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 56, "patch_size": 14}
MEAN, STD = [0.5] * 3, [0.25] * 3


def in_hub(hub: Path, repo: str) -> Path:
    """Return the folder of a repository in a cache of Hugging Face, made as huggingface_hub lays it out."""
    place = hub / f"models--{repo.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(_COMMIT)
    snapshot = place / "snapshots" / _COMMIT
    snapshot.mkdir(parents=True)
    return snapshot


def put_timm(hub: Path, name: str) -> None:
    """Put random weights of a timm network where its own would be."""
    import timm

    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False)
    save_file(network.state_dict(), in_hub(hub, f"timm/{name}") / "model.safetensors")


def put_dino(folder: Path) -> None:
    """Save a small DINOv2 as transformers saves one."""
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    Dinov2Model(Dinov2Config(**DINO)).save_pretrained(folder)


def put_texts(folder: Path, kind: str = "clip") -> torch.nn.Module:
    """Save a small model of images and texts with its tokenizer of fourteen words, and return it."""
    import transformers

    small = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    text = {**small, "hidden_size": 24, "vocab_size": len(_WORDS), "max_position_embeddings": 12}
    text |= {"eos_token_id": 3, "bos_token_id": 2, "pad_token_id": 0}
    vision = {**small, "hidden_size": 24, "image_size": SIDE, "patch_size": 8}
    torch.manual_seed(0)
    if kind == "clip":
        config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=20)
        built = transformers.CLIPModel(config).eval()
    else:
        config = transformers.SiglipConfig(text_config={**text, "projection_size": 24}, vision_config=vision)
        built = transformers.SiglipModel(config).eval()
    built.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    processing = {"do_resize": True, "size": {"height": SIDE, "width": SIDE}, "resample": 3, "do_normalize": True}
    processing |= {"do_rescale": True, "rescale_factor": 1 / 255, "image_mean": MEAN, "image_std": STD}
    (folder / "preprocessor_config.json").write_text(json.dumps(processing))
    return built


def tokenizer() -> Any:
    """Fourteen words, each a token."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    built = Tokenizer(models.WordLevel({word: number for number, word in enumerate(_WORDS)}, unk_token="[UNK]"))
    built.pre_tokenizer = pre_tokenizers.Whitespace()
    built.post_processor = processors.TemplateProcessing(
        single="[BOS] $A [EOS]", special_tokens=[("[BOS]", 2), ("[EOS]", 3)]
    )
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "bos_token": "[BOS]", "eos_token": "[EOS]"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=built, **special)
