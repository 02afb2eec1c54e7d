"""Which rate each parameter learns at: smaller the earlier its layer, none of it decayed where decay has no meaning."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from medfeat.finetuning.training_settings import TrainingSettings

_FEWEST_BLOCKS = 3


@dataclass(frozen=True)
class Layers:
    """The layers of a network from its input to its head.

    Attributes
    ----------
    number
        Layer of each parameter by name: 0 what comes before the blocks, then a block each, then what comes after.
    last
        Number of the head's layer.
    """

    number: Mapping[str, int]
    last: int

    def scale(self, name: str, decay: float) -> float:
        """Return the factor of a parameter's rate: ``decay ** (layers between it and the head)``."""
        return float(decay ** (self.last - self.number[name]))


def _layers_of(network: nn.Module) -> Layers:
    """Return the layers of a network by its longest row of blocks, as Bao et al. (BEiT, 2022) number a transformer's.

    Parameters
    ----------
    network
        Without its head; where it has no row of at least three blocks, everything is one layer before the head.
    """
    path, count = _longest_row(network)
    prefix = f"{path}." if path else ""
    blocks = {name: i for i, (name, _) in enumerate(network.get_submodule(path).named_children())} if count else {}
    number, seen = {}, False
    for name, _ in network.named_parameters():
        block = blocks.get(name.removeprefix(prefix).partition(".")[0]) if name.startswith(prefix) else None
        seen = seen or block is not None
        # What comes before the blocks is layer 0; what comes after them learns at the head's own rate.
        number[name] = block + 1 if block is not None else count + 1 if seen else 0
    return Layers(number, count + 1)


def _longest_row(network: nn.Module) -> tuple[str, int]:
    """Return name and length of the longest sequence of modules of one class that hold parameters."""
    best = ("", 0)
    for path, module in network.named_modules():
        if not isinstance(module, (nn.Sequential, nn.ModuleList)):
            continue
        kinds = {type(child) for child in module.children()}
        full = all(any(True for _ in child.parameters()) for child in module.children())
        if len(kinds) == 1 and full and len(module) > best[1]:
            best = (path, len(module))
    return best if best[1] >= _FEWEST_BLOCKS else ("", 0)


def parameter_groups(network: nn.Module, head: nn.Module, settings: TrainingSettings) -> list[dict[str, Any]]:
    """Return what AdamW takes: parameters that learn, grouped by rate and decay; each group keeps its ``scale``.

    Parameters
    ----------
    network, head
        Parameters that need no gradient are left out.
    settings
        Rate, layer decay and weight decay; biases, norms, tokens and positions are not decayed.
    """
    layers = _layers_of(network)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            key = layers.scale(name, settings.layer_decay), _decay(name, parameter, settings)
            groups.setdefault(key, []).append(parameter)
    for name, parameter in head.named_parameters():
        groups.setdefault((1.0, _decay(name, parameter, settings)), []).append(parameter)
    return [
        {"params": found, "lr": settings.lr * scale, "scale": scale, "weight_decay": decay}
        for (scale, decay), found in sorted(groups.items(), key=lambda item: item[0])
    ]


def _decay(name: str, parameter: nn.Parameter, settings: TrainingSettings) -> float:
    plain = parameter.ndim < 2 or "token" in name or "pos_embed" in name or "position_embedding" in name
    return 0.0 if plain else settings.weight_decay


def rate_at(step: int, steps: int, warmup: float) -> float:
    """Return the share of the full rate at a step: a straight rise over the first steps, then half a cosine to zero.

    Parameters
    ----------
    step, steps
        From 0, of how many.
    warmup
        Share of the steps that rise.

    Examples
    --------
    >>> [round(rate_at(step, 10, 0.2), 3) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.038]
    """
    rising = max(1, round(warmup * steps)) if warmup > 0 else 0
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))
