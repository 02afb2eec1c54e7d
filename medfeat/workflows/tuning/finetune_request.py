"""What is asked of a fine-tuning, and the settings that follow from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from medfeat.datasets import DATASETS
from medfeat.datasets.labels.class_spelling import class_list
from medfeat.errors import UsageError
from medfeat.evaluation.measures.bootstrap import RESAMPLES
from medfeat.finetuning.defaults import BATCH_SIZE, EPOCHS, SMOOTHING, TuningFamily, default_rate
from medfeat.finetuning.training_settings import CLASS_WEIGHTS, LOSSES, MODES, SAMPLERS, Mode, TrainingSettings
from medfeat.types import TASK_TYPES, Fit
from medfeat.workflows.asking.data_options import DataOptions
from medfeat.workflows.asking.question import Question
from medfeat.workflows.asking.wanted import Wanted, wanted_request, wanted_views
from medfeat_cache.commands import command

_AUGMENT = ("auto", "none")
FROM_PROBE = ("auto", "never")


@dataclass(frozen=True)
class FinetuneOptions:
    """Options of `medfeat.finetune` that say how to train; None means what suits the network.

    Attributes
    ----------
    mode
        ``full``, ``last-blocks``, ``lora`` or ``head``.
    epochs, batch_size, lr, layer_decay, weight_decay, smoothing, patience, soup
        As in `medfeat.finetuning.training_settings.TrainingSettings`.
    max_minutes
        After which training stops.
    class_weight, loss, sampler, augment
        Names; ``auto`` decides by the data.
    from_probe
        ``auto`` starts from the linear probe, ``never`` from a head at zero; anything else names a run.
    blocks, rank
        Of ``last-blocks``, and of ``lora``.
    train_batch_norm
        Let statistics of batch norm move.
    """

    mode: str = "full"
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    layer_decay: float | None = None
    weight_decay: float | None = None
    smoothing: float | None = None
    patience: int | None = None
    max_minutes: float | None = None
    class_weight: str = "none"
    loss: str = "ce"
    sampler: str = "shuffled"
    augment: str | None = None
    from_probe: str = "auto"
    blocks: int = 0
    rank: int = 8
    train_batch_norm: bool = False
    soup: int = 1

    def __post_init__(self) -> None:
        for name, allowed in (
            ("mode", MODES),
            ("class_weight", CLASS_WEIGHTS),
            ("loss", LOSSES),
            ("sampler", SAMPLERS),
            ("augment", (None, *_AUGMENT)),
        ):
            if getattr(self, name) not in allowed:
                known = ", ".join(str(one) for one in allowed if one)
                raise UsageError(f"--{name.replace('_', '-')} must be one of {known}, got {getattr(self, name)!r}")
        if self.max_minutes is not None and not self.max_minutes > 0:
            raise UsageError(f"--max-minutes must be above 0, got {self.max_minutes}")

    @property
    def augments(self) -> bool:
        """Whether images are changed while training: by default where the network runs in every epoch anyway."""
        return self.augment == "auto" or (self.augment is None and self.mode in ("full", "lora"))

    def settings(
        self, family: TuningFamily, *, seed: int, start: str, precision: str, changes: tuple[str, ...], balanced: bool
    ) -> TrainingSettings:
        """Fill in what was left open.

        Parameters
        ----------
        family
            Of the network.
        seed, precision
            Of this training.
        start
            Key of the run whose head it starts as, if it does.
        changes
            What augmentation may do to this data.
        balanced
            Whether ``--class-weight auto`` balances.
        """
        mode: Mode = self.mode  # type: ignore[assignment]  # checked above
        probe = self.from_probe != "never"
        auto = "balanced" if balanced else "none"
        return TrainingSettings(
            mode=mode,
            epochs=_or(self.epochs, EPOCHS),
            batch_size=_or(self.batch_size, BATCH_SIZE),
            lr=_or(self.lr, default_rate(family, mode, from_probe=probe)),
            layer_decay=_or(self.layer_decay, family.layer_decay),
            weight_decay=_or(self.weight_decay, family.weight_decay),
            smoothing=_or(self.smoothing, SMOOTHING),
            patience=_or(self.patience, 5),
            soup=self.soup,
            class_weight=auto if self.class_weight == "auto" else self.class_weight,
            loss=self.loss,
            sampler=self.sampler,
            augment=changes if self.augments else (),
            blocks=self.blocks,
            rank=self.rank,
            start=start if probe else "",
            precision=precision,
            train_batch_norm=self.train_batch_norm,
            seed=seed,
        )


@dataclass(frozen=True)
class NetworkOptions:
    """Which network is tuned, and how images reach it: as `medfeat.extract` takes them."""

    backbone: str
    weights: str | None = None
    seed: int = 0
    pool: str | None = None
    slices: str | None = None
    fit: Fit = "whole"
    offline: bool = False
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        if "," in self.backbone or self.backbone in ("", "all"):
            raise UsageError(f"--backbone names one network to tune, got {self.backbone!r}")
        if self.fit not in get_args(Fit):
            raise UsageError(f"--fit must be one of {', '.join(get_args(Fit))}, got {self.fit!r}")


@dataclass(frozen=True)
class FinetuneRequest:
    """What is asked of a fine-tuning, in one value.

    Attributes
    ----------
    data, network, options
        On what, what, and how: one dataset as `medfeat.finetune` takes it.
    question
        As it was put; `asked` is the one to put to a store.
    opened
        How the data is opened, as it was said; `opening` is how it is.
    precision, device, shots, resamples, cache_dir
        As `medfeat.finetune` takes them.
    """

    data: str
    network: NetworkOptions
    options: FinetuneOptions = field(default_factory=FinetuneOptions)
    question: Question = field(default_factory=Question)
    opened: DataOptions = field(default_factory=DataOptions)
    precision: str = "auto"
    device: str = "auto"
    shots: int | None = None
    resamples: int = RESAMPLES
    cache_dir: str | Path | None = None

    @property
    def asked(self) -> Question:
        """The question that a store is asked."""
        return replace(self.question, classes=None) if self._own_labels else self.question

    @property
    def opening(self) -> DataOptions:
        """How the data is opened: what labels of own images mean is said when they are read."""
        if not self._own_labels:
            return self.opened
        task = next((one for one in TASK_TYPES if one == self.question.task), None)
        classes = self.question.classes
        return replace(self.opened, task=task, classes=None if classes is None else class_list(classes))

    @property
    def _own_labels(self) -> bool:
        return self.question.labels is None and self.data not in DATASETS

    def wanted(self, weights: str | Path | None, precision: str) -> Wanted:
        """Return the embeddings of the data through the network with some weights, as `extract_wanted` takes them."""
        network = self.network
        request = wanted_request(
            wanted_views(pool=network.pool, slices=network.slices),
            fit=network.fit,
            precision=precision,
            weights=weights,
            seed=network.seed,
            offline=network.offline,
            trust_remote_code=network.trust_remote_code,
        )
        return Wanted(self.data, network.backbone, request, self.opening, cache_dir=self.cache_dir)

    def how_to_extract(self) -> str:
        """Return the command that embeds the data as its probe needs it."""
        network = self.network
        return command(
            "extract",
            data=self.data,
            backbone=network.backbone,
            weights=None if network.weights is None else str(network.weights),
            seed=network.seed or None,
            pool=network.pool,
            slices=network.slices,
            fit=None if network.fit == "whole" else network.fit,
            precision=None if self.precision == "auto" else self.precision,
            trust_remote_code=network.trust_remote_code,
            **asdict(self.opening),
            cache_dir=None if self.cache_dir is None else str(self.cache_dir),
        )


def _or(given: Any, default: Any) -> Any:
    return default if given is None else given
