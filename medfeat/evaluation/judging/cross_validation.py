"""Choose a head's settings by cross-validation over train and val, where val alone is too small to choose by.

Each setting is judged by the mean of its scores over five folds, then fitted on train and val together. Test stays
closed, as when val chooses. What stands for val afterwards (its scores, the temperature and the thresholds found on it)
is what the folds' models said of val's samples, none of which they had seen; what they said of train's is kept for
whoever needs more samples to calibrate on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import DataError, UsageError
from medfeat.evaluation.judging.averages import Stood, averaged, best_of
from medfeat.evaluation.judging.protocol import choose, one_model, refuse_bad, refuse_refit, val_scores
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.runs.choice import FOUND_ON_VAL, RULE, Choice, LeftOut, Tried
from medfeat.tasks import Samples
from medfeat.tasks.bags import joined
from medfeat.tasks.folds import draw_folds
from medfeat.types import Candidate, Fitted, FloatArray, Head, Progress, SilentProgress
from medfeat_cache import canonical_json

VAL, CV, AUTO = WAYS = ("val", "cv", "auto")
FOLDS = 5
SMALL_VAL = 128
"""`auto` cross-validates where val has fewer samples.

With 62, 78 and 96, folds chose better on each of three sets with each of three networks, and with 160 no gain was
shown; see `tools/settle_default.py`, `tools/simulate_choice.py` and docs/decisions/0056.
"""


class TooFewToFoldError(DataError):
    """Train and val leave no fold something to learn from."""


@dataclass
class Setting:
    """One setting over the folds: its last candidate, what all said of the samples left out, and how well they did."""

    candidate: Candidate
    scores: FloatArray
    seen: list[tuple[float, float]] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)

    def stood(self) -> Stood[Setting]:
        """Return it as it stands, judged by its means over folds."""
        settings = dict(self.candidate.settings)
        if self.rounds:
            settings["rounds"] = round(float(np.mean(self.rounds)))
        tried = Tried(settings, *_over(self.seen), float(self.candidate.complexity))
        return Stood(self.candidate.head, tried, self.scores, (self,))

    def fitted(self, X: FloatArray, y: NDArray[Any]) -> Fitted:
        """Fit it to (n, d) features and (n, k) labels, with as many rounds as the folds needed on average."""
        from sklearn.base import clone

        refuse_refit(self.candidate.model, "--choose cv")
        model: Any = clone(self.candidate.model)
        if self.rounds:
            model.set_params(rounds=round(float(np.mean(self.rounds))))
        fitted: Fitted = model.fit(X, y)
        return fitted


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
        second where val has fewer than `SMALL_VAL` samples and both together can be folded.
    samples, head, seed, progress
        As `medfeat.evaluation.judging.protocol.choose` takes them.
    """
    check_way(how)
    if way_for(how, len(samples.ids("val"))) == VAL:
        return choose(samples, head, seed=seed, progress=progress)
    try:
        return cross_validate(samples, head, seed=seed, progress=progress)
    except TooFewToFoldError:
        if how != AUTO:
            raise
        return choose(samples, head, seed=seed, progress=progress)


def cross_validate(samples: Samples, head: Head, *, seed: int = 0, progress: Progress | None = None) -> Choice:
    """Choose by the mean over `FOLDS` folds of train and val, and fit what was chosen on both.

    Raises
    ------
    UsageError
        The head's model cannot be fitted again.
    DataError
        The head offered nothing in every fold.
    """
    train, task = samples.train, samples.task
    stood, tried = contenders_in_folds(samples, head, seed=seed, progress=progress)
    won = best_of(stood)
    X, y = _joined(samples)
    rule = RULE[task.task_type == "regression"].replace("on val", f"in {FOLDS} folds of train+val")
    return Choice(
        won.tried,
        (*tried, *(one.tried for one in stood if len(one.parts) > 1)),
        f"{rule}; fitted on train+val",
        one_model([part.fitted(X, y) for part in won.parts]),
        won.scores[len(train.ids) :],
        _left_out(samples, won.scores, seed),
    )


