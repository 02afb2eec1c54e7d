"""Several stores on one question: each alone, their features side by side, or their scores averaged; val chooses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from medfeat.errors import UsageError
from medfeat.evaluation.judging.protocol import choose, refuse_bad, val_scores
from medfeat.evaluation.judging.reading import gather_for
from medfeat.evaluation.measures.evaluate import Metrics, evaluate
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.runs import wording
from medfeat.evaluation.runs.choice import Choice, Tried
from medfeat.heads import HEADS
from medfeat.heads.standardise import Standardiser
from medfeat.tasks import FusedStore, fuse, gather
from medfeat.types import FloatArray, IdArray, LabelArray, Progress, Task, TaskType
from medfeat_cache import FeatureStore

CONCAT, AVERAGE = "concat", "average"
WAYS = (CONCAT, AVERAGE)


class StandardisedStore:
    """Stores side by side, each feature at zero mean and unit variance over train, so that no backbone drowns another.

    Attributes
    ----------
    fused
        What is standardised.
    dim, path, info, groups
        Those of the fused stores.
    """

    def __init__(self, fused: FusedStore, train: IdArray) -> None:
        self.fused = fused
        self.dim, self.path, self.info, self.groups = fused.dim, fused.path, fused.info, fused.groups
        self._statistics = Standardiser.fit(fused.take(train))

    def ids(self, group: str) -> IdArray:
        """Return the (n,) ids of a group."""
        return self.fused.ids(group)

    def labels(self, group: str) -> LabelArray | None:
        """Return the (n, k) official labels of a group, or None."""
        return self.fused.labels(group)

    def embeddings(self, group: str) -> FloatArray:
        """Return (n, dim) float32 standardised features of a group."""
        return self.take(self.ids(group))

    def take(self, ids: Sequence[str] | IdArray) -> FloatArray:
        """Return (m, dim) float32 standardised features in the order of `ids`."""
        return self._statistics.transform(self.fused.take(ids), dtype=np.float32)


@dataclass(frozen=True)
class Way:
    """One way to answer, as val saw it.

    Attributes
    ----------
    name
        A store, by its backbone and what tells it from others of that, or how several were fused.
    settings
        Of the head; for averaged scores, of each head.
    best
        Its scores on val.
    """

    name: str
    settings: Mapping[str, Any]
    best: Tried


@dataclass(frozen=True)
class Fusion:
    """What val chose, and how the chosen one did.

    Attributes
    ----------
    ways
        Everything that stood, in order.
    chosen
        Position of the winner.
    val, test
        Metrics of the winner alone: no other's test was read.
    """

    ways: tuple[Way, ...]
    chosen: int
    val: Metrics
    test: Metrics


@dataclass(frozen=True)
class _Contender:
    """A way with what it takes to score test."""

    way: Way
    val: FloatArray
    test: Callable[[], FloatArray]


def fuse_stores(
    stores: Sequence[FeatureStore],
    task: Task,
    *,
    head: str = "linear",
    ways: Sequence[str] = WAYS,
    seed: int = 0,
    resamples: int = 2000,
    write_down: Callable[[Sequence[Way], int], None],
    progress: Progress,
) -> Fusion:
    """Let each store alone, and the stores fused, stand; choose on val, write the choice down, then read test.

    Parameters
    ----------
    stores
        Of one dataset, joined by id.
    task, head, seed, resamples
        As for a probe.
    ways
        ``concat`` (standardised features side by side), ``average`` (of scores), or both.
    write_down
        Called with all ways and the position of the chosen one before test's labels are handed out.
    progress
        Told of candidates.
    """
    strange = [way for way in ways if way not in WAYS]
    if strange or not ways:
        raise UsageError(f"--fuse must be {', '.join(WAYS)} or both, got {', '.join(strange) or 'nothing'}")
    fused = fuse(stores)
    whole = gather(fused, task)
    alone = [
        _stand(store, name, task, head, seed=seed, progress=progress)
        for store, name in zip(stores, names_of(stores), strict=True)
    ]
    contenders = list(alone)
    if CONCAT in ways:
        standard = StandardisedStore(fused, whole.ids("train"))
        contenders.append(_stand(standard, f"{CONCAT} of {len(stores)}", task, head, seed=seed, progress=progress))
    val = whole.val.y
    if AVERAGE in ways:
        contenders.append(_averaged(alone, val, task.task_type))
    best = 0
    for i, one in enumerate(contenders):
        best = i if one.way.best.beats(contenders[best].way.best) else best
    write_down([one.way for one in contenders], best)
    winner = contenders[best]
    facts: dict[str, Any] = {"seed": seed, "resamples": resamples}
    of_val = LabelledScores.of(val, winner.val, task.task_type)
    test, scores = whole.test, winner.test()
    return Fusion(
        tuple(one.way for one in contenders),
        best,
        evaluate(of_val, task.classes, groups=whole.val.group, **facts),
        evaluate(
            LabelledScores.of(test.y, scores, task.task_type),
            task.classes,
            val=of_val,
            val_groups=whole.val.group,
            groups=test.group,
            **facts,
        ),
    )


def names_of(stores: Sequence[FeatureStore]) -> list[str]:
    """Name stores by their backbones, and where several share one by their views and sizes, as far as needed."""
    networks = wording.networks((str(store.recipe["backbone"]), wording.weights(store.info)) for store in stores)
    spelled = [
        [name, wording.embedding(store.recipe), f"{store.recipe.get('size') or 'own'} px", store.digest[:12]]
        for name, store in zip(networks, stores, strict=True)
    ]
    names = [words[0] for words in spelled]
    for depth in range(1, 4):
        names = [
            f"{name}, {words[depth]}" if names.count(name) > 1 and words[depth] else name
            for name, words in zip(names, spelled, strict=True)
        ]
    return names


def _stand(
    store: FeatureStore | StandardisedStore, name: str, task: Task, head: str, *, seed: int, progress: Progress
) -> _Contender:
    progress.say(f"fusing: {name}, {head}")
    made = HEADS[head]()
    samples = gather_for(made, store, task)
    choice: Choice = choose(samples, made, seed=seed, progress=progress)
    # Among equals the shorter embedding wins.
    best = replace(choice.chosen, complexity=float(store.dim))

    def test() -> FloatArray:
        X = samples.X("test")
        refuse_bad(X, "test")
        return np.asarray(choice.model.scores(X), np.float64)

    return _Contender(Way(name, dict(choice.chosen.settings), best), choice.val_scores, test)


def _averaged(alone: Sequence[_Contender], labels: LabelArray, task_type: TaskType) -> _Contender:
    val = np.mean([one.val for one in alone], axis=0)
    first, second = val_scores(LabelledScores.of(labels, val, task_type))
    settings = {one.way.name: dict(one.way.settings) for one in alone}
    best = Tried(settings, first, second, sum(one.way.best.complexity for one in alone))
    way = Way(f"{AVERAGE} of {len(alone)}", settings, best)
    return _Contender(way, val, lambda: np.asarray(np.mean([one.test() for one in alone], axis=0)))
