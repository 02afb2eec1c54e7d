"""How a network is tuned: every choice that changes the result, as plain values that a checkpoint keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from medfeat.errors import UsageError

Mode = Literal["full", "last-blocks", "lora", "head"]
MODES: tuple[Mode, ...] = ("full", "last-blocks", "lora", "head")
LOSSES = ("ce", "focal")
CLASS_WEIGHTS = ("none", "balanced", "auto")
SAMPLERS = ("shuffled", "balanced")


@dataclass(frozen=True)
class TrainingSettings:
    """What decides the result of a training, beside its data and its start.

    Attributes
    ----------
    mode
        What is trained: all of the network, its last blocks, low-rank additions to its weights, or the head alone.
    epochs, batch_size
        Epochs of the whole schedule, and samples whose gradients make one step.
    lr, layer_decay
        Rate of the head and of the last layer, and the factor by which each earlier layer's is smaller.
    weight_decay, clip, warmup
        Of AdamW; largest norm of all gradients; share of the steps over which the rate rises.
    smoothing
        Of the labels of classes.
    loss
        ``ce`` (for labels that may come together: binary cross-entropy; for numbers: squared error) or ``focal``.
    class_weight, sampler
        Whether rare classes weigh more (``balanced``), or are drawn more often.
    augment
        Names of `medfeat.datasets.changes.CHANGES`; empty for none.
    patience
        Epochs without a better val score after which training stops.
    soup
        How many of the best epochs may be averaged where val gains by it; 1 keeps the best one alone.
    blocks, rank
        Units trained by ``last-blocks`` (0: its own choice), and rank of ``lora``.
    start
        Key of the run whose head this one starts as; empty for a head at zero.
    precision
        Of the forward pass while training: ``fp32`` or ``bf16``.
    train_batch_norm
        Let statistics of batch norm move.
    seed
        Of order, augmentation and dropout.
    """

    mode: Mode
    epochs: int
    batch_size: int
    lr: float
    layer_decay: float
    weight_decay: float
    clip: float = 1.0
    warmup: float = 0.1
    smoothing: float = 0.0
    loss: str = "ce"
    class_weight: str = "none"
    sampler: str = "shuffled"
    augment: tuple[str, ...] = ()
    patience: int = 5
    soup: int = 1
    blocks: int = 0
    rank: int = 8
    start: str = ""
    precision: str = "fp32"
    train_batch_norm: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience", "soup", "rank"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name.replace('_', '-')} must be 1 or more, got {getattr(self, name)}")
        if not self.lr > 0 or not 0 < self.layer_decay <= 1:
            raise UsageError(f"lr must be above 0 and layer-decay in (0, 1], got {self.lr} and {self.layer_decay}")
        for name, allowed in _ALLOWED.items():
            if getattr(self, name) not in allowed:
                raise UsageError(
                    f"{name.replace('_', '-')} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}"
                )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> TrainingSettings:
        """Read back what `to_dict` wrote."""
        known = {field.name: stored[field.name] for field in fields(cls)}
        return cls(**known | {"augment": tuple(known["augment"])})


_ALLOWED: Mapping[str, tuple[str, ...]] = {
    "mode": MODES,
    "loss": LOSSES,
    "class_weight": CLASS_WEIGHTS[:2],
    "sampler": SAMPLERS,
    "precision": ("fp32", "bf16"),
}
