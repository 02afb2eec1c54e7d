"""Light changes to images while training, of those that leave the meaning of a dataset's images as it is."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

from medfeat.finetuning.tunable import Change

_SHIFT, _CONTRAST = 1 / 16, 0.1


def augmentation(changes: tuple[str, ...]) -> Callable[[torch.Generator], Change]:
    """Return what makes the change of an epoch from its random numbers.

    Parameters
    ----------
    changes
        Names of `medfeat.datasets.changes.CHANGES`.
    """

    def of_epoch(generator: torch.Generator) -> Change:
        return lambda images: _changed(images, changes, generator)

    return of_epoch


def _changed(images: torch.Tensor, changes: tuple[str, ...], generator: torch.Generator) -> torch.Tensor:
    """Change (n, 3, S, S) normalised images, each by its own draw."""
    count, side = len(images), images.shape[-1]
    draws = torch.rand(4, count, generator=generator)  # always all, so that one change more moves no other
    for name, axis, draw in (("mirror", 3, draws[0]), ("upside-down", 2, draws[1])):
        if name in changes:
            turned = (draw < 0.5).to(images.device).reshape(-1, 1, 1, 1)
            images = torch.where(turned, images.flip(axis), images)
    if "shift" in changes:
        images = _shifted(images, max(1, round(_SHIFT * side)), generator)
    if "contrast" in changes:
        images = images * (1 + _CONTRAST * (2 * draws[2] - 1)).to(images).reshape(-1, 1, 1, 1)
    return images


def _shifted(images: torch.Tensor, most: int, generator: torch.Generator) -> torch.Tensor:
    side = images.shape[-1]
    # The border goes on: a stripe of another colour is an edge no image has (BreastMNIST: probe loss 1.57, not 0.29).
    padded = functional.pad(images, (most, most, most, most), mode="replicate")
    down, right = torch.randint(0, 2 * most + 1, (2, len(images)), generator=generator).tolist()
    return torch.stack(
        [padded[i, :, y : y + side, x : x + side] for i, (y, x) in enumerate(zip(down, right, strict=True))]
    )
