"""The network's own reader of texts: what stands beside the image tower of models of images and texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from medfeat.backbones.backbone import Backbone
from medfeat.backbones.libraries.from_hf import projected
from medfeat.errors import MissingFileError, first_line
from medfeat.float32 import full_float32

_BATCH = 64
# These were trained on texts of one length, and read shorter ones otherwise.
_ONE_LENGTH = ("siglip",)


class TextTower:
    """Reads texts into the space of the images.

    Parameters
    ----------
    model
        Of images and texts.
    tokenizer
        Its own.

    Attributes
    ----------
    scale
        By which the model multiplies cosines of an image and a text.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model, self._tokenizer = model, tokenizer
        self.scale = float(model.logit_scale.exp()) if hasattr(model, "logit_scale") else 1.0

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (n, d) float32 vectors of texts, as the model's ``get_text_features`` gives them."""
        found = []
        for start in range(0, len(texts), _BATCH):
            with torch.inference_mode(), full_float32():
                tokens = self._tokens(list(texts[start : start + _BATCH]))
                found.append(projected(self._model.get_text_features(**tokens)).float().cpu().numpy())
        return np.concatenate(found)

    def _tokens(self, texts: list[str]) -> Any:
        config = self._model.config
        one_length = str(config.model_type).startswith(_ONE_LENGTH)
        return self._tokenizer(
            texts,
            padding="max_length" if one_length else True,
            truncation=True,
            max_length=int(config.text_config.max_position_embeddings),
            return_tensors="pt",
        )


def text_tower(backbone: Backbone, folder: Path | None = None) -> TextTower:
    """Return the reader of texts of a network whose images are projected.

    Parameters
    ----------
    backbone
        Loaded with the pooling ``projected``, in float32 on the CPU.
    folder
        Where the tokenizer is looked for first, beside weights of one's own; else in the network's repository.

    Raises
    ------
    MissingFileError
        There is no tokenizer.
    """
    repo, _, revision = backbone.info.source_id.partition("@")
    commit = {} if not revision or ":" in revision else {"revision": revision}
    names = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer_config.json")
    own = folder is not None and any((folder / name).is_file() for name in names)
    try:
        tokenizer = _tokenizer(folder) if own else _tokenizer(repo, **commit)
    except Exception as error:  # a missing, half-fetched or strange tokenizer fails in any way
        where = folder if own else f"https://huggingface.co/{repo}"
        raise MissingFileError(
            f"{backbone.info.name}: the tokenizer of {where} cannot be read ({first_line(error)}): put its files "
            "beside the weights, or run `hf download` where there is a network"
        ) from error
    return TextTower(backbone.module.network, tokenizer)


def _tokenizer(place: str | Path | None, **commit: str) -> Any:
    """Read a tokenizer that is here without asking a hub, which may take minutes to be out of reach."""
    try:
        return transformers.AutoTokenizer.from_pretrained(place, local_files_only=True, **commit)
    except Exception:  # not here, or half of it: the hub may have it
        return transformers.AutoTokenizer.from_pretrained(place, **commit)
