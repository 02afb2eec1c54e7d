"""Choose a head's settings by cross-validation over train and val, where val alone is too small to choose by.

Each setting is judged by the mean of its scores over five folds, then fitted on train and val together. Test stays
closed, as when val chooses. What stands for val afterwards (its scores, the temperature and the thresholds found on it)
is what the folds' models said of val's samples, none of which they had seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import DataError, UsageError
from medfeat.evaluation.judging.protocol import choose, refuse_bad, refuse_refit, val_scores
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.runs.choice import FOUND_ON_VAL, RULE, Choice, Tried
from medfeat.tasks import Samples
from medfeat.tasks.bags import joined
from medfeat.tasks.folds import draw_folds
from medfeat.types import Candidate, FloatArray, Head, Progress, SilentProgress
from medfeat_cache import canonical_json

VAL, CV, AUTO = WAYS = ("val", "cv", "auto")
FOLDS = 5
SMALL_VAL = 100
"""`auto` cross-validates where val has fewer samples.

A cautious bound: what larger val sets would gain was not measured yet; `tools/simulate_choice.py` does, on real sets.
"""


@dataclass
class _Setting:
    """One setting over the folds."""

    candidate: Candidate
    scores: FloatArray
    seen: list[tuple[float, float]] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)

    def tried(self) -> Tried:
        first, second = (_mean([both[i] for both in self.seen]) for i in (0, 1))
        return Tried(self.candidate.settings, first, second, float(self.candidate.complexity))


def check_way(how: str) -> None:
    """Refuse a way of choosing that does not exist."""
    if how not in WAYS:
        raise UsageError(f"--choose must be {', '.join(WAYS[:-1])} or {AUTO}, got {how!r}")


def way_for(how: str, n_val: int) -> str:
    """Return how to choose, ``val`` or ``cv``, with `n_val` samples in val."""
    return how if how != AUTO else (CV if n_val < SMALL_VAL else VAL)


def choose_by(how: str, samples: Samples, head: Head, *, seed: int = 0, progress: Progress | None = None) -> Choice:
    """Choose among a head's candidates; test stays closed.

    Parameters
    ----------
    how
        ``val``: fitted on train, chosen on val. ``cv``: cross-validated over both, then fitted on both. ``auto``: the
        second where val has fewer than `SMALL_VAL` samples.
    samples, head, seed, progress
        As `medfeat.evaluation.judging.protocol.choose` takes them.
    """
    check_way(how)
    if way_for(how, len(samples.ids("val"))) == VAL:
        return choose(samples, head, seed=seed, progress=progress)
    return cross_validate(samples, head, seed=seed, progress=progress)


def cross_validate(samples: Samples, head: Head, *, seed: int = 0, progress: Progress | None = None) -> Choice:
    """Choose by the mean over `FOLDS` folds of train and val, and fit what was chosen on both.

    Raises
    ------
    UsageError
        The head's model cannot be fitted again.
    DataError
        The head offered nothing in every fold.
    """
    from sklearn.base import clone

    train, val, task = samples.train, samples.val, samples.task
    refuse_bad(val.X, "val")
    X, y = joined(train.X, val.X), np.concatenate([train.y, val.y])
    ids = np.concatenate([train.ids, val.ids])
    patients = None if train.group is None or val.group is None else np.concatenate([train.group, val.group])
    fold = draw_folds(y, ids, patients, folds=FOLDS, seed=seed)
    found = _over_folds(head, X, y, fold, samples, seed=seed, progress=progress or SilentProgress())
    best = found[0]
    for one in found[1:]:
        best = one if one.tried().beats(best.tried()) else best
    refuse_refit(best.candidate.model, "--choose cv")
    model: Any = clone(best.candidate.model)
    settings = dict(best.candidate.settings)
    if best.rounds:
        settings["rounds"] = round(float(np.mean(best.rounds)))
        model.set_params(rounds=settings["rounds"])
    rule = RULE[task.task_type == "regression"].replace("on val", f"in {FOLDS} folds of train+val")
    return Choice(
        replace(best.tried(), settings=settings),
        tuple(one.tried() for one in found),
        f"{rule}; fitted on train+val",
        model.fit(X, y),
        best.scores[len(train.ids) :],
    )


def _over_folds(
    head: Head,
    X: FloatArray,
    y: NDArray[Any],
    fold: NDArray[np.int64],
    samples: Samples,
    *,
    seed: int,
    progress: Progress,
) -> list[_Setting]:
    """Return the settings that every fold offered, in the order they were offered."""
    task = samples.task
    used = [number for number in range(FOLDS) if (fold == number).any() and _learnable(y[fold != number])]
    settings: dict[str, _Setting] = {}
    for number in used:
        out = fold == number
        parts = (X[~out], y[~out]), (X[out], y[out])
        for one in head.candidates(*parts, task.task_type, len(task.classes), seed=seed, progress=progress):
            scores = np.asarray(one.model.scores(X[out]), np.float64)
            name = canonical_json({key: part for key, part in one.settings.items() if key not in FOUND_ON_VAL})
            kept = settings.setdefault(name, _Setting(one, np.zeros((len(X), scores.shape[1]))))
            kept.candidate, kept.scores[out] = one, scores
            kept.seen.append(val_scores(LabelledScores.of(y[out], scores, task.task_type)))
            kept.rounds += [int(one.settings[key]) for key in FOUND_ON_VAL if key in one.settings]
    whole = [one for one in settings.values() if len(one.seen) == len(used)]
    if not whole:
        raise DataError("train and val are too few to be cross-validated: leave --choose out, and val chooses")
    return whole


def _learnable(y: NDArray[Any]) -> bool:
    return len(np.unique(y, axis=0)) > 1


def _mean(scores: Sequence[float]) -> float:
    finite = [score for score in scores if math.isfinite(score)]
    return float(np.mean(finite)) if finite else -math.inf
