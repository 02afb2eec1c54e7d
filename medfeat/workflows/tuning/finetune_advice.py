"""`medfeat finetune --advise`: whether tuning is worth trying, from what is cached and published, before training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from medfeat.counted import counted
from medfeat.datasets.medmnist_table import medmnist_sets
from medfeat.errors import UsageError
from medfeat.evaluation.compare.gains import LIKE_SIZE, Gain, Typical, gains
from medfeat.evaluation.judging.climbing import Step, climb
from medfeat.evaluation.measures.bootstrap import RESAMPLES
from medfeat.evaluation.measures.evaluate import without_nan
from medfeat.evaluation.runs.run import Run
from medfeat.report.run_tables import NAMES
from medfeat.report.tables import number, with_interval
from medfeat.saying import heard
from medfeat.tasks import gather
from medfeat.types import Interval, Progress
from medfeat.workflows.tuning.finetune_plan import FinetunePlan, frozen_store, plan
from medfeat.workflows.tuning.finetune_request import FinetuneRequest
from medfeat.workflows.tuning.finetune_start import Start
from medfeat_cache import FeatureStore, resolve_root

_USUAL = ("last-blocks", "full")
"""The modes that are spoken of where none is named, the cheapest first and the command's own last."""
_WORTH = 0.01
"""A gain in AUC below this is not worth a training."""


@dataclass(frozen=True)
class Advice:
    """What speaks for and against tuning.

    Attributes
    ----------
    try_it
        Whether to.
    confidence
        ``low`` or ``moderate``: what was published on other data is never more than that.
    reasons
        In words, one a finding.
    plans
        What training would take, by mode.
    probe_val
        What the probe reaches on val: AUC, or R2 for numbers.
    climb
        The probe on growing shares of train, on val.
    published
        Gains of fine-tuning over a probe on sets of like size; None where nothing is known.
    """

    try_it: bool
    confidence: str
    reasons: tuple[str, ...]
    plans: dict[str, FinetunePlan]
    probe_val: Interval
    climb: tuple[Step, ...]
    published: Typical | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        facts: dict[str, Any] = without_nan(asdict(self))
        return facts

    def lines(self) -> list[str]:
        """Return it for people: findings first, what follows from them last."""
        modes = tuple(self.plans)
        least = f"--mode {modes[0]} first: it costs least" if len(modes) > 1 else f"with --mode {modes[0]}"
        word = f"try it, {least}" if self.try_it else "stay with the probe"
        return [*self.reasons, f"advice: {word} (confidence: {self.confidence})"]


def advise(asked: FinetuneRequest, *, progress: Progress | None = None) -> Advice:
    """Weigh what is known before a training; nothing is embedded or trained but linear heads, and test stays closed.

    Parameters
    ----------
    asked
        What says how to train is left aside, but for a mode that is not the usual one.
    progress
        Hears of the heads.

    Raises
    ------
    UsageError
        The frozen features are not in the cache, or the mode trains a head alone.
    """
    mode = asked.options.mode
    if mode == "head":
        raise UsageError(
            "--mode head leaves the network as it is, and advice is on training it: leave --mode out, or --advise"
        )
    root, progress, seed = resolve_root(asked.cache_dir), heard(progress), asked.network.seed
    path = frozen_store(asked, progress)
    if path is None:
        raise UsageError(
            f"no frozen features of {asked.data} with {asked.network.backbone} are cached, and advice comes from the "
            f"cache alone: run {asked.how_to_extract()} first"
        )
    plans = {
        one: plan(replace(asked, options=replace(asked.options, mode=one, augment="none")), progress=progress)
        for one in (_USUAL if mode == _USUAL[-1] else (mode,))
    }
    with FeatureStore(path) as store:
        task = asked.asked.of(store)
        probe = Start.of(store, task, root, seed=seed, resamples=RESAMPLES, progress=progress).run
        steps = climb(gather(store, task), probe.head, seed=seed, progress=progress)
    return weigh(probe, steps, plans)


def weigh(probe: Run, steps: tuple[Step, ...], plans: dict[str, FinetunePlan]) -> Advice:
    """Turn findings into advice.

    Parameters
    ----------
    probe
        The linear probe; only its scores on val are looked at.
    steps
        From `climb`.
    plans
        Of one mode or more.
    """
    name = probe.headline[0]
    val, planned = probe.val.values[name], next(iter(plans.values()))
    known = like_sized(gains(planned.family, probe.size), probe.dataset, planned.train)
    typical = Typical.of(known)
    expected = None if typical is None or name != "auc" else _expected(typical, probe.dataset, val.value)
    wide = not math.isfinite(val.low) or (val.high - val.low) / 2 > max(expected or 0.0, _WORTH)
    reasons = (
        f"the linear probe reaches {NAMES[name]} {with_interval(val)} on val ({counted(probe.val.n, 'sample')})",
        *_climbing(steps, NAMES[name]),
        *_published(typical, planned.family),
        *_costs(plans),
        *(["val is too small to see such a gain: whatever it chooses will be mostly chance"] if wide else []),
    )
    return Advice(
        try_it=expected is not None and expected >= _WORTH,
        confidence="low" if wide or typical is None or len(typical.datasets) < 2 else "moderate",
        reasons=reasons,
        plans=plans,
        probe_val=val,
        climb=steps,
        published=typical,
    )


def _expected(typical: Typical, dataset: str, val: float) -> float:
    """Return the gain in AUC to hope for: never beyond where published tuned networks ended on this very dataset."""
    ends = typical.tuned_auc if typical.datasets == (dataset,) else 1.0
    return min(typical.auc, ends - val)


def like_sized(found: Sequence[Gain], dataset: str, train: int) -> list[Gain]:
    """Keep gains on the dataset itself where it is published, else on sets with a train split of like size."""
    own = [one for one in found if one.dataset == dataset]
    if own:
        return own
    counts = {name: of.counts["train"] for name, of in medmnist_sets().items()}
    return [one for one in found if 1 / LIKE_SIZE <= counts[one.dataset] / max(train, 1) <= LIKE_SIZE]


def _climbing(steps: Sequence[Step], metric: str) -> Iterator[str]:
    half, whole = steps[-2], steps[-1]
    gained = whole.mean - half.mean
    shown = ", ".join(f"{number(step.mean)} of {step.labelled}" for step in steps)
    word = (
        "still climbs: more labels would help too"
        if gained > max(float(np.std(half.scores)), _WORTH / 2)
        else "has levelled off"
    )
    yield f"val {metric} by labelled samples: {shown}; the curve {word}"


def _published(typical: Typical | None, family: str) -> Iterator[str]:
    if typical is None:
        yield f"nothing is published on {family} networks for sets of this size"
        return
    where = ", ".join(typical.datasets)
    yield (
        f"published, {family} networks on {where} ({typical.pixels}): AUC {typical.probe_auc:.3f} of a linear probe, "
        f"{typical.tuned_auc:.3f} tuned; {typical.auc:+.3f} AUC, {typical.acc:+.3f} ACC (medians of {typical.pairs} "
        f"pairs; tuned has the better AUC in {typical.auc_won:.0%})"
    )


def _costs(plans: dict[str, FinetunePlan]) -> Iterator[str]:
    for mode, one in plans.items():
        if one.seconds is not None:
            yield f"--mode {mode} would take about {one.seconds / 60:.1f} min here for {counted(one.epochs, 'epoch')}"
