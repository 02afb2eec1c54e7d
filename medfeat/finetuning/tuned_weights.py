"""Tuned weights as a file that `extract --weights` takes, with the story of the training in its header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from medfeat.backbones.weights.weights_file import TUNING
from medfeat_cache.files import replacing

WEIGHTS_FILE = "model.safetensors"


def write_weights(network: nn.Module, path: Path, facts: Mapping[str, Any] | None) -> None:
    """Write every parameter and buffer of a network under its library's names; whole and durable, or not at all.

    Parameters
    ----------
    network
        Without head.
    path
        Ends in ``.safetensors``.
    facts
        Plain JSON values: from which weights and how they were made; None where medfeat did not tune them.
    """
    from safetensors.torch import save_file

    state = {name: value.detach().cpu().contiguous().clone() for name, value in network.state_dict().items()}
    told = {} if facts is None else {TUNING: json.dumps(dict(facts))}
    with replacing(path, "writing the weights") as temporary:
        save_file(state, temporary, metadata={"format": "pt", **told})
