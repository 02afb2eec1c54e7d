"""What embeds this kind of data: images or volumes, with a network or without weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medfeat.extraction.network.copies import AveragedForward
from medfeat.extraction.network.forward import Forward, RawForward, RowEmbedder
from medfeat.extraction.network.slice_pooling import DEFAULT_POLICY
from medfeat.extraction.network.volumes import VolumeForward
from medfeat.types import DatasetInfo, Fit, Precision

if TYPE_CHECKING:
    import torch

    from medfeat.backbones import Backbone


def make_embedder(
    backbone: Backbone,
    dataset: DatasetInfo,
    *,
    fit: Fit,
    device: torch.device,
    precision: Precision,
    batch_size: int,
    compiled: bool = False,
    copies: str = "",
) -> RowEmbedder:
    """Build what runs a backbone over the images or volumes of a dataset.

    Parameters
    ----------
    backbone
        Moved to `device` and cast to `precision` in place.
    dataset
        Says whether there are images or volumes, and how large.
    fit, device, precision, batch_size, compiled
        As `medfeat.extraction.network.forward.Forward` takes them; for volumes the batch is one of slices.
    copies
        Of each image, whose vectors are averaged; as a recipe spells them.
    """
    if backbone.takes_raw:
        return RawForward(backbone, device=device, batch_size=batch_size, volumes=dataset.ndim == 3)
    forward = Forward(backbone, fit=fit, device=device, precision=precision, batch_size=batch_size, compiled=compiled)
    if dataset.ndim == 2:
        return AveragedForward(forward, copies) if copies else forward
    return VolumeForward(forward, [view.slices or DEFAULT_POLICY for view in backbone.views], dataset.size)
