"""Low-rank additions to the weights of linear layers and convolutions (Hu et al., LoRA, ICLR 2022).

Written as a parametrisation of torch: the network's own code runs unchanged, names stay, and taking it out leaves plain
weights. Why not a library: see docs/decisions.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.utils import parametrize

_ALPHA = 2.0
"""How strongly an addition counts: alpha / rank of the paper, with alpha twice the rank."""


class _LowRank(nn.Module):
    """W + scale * B A, where B begins at zero: at first nothing is changed.

    Parameters
    ----------
    weight
        (out, ...) of the layer; what follows the first axis is taken as one.
    rank
        Of the addition; no larger than the weight's own.
    """

    def __init__(self, weight: torch.Tensor, rank: int) -> None:
        super().__init__()
        out, into = weight.shape[0], weight[0].numel()
        rank = min(rank, out, into)
        self.A = nn.Parameter(torch.empty(rank, into, device=weight.device, dtype=weight.dtype))
        self.B = nn.Parameter(torch.zeros(out, rank, device=weight.device, dtype=weight.dtype))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the weight with the addition."""
        return weight + _ALPHA * (self.B @ self.A).reshape(weight.shape)


def add_low_rank(network: nn.Module, rank: int, *, seed: int) -> int:
    """Give every linear layer and convolution an addition that learns, and freeze everything else.

    Parameters
    ----------
    network
        Changed in place.
    rank
        Of each addition.
    seed
        Of their first values.

    Returns
    -------
    int
        How many layers were given one.
    """
    network.requires_grad_(False)
    layers = [m for m in network.modules() if isinstance(m, (nn.Linear, nn.Conv2d)) and m.weight.shape[0] > 1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in layers:
            parametrize.register_parametrization(layer, "weight", _LowRank(layer.weight, rank))
            layer.parametrizations.weight.original.requires_grad_(False)  # type: ignore[union-attr]
    return len(layers)


def merge_low_rank(network: nn.Module) -> None:
    """Make the additions part of the weights, and take them out."""
    for module in list(network.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
