"""A frozen network and everything that belongs to it, as one value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from medfeat.types import UNTRAINED, BackboneInfo, View

if TYPE_CHECKING:
    from torch import nn

RANDOM = "random"


@dataclass(frozen=True)
class Backbone:
    """A frozen network and everything that belongs to it.

    Attributes
    ----------
    info
        What it is, with the digest of its weights.
    module
        From normalised (B, 3, S, S) images to one tensor a view: (B, d), or (B, P, d) for ``tokens``.
    views
        What it returns, poolings resolved.
    dims
        Embedding length of each view; 0 when it depends on the images.
    takes_raw
        `module` takes uint8 images or volumes as they are, without preprocessing.
    reported
        What of the weights was read, where a file holds more than one network; what was ignored, and what was
        changed to fit; in words.
    """

    info: BackboneInfo
    module: nn.Module
    views: tuple[View, ...]
    dims: tuple[int, ...]
    takes_raw: bool = False
    reported: tuple[str, ...] = ()


def untrained(info: BackboneInfo, seed: int) -> BackboneInfo:
    """Return what is said of a network with random weights drawn from a seed."""
    return replace(
        info,
        name=f"{info.name}-random{seed}",
        origin="random",
        pretraining=UNTRAINED,
        overlap=(),
        note="; ".join(part for part in ("untrained, random weights", info.note) if part),
    )
