"""How many labels it takes: a head trained on few, drawn many times, tested on all of test.

Two things make such a score uncertain, and both are said: which samples were drawn (`spread`, over draws with test held
fixed) and which samples test happens to hold (`values`, over draws and bootstrap resamples of test together).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.counted import counted
from medfeat.errors import UsageError
from medfeat.evaluation.judging.protocol import refuse_bad, select
from medfeat.evaluation.judging.reading import gather_for
from medfeat.evaluation.measures.bootstrap import check_draws, interval, resample_weights, strata_of
from medfeat.evaluation.measures.evaluate import without_nan
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.measures.statistics import statistics, value
from medfeat.evaluation.runs import wording
from medfeat.evaluation.runs.choice import FOUND_ON_VAL, Tried
from medfeat.heads import weighted_head
from medfeat.heads.class_weights import NONE
from medfeat.heads.texts import TextSource
from medfeat.tasks import FewShot, Split, few_shot
from medfeat.types import Candidate, FloatArray, Head, Interval, Progress, SilentProgress, Task
from medfeat_cache import FeatureStore, canonical_json

ALL = "all"
METRICS = ("auc", "acc")


@dataclass(frozen=True)
class Point:
    """One number of shots.

    Attributes
    ----------
    shots
        A class, or ``all``.
    labelled
        Samples of train and val together, whose labels were used; the mean over draws.
    draws
        How many.
    values
        Mean over draws of each metric, with an interval over draws and test together.
    spread
        The same with an interval over draws alone.
    short
        Some class has fewer samples than were asked for.
    """

    shots: str
    labelled: float
    draws: int
    values: Mapping[str, Interval]
    spread: Mapping[str, Interval]
    short: bool = False

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Point:
        """Read back what was written of it."""
        return cls(**{**stored, **{name: _intervals_of(stored[name]) for name in ("values", "spread")}})


@dataclass(frozen=True)
class Curve:
    """A head on a store, at growing numbers of labels."""

    dataset: str
    backbone: str
    size: int
    embedding: str
    head: str
    task: str
    points: tuple[Point, ...]
    cautions: tuple[str, ...] = ()
    weights: str = ""

    @property
    def network(self) -> str:
        """Its network as tables name it, see `medfeat.evaluation.runs.run.Run.network`."""
        return wording.network(self.backbone, self.weights)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        plain: dict[str, Any] = without_nan(asdict(self))
        return plain

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Curve:
        """Read back what `to_dict` wrote."""
        points = map(Point.from_dict, stored["points"])
        facts = {field.name: stored[field.name] for field in fields(cls) if field.name in stored}
        return cls(**{**facts, "points": tuple(points), "cautions": tuple(stored["cautions"])})


def _intervals_of(stored: Mapping[str, Mapping[str, float | None]]) -> dict[str, Interval]:
    return {
        name: Interval(**{end: math.nan if at is None else at for end, at in part.items()})
        for name, part in stored.items()
    }


@dataclass(frozen=True)
class CurveOptions:
    """How a curve is made.

    Attributes
    ----------
    shots
        Numbers of samples a class, as words; ``all`` is the whole of train and val.
    draws
        Of each number but ``all``.
    seed
        Of draws, heads and resamples.
    resamples
        Of test, for each draw.
    """

    shots: tuple[str, ...] = ("1", "2", "5", "10", "20", "50", ALL)
    draws: int = 20
    seed: int = 0
    resamples: int = 200

    def __post_init__(self) -> None:
        check_draws(self.seed, self.resamples)
        for part in self.shots:
            if part != ALL and not (part.isdigit() and int(part) > 0):
                raise UsageError(f"--shots must be whole numbers above 0, or all, got {part!r}")
        if self.draws < 1 or not self.shots:
            raise UsageError(f"--draws must be 1 or more and --shots not empty, got {self.draws} and {self.shots}")


def learning_points(
    store: FeatureStore,
    task: Task,
    head: str,
    options: CurveOptions,
    progress: Progress | None = None,
    *,
    texts: TextSource | None = None,
) -> Iterator[Point]:
    """Yield one point for each number of shots, the labels of test handed out only after every choice of a draw."""
    progress = progress or SilentProgress()
    whole = gather_for(weighted_head(head, NONE), store, task)
    refuse_bad(whole.X("test"), "test")
    for shots in options.shots:
        draws = 1 if shots == ALL else options.draws
        progress.start(draws, counted(int(shots), "shot") if str(shots).isdigit() else f"{shots} shots", unit="draws")
        scores, labelled, short = [], [], False
        for draw in range(draws):
            few = FewShot(task) if shots == ALL else few_shot(task, int(shots), draw=draw, seed=options.seed)
            scores.append(
                _shot_scores(store, few, weighted_head(head, NONE, texts=texts), whole.X("test"), seed=options.seed)
            )
            labelled.append(int((few.task.split != "test").sum()))
            short |= shots != ALL and _fewest(few.task) < int(shots)
            progress.advance(1)
        progress.finish()
        values, spread = _intervals(whole.test, task, scores, options)
        yield Point(shots, float(np.mean(labelled)), draws, values, spread, short)


def _fewest(task: Task) -> int:
    """Return how many samples the rarest class (or label) has in train or in val, whichever has fewer."""
    counts = []
    for split in ("train", "val"):
        labels = task.labels[task.split == split]
        several = task.task_type == "multi-label"
        members = labels if several else labels == np.arange(len(task.classes))
        counts.append(int(members.sum(axis=0).min()))
    return min(counts)


def _shot_scores(store: FeatureStore, few: FewShot, head: Head, X: FloatArray, *, seed: int = 0) -> FloatArray:
    """Return the scores of `X` by the settings that a draw's own val (or its folds) chose, fitted on its train."""
    samples, silent = gather_for(head, store, few.task), SilentProgress()
    val = samples.val
    kind, count = few.task.task_type, len(few.task.classes)
    train = samples.train.X, samples.train.y
    offered = head.candidates(train, (val.X, val.y), kind, count, seed=seed, progress=silent)
    if not few.folds:
        chosen = select(offered, val.X, val.y, kind)
        return np.asarray(chosen.model.scores(X), np.float64)
    models = {_settings(candidate): candidate for candidate in offered}
    best = _cross_validated(store, few, head, models, seed)
    return np.asarray(models[best].model.scores(X), np.float64)


