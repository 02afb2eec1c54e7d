"""What a library hands over: an architecture, how to read it, and where its pretrained tensors are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from medfeat.backbones.weights.state import Adapt, State
from medfeat.types import BackboneInfo, Progress, SilentProgress

if TYPE_CHECKING:
    from torch import nn

    from medfeat.backbones.backbone_table import Entry
    from medfeat.backbones.features.views_of import Anatomy

T = TypeVar("T")


@dataclass(frozen=True)
class Network:
    """An architecture without its classifier.

    Attributes
    ----------
    module
        The network; its weights are whatever it was built with.
    anatomy
        How to read it.
    heads
        Name prefixes of the classifier's parameters, which a checkpoint may have and this network has not.
    adapt
        The library's own renaming and resampling of checkpoints that do not fit as they are.
    """

    module: nn.Module
    anatomy: Anatomy
    heads: tuple[str, ...] = ()
    adapt: Adapt | None = None


@dataclass(frozen=True)
class Access:
    """Under which conditions configurations and weights may be fetched.

    Attributes
    ----------
    offline
        Make no network call.
    trust_remote_code
        Let a Hugging Face repository run its own code.
    folder
        A saved Hugging Face model of the user's own, where configurations are looked for first.
    progress
        Told of what is downloaded.
    """

    offline: bool
    trust_remote_code: bool = False
    folder: Path | None = None
    progress: Progress = field(default_factory=SilentProgress, compare=False)


def on_meta(build: Callable[[], T]) -> T:
    """Build on the meta device, or for real where a constructor computes with tensors, as those of RegNet do."""
    import torch

    try:
        with torch.device("meta"):
            return build()
    except (NotImplementedError, RuntimeError):
        return build()


class Library(Protocol):
    """What medfeat asks of torchvision, timm and transformers, each in its own file."""

    def describe(self, source_id: str, access: Access) -> Entry:
        """Describe a network that has no short name, from the library's own configuration."""
        ...

    def build(self, entry: Entry, access: Access) -> Network:
        """Build the architecture on torch's current default device."""
        ...

    def locate(self, info: BackboneInfo, access: Access) -> tuple[BackboneInfo, Path]:
        """Find or download the file of the pretrained weights; the info comes back with its revision resolved."""
        ...

    def fill(self, network: Network, state: State, entry: Entry, origin: str) -> tuple[nn.Module, list[str]]:
        """Return the module with these weights, and what of them was ignored."""
        ...
