"""Where in an image a frozen network found what decided a score.

Grad-CAM for networks of feature maps (Selvaraju et al., ICCV 2017), attention rollout for transformers whose attention
can be read (Abnar and Zuidema, ACL 2020). The first is of one score, the second of the network alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import UsageError
from medfeat.extraction.network.preprocess import Preprocess, preprocess_list
from medfeat.float32 import full_float32
from medfeat.types import Fit, UInt8Array

if TYPE_CHECKING:
    import torch

    from medfeat.backbones import Backbone

GRAD_CAM, ROLLOUT = "Grad-CAM", "attention rollout"
Heat = NDArray[np.float32]


def saliency(
    backbone: Backbone, images: list[UInt8Array], directions: NDArray[np.float32], *, fit: Fit
) -> tuple[Heat, str]:
    """Return where each image holds what moves a score.

    Parameters
    ----------
    backbone
        Loaded, on the CPU in float32; its first view is looked at.
    images
        uint8 images.
    directions
        (n, d) gradient of each image's score by its embedding.
    fit
        How an image becomes the network's input.

    Returns
    -------
    heat
        (n, h, w) from 0 to 1, on the network's own grid over its input.
    method
        `GRAD_CAM` or `ROLLOUT`.

    Raises
    ------
    UsageError
        The network shows neither feature maps nor attention.
    """
    import torch

    found, name = [], ""
    for image, direction in zip(images, directions, strict=True):
        prepare = Preprocess(backbone.info, fit=fit, device=torch.device("cpu"), dtype=torch.float32)
        inputs = preprocess_list(prepare, [image]).requires_grad_(True)
        with _watched(backbone.module) as (maps, attention), torch.enable_grad(), full_float32():
            embedding = backbone.module(inputs)[0]
            if len(attention) > 1 and len({one.shape for one in attention}) == 1:
                found.append(_rolled(attention))
                name = ROLLOUT
                continue
            if not maps:
                raise UsageError(f"{backbone.info.name} shows neither feature maps nor attention")
            score = (embedding.reshape(-1) * torch.from_numpy(direction.astype(np.float32))).sum()
            found.append(_weighted(maps[-1], score))
            name = GRAD_CAM
    return np.stack([one / max(float(one.max()), 1e-12) for one in found]).astype(np.float32), name


@contextmanager
def _watched(module: torch.nn.Module) -> Iterator[tuple[list[torch.Tensor], list[torch.Tensor]]]:
    """Keep the feature maps and the attention of a forward pass; fused attention, which keeps none, is off inside."""
    maps: list[Any] = []
    attention: list[Any] = []

    def keep_map(_: Any, __: Any, out: Any) -> None:
        if getattr(out, "ndim", 0) == 4 and out.requires_grad and min(_sides(out)) > 1:
            maps.append(out)

    with ExitStack() as undo:
        parts: list[Any] = list(module.modules())
        for part in parts:
            if hasattr(part, "fused_attn") and hasattr(part, "attn_drop"):
                undo.callback(setattr, part, "fused_attn", part.fused_attn)
                part.fused_attn = False
                hook = part.attn_drop.register_forward_hook(lambda _, __, out: attention.append(out.detach()))
            else:
                hook = part.register_forward_hook(keep_map)
            undo.callback(hook.remove)
        yield maps, attention


def _last_is_channels(maps: torch.Tensor) -> bool:
    _, a, b, c = maps.shape
    return a == b and b != c


def _sides(maps: torch.Tensor) -> tuple[int, int]:
    _, a, b, c = maps.shape
    return (a, b) if _last_is_channels(maps) else (b, c)


def _weighted(maps: torch.Tensor, score: torch.Tensor) -> Heat:
    """Return Grad-CAM: maps weighted by their mean gradient, what lowers the score left out."""
    import torch

    (slope,) = torch.autograd.grad(score, maps)
    both = [one[0].permute(2, 0, 1) if _last_is_channels(maps) else one[0] for one in (maps, slope)]
    heat = (both[0] * both[1].mean(dim=(1, 2), keepdim=True)).sum(dim=0).clamp(min=0)
    return np.asarray(heat.detach().numpy(), np.float32)


def _rolled(attention: list[torch.Tensor]) -> Heat:
    """Return how much each patch reaches the token that stands for the image, through all layers."""
    import torch

    tokens = attention[0].shape[-1]
    side = math.isqrt(tokens)
    extra = tokens - side * side
    flow = torch.eye(tokens)
    for layer in attention:
        mixed = layer[0].float().mean(dim=0) / 2 + torch.eye(tokens) / 2
        flow = (mixed / mixed.sum(dim=-1, keepdim=True)) @ flow
    reached = flow[0] if extra else flow.mean(dim=0)
    return np.asarray(reached[extra:].reshape(side, side).numpy(), np.float32)
