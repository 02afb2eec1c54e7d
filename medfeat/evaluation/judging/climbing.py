"""Whether a probe still climbs with more labels, told by val alone: whoever asks for advice has not opened test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medfeat.evaluation.judging.protocol import select
from medfeat.heads import HEADS
from medfeat.tasks import Samples
from medfeat.types import LabelArray, Progress

SHARES = (0.125, 0.25, 0.5, 1.0)
_DRAWS = 5


@dataclass(frozen=True)
class Step:
    """The probe on a share of train.

    Attributes
    ----------
    share
        Of train, 0 to 1.
    labelled
        Samples of train that were used.
    scores
        AUC on val (for numbers, R2) of each draw.
    """

    share: float
    labelled: int
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over draws."""
        return float(np.mean(self.scores))


def climb(samples: Samples, head: str, *, seed: int, progress: Progress) -> tuple[Step, ...]:
    """Train a head on growing shares of train, drawn several times, and score each on val.

    Parameters
    ----------
    samples
        Of which test is not read.
    head
        A name of `medfeat.heads.HEADS`.
    seed
        Of the draws, which are nested.
    progress
        Hears of every share.
    """
    train, val, task = samples.train, samples.val, samples.task
    steps = []
    for share in SHARES:
        scores, rows = [], np.arange(len(train.y))
        for draw in range(_DRAWS if share < 1 else 1):
            rows = _share(train.y, share, np.random.default_rng([seed, draw]))
            candidates = HEADS[head]().candidates(
                (train.X[rows], train.y[rows]),
                (val.X, val.y),
                task.task_type,
                len(task.classes),
                seed=seed,
                progress=progress,
            )
            scores.append(select(candidates, val.X, val.y, task.task_type).chosen.first)
        steps.append(Step(share, len(rows), tuple(scores)))
    return tuple(steps)


def _share(y: LabelArray, share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return rows of a share of each class, at least one; of several labels or of numbers, a share of all."""
    order = rng.permutation(len(y))
    classed = y.shape[1] == 1 and np.issubdtype(y.dtype, np.integer)
    parts: Iterator[NDArray[np.int64]] = (
        (order[y[order, 0] == label] for label in np.unique(y)) if classed else iter((order,))
    )
    return np.sort(np.concatenate([part[: max(1, round(share * len(part)))] for part in parts]))
