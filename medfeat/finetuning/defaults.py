"""Settings that suit a family of networks, each with where it comes from, and rates known to destroy one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from medfeat.finetuning.training_settings import Mode


@dataclass(frozen=True)
class TuningFamily:
    """What networks of one family are tuned with unless asked otherwise.

    Attributes
    ----------
    name
        ``transformer`` or ``convolutional``.
    lr, layer_decay, weight_decay
        For ``full`` and ``last-blocks``.
    lora_lr
        For ``lora``, which moves far fewer numbers.
    destroys
        A rate from which on what was learnt in pretraining is known to be lost.
    source
        Where these come from.
    """

    name: str
    lr: float
    layer_decay: float
    weight_decay: float
    lora_lr: float
    destroys: float
    source: str


FAMILIES = {
    "transformer": TuningFamily(
        name="transformer",
        lr=2e-5,
        layer_decay=0.75,
        weight_decay=0.05,
        lora_lr=2e-4,
        destroys=5e-4,
        source="Dong et al., CLIP itself is a strong fine-tuner, 2022 (arXiv:2212.06138); Bao et al., BEiT, ICLR 2022",
    ),
    "convolutional": TuningFamily(
        name="convolutional",
        lr=1e-4,
        layer_decay=1.0,
        weight_decay=1e-4,
        lora_lr=1e-3,
        destroys=5e-3,
        source="Doerrich et al., 2025: AdamW at 1e-4 over all layers on the twelve 2D sets",
    ),
}
_HEAD_LR = 1e-3
"""Of a head that is trained alone, or that starts from nothing."""
EPOCHS = 10
BATCH_SIZE = 32
SMOOTHING = 0.1
"""Szegedy et al., CVPR 2016; of softmax outputs alone."""

# Not the attention to channels that convolutional networks have.
_ATTENTION = re.compile(r"(?<!Channel)Attention(?!Pool)")
_ATTENTION_BLOCKS = 3


def family_of(network: nn.Module) -> TuningFamily:
    """Tell a network's family: a transformer has at least three layers of attention (over places, not channels)."""
    layers = [module for module in network.modules() if _ATTENTION.search(type(module).__name__)]
    return FAMILIES["transformer" if len(layers) >= _ATTENTION_BLOCKS else "convolutional"]


def default_rate(family: TuningFamily, mode: Mode, *, from_probe: bool) -> float:
    """Return the rate a mode starts with."""
    if mode == "head" or not from_probe:
        return _HEAD_LR if mode == "head" else family.lr
    return family.lora_lr if mode == "lora" else family.lr


def warning(family: TuningFamily, mode: Mode, lr: float) -> str | None:
    """Return the loud word on a rate that is known to destroy, None for any other."""
    if mode in ("head", "lora") or lr < family.destroys:
        return None
    return (
        f"WARNING: a learning rate of {lr:g} is known to destroy a pretrained {family.name} network: expect less than "
        f"the linear probe; {family.lr:g} is what suits it (--lr {family.lr:g})"
    )
