"""`medfeat finetune --dry-run`: time, memory and disk a training would take, told before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medfeat.backbones import describe
from medfeat.finetuning.defaults import BATCH_SIZE, EPOCHS
from medfeat.finetuning.estimate import Needs, needs_of
from medfeat.types import Progress, SilentProgress
from medfeat.workflows.asking.data_options import DataOptions
from medfeat.workflows.asking.question import Question
from medfeat.workflows.asking.wanted import Wanted, wanted_request, wanted_views
from medfeat.workflows.extract import plan as extract_plan
from medfeat.workflows.tuning.finetune_request import FinetuneOptions, NetworkOptions, question_and_meaning
from medfeat_cache import FeatureStore, resolve_root

# A training step runs forward, and backward at twice the cost (Kaplan et al., 2020, appendix B).
STEP = 3.0


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
        Estimated from the rate at which the frozen features were made; None before there are any.
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
        time = (
            "not known before the frozen features are there"
            if self.seconds is None
            else f"about {self.seconds / 60:.1f} min"
        )
        return [
            f"{self.mode} of {self.backbone} on {self.dataset}: {self.train} + {self.val} samples, "
            f"{self.epochs} epochs",
            f"time: {time}; {self.basis}",
            f"memory: about {self.memory_bytes / 1e6:.0f} MB for weights, gradients, optimiser and activations",
            f"disk: about {self.disk_bytes / 1e6:.0f} MB while training, {self.kept_bytes / 1e6:.0f} MB after",
        ]


def plan(
    data: str,
    backbone: str,
    *,
    mode: str = "full",
    epochs: int | None = None,
    batch_size: int | None = None,
    size: int | None = None,
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
    **others: Any,
) -> FinetunePlan:
    """Say what `finetune` would take; trains, embeds and loads nothing.

    Parameters
    ----------
    data, backbone, mode, epochs, batch_size, size, cache_dir, progress, **others
        As `medfeat.finetune` takes them.
    """
    root, progress = resolve_root(cache_dir), progress or SilentProgress()
    options = FinetuneOptions(mode=mode, epochs=epochs, batch_size=batch_size, augment=others.get("augment"))
    network = NetworkOptions(backbone, slices=others.get("slices"), pool=others.get("pool"))
    question, meaning = asked(data, others)
    of_data = {"size": size, **given(_DATA, others), **meaning}
    dataset = DataOptions.of(**of_data | {"offline": True}).open(data, root=root, progress=progress)
    info = dataset.info
    needs = needs_of(
        network.backbone, info, mode=options.mode, batch_size=batch_size or BATCH_SIZE, slices=network.slices
    )
    store = frozen_store(data, backbone, size=size, root=root, progress=progress, others=others)
    counts, rate = _counts_and_rate(store, question, info.counts)
    count = epochs or EPOCHS
    seconds = None if not rate else count * _epoch_seconds(counts, rate, needs)
    side = info.size or describe(backbone).input_size
    pixels = sum(counts) * max(info.channels, 1) * side**info.ndim
    return FinetunePlan(
        dataset=info.name,
        backbone=backbone,
        mode=mode,
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


_DATA = (
    "data_root", "name", "intensity", "path_column", "label_column", "split_column", "patient_column", "volumes",
)  # fmt: skip
_NETWORK = ("weights", "seed", "fit", "precision")
_QUESTION = ("task", "labels", "relabel", "keep", "drop", "partial", "classes")


def given(names: tuple[str, ...], others: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of some names that were given."""
    return {name: others[name] for name in names if others.get(name) is not None}


def frozen_store(
    data: str, backbone: str, *, size: int | None, root: Path, progress: Progress, others: Mapping[str, Any]
) -> Path | None:
    """Return the store of the frozen features that a training would start from; None where it is not there."""
    views = wanted_views(pool=others.get("pool"), slices=others.get("slices"))
    request = wanted_request(views, **given(_NETWORK, others))
    options = DataOptions.of(size=size, **given(_DATA, others), **asked(data, others)[1])
    found = extract_plan(Wanted(data, backbone, request, options, cache_dir=root), progress=progress).plans
    return found[0].store if found else None


def asked(data: str, others: Mapping[str, Any]) -> tuple[Question, dict[str, Any]]:
    """Return the question among the options of `medfeat.finetune`, and what the data's own labels mean."""
    words = {"task": None, "labels": None, "classes": None} | given(_QUESTION, others)
    return question_and_meaning(data, **words)


def _epoch_seconds(counts: tuple[int, int], rate: float, needs: Needs) -> float:
    train, val = counts
    return (train * (needs.share_run + (STEP - 1) * needs.share_trained) + val * needs.share_run) / rate


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
