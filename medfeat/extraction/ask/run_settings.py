"""How an extraction runs on this machine: decided before the first part, written in the manifest, kept by a resume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from medfeat.types import Precision

if TYPE_CHECKING:
    import torch


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
    """

    device: str
    precision: Precision
    batch_size: int
    compiled: bool
    part_batches: int
    torch_version: str = ""

    @classmethod
    def here(
        cls, device: torch.device, precision: Precision, batch_size: int, compiled: bool, part_batches: int
    ) -> RunSettings:
        """Return settings for this machine and these libraries."""
        import torch

        return cls(str(device), precision, batch_size, compiled, part_batches, str(torch.__version__))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values for the manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunSettings:
        """Read back what `to_dict` wrote."""
        return cls(**values)
