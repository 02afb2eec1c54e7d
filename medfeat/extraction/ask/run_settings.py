"""How an extraction runs on this machine: decided before the first part, written in the manifest, kept by a resume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from medfeat.types import Precision


@dataclass(frozen=True)
class RunSettings:
    """What changes the last bits of an embedding without being part of its recipe.

    Attributes
    ----------
    device
        ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
    precision
        Resolved, never ``auto``.
    batch_size
        Images a forward pass; every batch has exactly this many, a short last one is padded.
    compiled
        Whether `torch.compile` with frozen weights runs the network.
    part_batches
        Batches in each durable part: what a kill can cost at most.
    torch_version
        Another one may round otherwise.
    hardware
        So may another processor, or another card, driver or cuDNN; empty in what was begun before this was kept.
    fused
        Whether clipped convolutions are single kernels, see `medfeat.extraction.network.fusing`.
    """

    device: str
    precision: Precision
    batch_size: int
    compiled: bool
    part_batches: int
    torch_version: str = ""
    hardware: str = ""
    fused: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values for the manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunSettings:
        """Read back what `to_dict` wrote."""
        return cls(**values)