def _left_out(samples: Samples, scores: FloatArray, seed: int) -> LeftOut:
    """Return what models said of train's samples that had not seen them; a fold that none could judge is left out."""
    train = samples.train
    y, fold = _dealt(samples, seed)
    rows = np.flatnonzero(np.isin(fold, _used(y, fold))[: len(train.ids)])
    return LeftOut(train.ids[rows], train.y[rows], scores[rows], None if train.group is None else train.group[rows])


def _dealt(samples: Samples, seed: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return labels and fold of the samples of train and val, one after the other."""
    train, val = samples.train, samples.val
    y, ids = np.concatenate([train.y, val.y]), np.concatenate([train.ids, val.ids])
    patients = None if train.group is None or val.group is None else np.concatenate([train.group, val.group])
    return y, draw_folds(y, ids, patients, folds=FOLDS, seed=seed)


def _joined(samples: Samples) -> tuple[FloatArray, NDArray[Any]]:
    """Return features and labels of train and val, one after the other."""
    train, val = samples.train, samples.val
    return joined(train.X, val.X), np.concatenate([train.y, val.y])


def contenders_in_folds(
    samples: Samples, head: Head, *, seed: int = 0, progress: Progress | None = None
) -> tuple[list[Stood[Setting]], list[Tried]]:
    """Return the best setting of each head and the means of these, and every setting, as the folds saw them.

    Parameters
    ----------
    samples, head, seed, progress
        As `cross_validate` takes them.
    """
    task = samples.task
    refuse_bad(samples.val.X, "val")
    X, (y, fold) = _joined(samples)[0], _dealt(samples, seed)
    found = [one.stood() for one in _over_folds(head, X, y, fold, samples, seed=seed, progress=progress)]
    best = [best_of(one for one in found if one.head == name) for name in dict.fromkeys(one.head for one in found)]
    used = _used(y, fold)

    def judge(scores: FloatArray) -> tuple[float, float]:
        outs = [fold == number for number in used]
        return _over([val_scores(LabelledScores.of(y[out], scores[out], task.task_type)) for out in outs])

    return [*best, *averaged(best, judge)], [one.tried for one in found]


def _over_folds(
    head: Head,
    X: FloatArray,
    y: NDArray[Any],
    fold: NDArray[np.int64],
    samples: Samples,
    *,
    seed: int,
    progress: Progress | None,
) -> list[Setting]:
    """Return the settings that every fold offered, in the order they were offered."""
    task, used = samples.task, _used(y, fold)
    progress = progress or SilentProgress()
    settings: dict[str, Setting] = {}
    for number in used:
        out = fold == number
        parts = (X[~out], y[~out]), (X[out], y[out])
        for one in head.candidates(*parts, task.task_type, len(task.classes), seed=seed, progress=progress):
            scores = np.asarray(one.model.scores(X[out]), np.float64)
            name = canonical_json({key: part for key, part in one.settings.items() if key not in FOUND_ON_VAL})
            kept = settings.setdefault(name, Setting(one, np.zeros((len(X), scores.shape[1]))))
            kept.candidate, kept.scores[out] = one, scores
            kept.seen.append(val_scores(LabelledScores.of(y[out], scores, task.task_type)))
            kept.rounds += [int(one.settings[key]) for key in FOUND_ON_VAL if key in one.settings]
    whole = [one for one in settings.values() if len(one.seen) == len(used)]
    if not whole:
        raise TooFewToFoldError("train and val are too few to be cross-validated: leave --choose out, and val chooses")
    return whole


def _used(y: NDArray[Any], fold: NDArray[np.int64]) -> list[int]:
    """Return the folds that hold anything, and outside of which there are two classes to learn from."""
    return [
        number for number in range(FOLDS) if (fold == number).any() and len(np.unique(y[fold != number], axis=0)) > 1
    ]


def _over(seen: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the means over folds of both scores."""
    return _mean([both[0] for both in seen]), _mean([both[1] for both in seen])


def _mean(scores: Sequence[float]) -> float:
    finite = [score for score in scores if math.isfinite(score)]
    return float(np.mean(finite)) if finite else -math.inf
