"""What is tried while measuring, and what is decided in the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from medfeat.extraction.ask.run_settings import RunSettings
from medfeat.extraction.measure.half_precision import Agreement
from medfeat.types import Precision

if TYPE_CHECKING:
    from medfeat.extraction.network.forward import RowEmbedder


class Make(Protocol):
    """Builds a network ready to run; `copied` leaves the original as it is, so that float32 stays at hand."""

    def __call__(self, precision: Precision, batch_size: int, *, compiled: bool, copied: bool) -> RowEmbedder:
        """Return a network at this precision and batch size."""
        ...


@dataclass(frozen=True)
class Decision:
    """How to run.

    Attributes
    ----------
    settings
        For the manifest.
    embedder
        The network, already built with them.
    agreements
        One a view, where a half precision was measured against float32; empty otherwise.
    """

    settings: RunSettings
    embedder: RowEmbedder
    agreements: tuple[Agreement, ...] = ()


@dataclass
class Trial:
    """One precision, as fast as this machine runs it; its network is built when it is needed."""

    precision: Precision
    batch: int
    seconds: float  # of work an image (or volume)
    embedder: RowEmbedder | None = None
    compiled: bool = False
    final: bool = False  # compiling was tried, or does not pay
    eager: Trial | None = None  # what was compiled