def _cross_validated(store: FeatureStore, few: FewShot, head: Head, models: Mapping[str, Candidate], seed: int) -> str:
    """Return the settings with the best mean val scores over the folds, simplest first among equals."""
    kind, count = few.task.task_type, len(few.task.classes)
    found: dict[str, list[Tried]] = {name: [] for name in models}
    for fold in few.folds:
        part = gather_for(head, store, fold)
        if len(np.unique(part.train.y, axis=0)) < 2:
            continue
        train, val = (part.train.X, part.train.y), (part.val.X, part.val.y)
        offered = head.candidates(train, val, kind, count, seed=seed, progress=SilentProgress())
        for tried in select(offered, part.val.X, part.val.y, kind).tried:
            found.get(_settings(tried), []).append(tried)
    best: tuple[str, Tried] | None = None
    most = max(map(len, found.values()))
    for name, seen in found.items():
        if len(seen) < most or not seen:
            continue
        mean = Tried({}, _mean([t.first for t in seen]), _mean([t.second for t in seen]), models[name].complexity)
        if best is None or mean.beats(best[1]):
            best = name, mean
    return next(iter(models)) if best is None else best[0]


def _mean(scores: Sequence[float]) -> float:
    finite = [score for score in scores if math.isfinite(score)]
    return float(np.mean(finite)) if finite else -math.inf


def _settings(one: Candidate | Tried) -> str:
    return canonical_json({key: part for key, part in one.settings.items() if key not in FOUND_ON_VAL})


def _intervals(
    test: Split, task: Task, scores: Sequence[FloatArray], options: CurveOptions
) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """Return the mean of each metric with both intervals; every draw sees the same resamples of test."""
    alone: dict[str, list[float]] = {name: [] for name in METRICS}
    pooled: dict[str, list[NDArray[np.float64]]] = {name: [] for name in METRICS}
    strata = strata_of(test.y, task.task_type)
    drawn = partial(resample_weights, strata, seed=options.seed, resamples=options.resamples, groups=test.group)
    blocks = list(drawn()) if len(strata) * options.resamples < 1 << 24 else None
    for one in scores:
        found = statistics(LabelledScores.of(test.y, one, task.task_type))
        for name in METRICS:
            alone[name].append(value(found[name], len(test.y)))
            pooled[name] += [found[name](weights) for weights in blocks or drawn()]
    means = {name: float(np.mean(alone[name])) for name in METRICS}
    values = {name: interval(means[name], np.concatenate(pooled[name] or [np.empty(0)])) for name in METRICS}
    several = len(scores) > 1
    nothing = np.empty(0)
    spread = {name: interval(means[name], np.array(alone[name]) if several else nothing) for name in METRICS}
    return values, spread
