"""What a training needs, counted on the meta device: nothing is loaded and nothing computed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from medfeat.backbones import describe
from medfeat.backbones.library import Access
from medfeat.backbones.loading import skeleton
from medfeat.backbones.naming import find
from medfeat.errors import UsageError
from medfeat.extraction.network.volumes import views_for
from medfeat.finetuning.defaults import family_of
from medfeat.types import DatasetInfo, View
from medfeat_cache.commands import command

_FLOAT = 4
# A weight, its gradient and the two moments of AdamW.
_COPIES_TRAINED = 4


@dataclass(frozen=True)
class Needs:
    """Bytes and shares of work.

    Attributes
    ----------
    family
        Name of the network's.
    weights_bytes
        Of the whole network.
    memory_bytes
        Weights, gradients, optimiser and the activations of a batch.
    checkpoint_bytes
        Of a checkpoint and the best epoch beside it.
    share_run, share_trained
        How much of the network runs in every epoch, and how much of it learns, 0 to 1.
    """

    family: str
    weights_bytes: int
    memory_bytes: int
    checkpoint_bytes: int
    share_run: float
    share_trained: float


def needs_of(backbone: str, dataset: DatasetInfo, *, mode: str, batch_size: int, slices: str | None) -> Needs:
    """Count what tuning a registered network would need.

    Parameters
    ----------
    backbone
        A name.
    dataset
        Says whether there are slices.
    mode, batch_size, slices
        As asked.

    Raises
    ------
    UsageError
        A backbone without weights.
    """
    info = describe(backbone)
    if info.source == "weights-free":
        raise UsageError(f"{backbone} has no weights to tune: name one ({command('list', 'backbones')})")
    access = Access(offline=True)
    network, _ = skeleton(find(backbone, access), views_for((View(slices=slices),), dataset, info), access)
    weights = _FLOAT * sum(parameter.numel() for parameter in network.module.parameters())
    share = {"full": 1.0, "lora": 1.0, "last-blocks": 0.25, "head": 0.0}[mode]
    trained = 0.02 * weights if mode == "lora" else share * weights
    passing = batch_size if dataset.ndim == 2 else 16
    kept = share * _activations(network.module, network.anatomy.features, info.input_size) * passing
    return Needs(
        family=family_of(network.module).name,
        weights_bytes=weights,
        memory_bytes=round(weights + (_COPIES_TRAINED - 1) * trained + kept),
        checkpoint_bytes=round(_COPIES_TRAINED * trained),
        share_run=share,
        share_trained=share,
    )


def _activations(network: nn.Module, features: object, size: int) -> int:
    """Return the bytes that one image leaves behind in the layers of a network while it is trained."""
    found: list[int] = []

    def count(_module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor):
            found.append(output.numel())

    handles = [m.register_forward_hook(count) for m in network.modules() if not any(True for _ in m.children())]
    try:
        with torch.no_grad():
            features(network, torch.empty(1, 3, size, size, device="meta"))  # type: ignore[operator]
    finally:
        for handle in handles:
            handle.remove()
    return _FLOAT * sum(found)
