"""`medfeat finetune --dry-run`: time, memory and disk a training would take, told before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from medfeat.backbones import describe
from medfeat.counted import counted
from medfeat.finetuning.defaults import BATCH_SIZE, EPOCHS
from medfeat.finetuning.estimate import Needs, needs_of
from medfeat.saying import heard
from medfeat.types import Progress
from medfeat.workflows.asking.question import Question
from medfeat.workflows.extract import plan as extract_plan
from medfeat.workflows.tuning.finetune_request import FinetuneRequest
from medfeat_cache import FeatureStore, resolve_root

# A training step runs forward, and backward at twice the cost (Kaplan et al., 2020, appendix B).
_STEP = 3.0


@dataclass(frozen=True)
class FinetunePlan:
    """What a training would take.

    Attributes
    ----------
    dataset, backbone, mode, family
        What it is about.
    train, val
        Samples.
    epochs
        Of the whole schedule.
    seconds
        Estimated from the rate at which the frozen features were made; None before there are any, and of a head alone.
    memory_bytes, disk_bytes
        At the most, while it trains.
    kept_bytes
        What stays on disk.
    basis
        In words, what the estimates rest on.
    """

    dataset: str
    backbone: str
    mode: str
    family: str
    train: int
    val: int
    epochs: int
    seconds: float | None
    memory_bytes: int
    disk_bytes: int
    kept_bytes: int
    basis: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return it for people, a line a question."""
        time = "not known before the frozen features are there"
        if self.mode == "head":
            time = "not known: no image goes through the network again, a head alone is trained on its frozen features"
        elif self.seconds is not None:
            time = f"about {self.seconds / 60:.1f} min"
        return [
            f"{self.mode} of {self.backbone} on {self.dataset}: {self.train} + {self.val} samples, "
            f"{counted(self.epochs, 'epoch')}",
            f"time: {time}" if self.mode == "head" else f"time: {time}; {self.basis}",
            f"memory: about {self.memory_bytes / 1e6:.0f} MB for weights, gradients, optimiser and activations",
            f"disk: about {self.disk_bytes / 1e6:.0f} MB while training, {self.kept_bytes / 1e6:.0f} MB after",
        ]


def plan(asked: FinetuneRequest, *, progress: Progress | None = None) -> FinetunePlan:
    """Say what a fine-tuning would take; trains, embeds and loads nothing."""
    root, progress = resolve_root(asked.cache_dir), heard(progress)
    network, options = asked.network, asked.options
    dataset = replace(asked.opening, offline=True).open(asked.data, root=root, progress=progress)
    info = dataset.info
    needs = needs_of(
        network.backbone,
        info,
        mode=options.mode,
        batch_size=options.batch_size or BATCH_SIZE,
        slices=network.slices,
    )
    counts, rate = _counts_and_rate(frozen_store(asked, progress), asked.asked, info.counts)
    count = options.epochs or EPOCHS
    # a head alone sends nothing through the network: its rate says nothing of it
    seconds = None if not rate or not needs.share_run else count * _epoch_seconds(counts, rate, needs)
    side = info.size or describe(network.backbone).input_size
    pixels = sum(counts) * max(info.channels, 1) * side**info.ndim
    return FinetunePlan(
        dataset=info.name,
        backbone=network.backbone,
        mode=options.mode,
        family=needs.family,
        train=counts[0],
        val=counts[1],
        epochs=count,
        seconds=seconds,
        memory_bytes=needs.memory_bytes,
        disk_bytes=(pixels if needs.share_run > 0 else 0) + needs.checkpoint_bytes,
        kept_bytes=needs.weights_bytes,
        basis="a step is taken as three forward passes at the rate the frozen features were made at",
    )


def frozen_store(asked: FinetuneRequest, progress: Progress) -> Path | None:
    """Return the store of the frozen features that a training would start from; None where it is not there."""
    found = extract_plan(asked.wanted(asked.network.weights, asked.precision), progress=progress).plans
    return found[0].store if found else None


def _epoch_seconds(counts: tuple[int, int], rate: float, needs: Needs) -> float:
    train, val = counts
    return (train * (needs.share_run + (_STEP - 1) * needs.share_trained) + val * needs.share_run) / rate


def _counts_and_rate(
    store: Path | None, question: Question, counts: Mapping[str, int]
) -> tuple[tuple[int, int], float | None]:
    """Return samples of train and val, and images a second of the frozen network, as far as the cache knows."""
    if store is None:
        total = sum(counts.values())
        return (counts.get("train", round(0.7 * total)), counts.get("val", round(0.15 * total))), None
    with FeatureStore(store) as opened:
        split = question.of(opened).split
        rate = (opened.info.get("environment") or {}).get("images_per_second")
    return (int((split == "train").sum()), int((split == "val").sum())), rate
