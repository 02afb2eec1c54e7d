"""Val selects, and test is read once: the order of events that keeps a score honest.

1. Every candidate of the head is fitted on train and scored on val.
2. The best by official AUC is chosen; ties go to ACC, then to the simpler model.
3. The choice is written down.
4. Only then are the labels of test handed out, and the one chosen model is scored on them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from medfeat.counted import counted
from medfeat.errors import DataError, UsageError
from medfeat.evaluation.judging.averages import Stood, averaged, best_of
from medfeat.evaluation.measures import official_scores as metrics
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.measures.statistics import statistics, value
from medfeat.evaluation.runs.choice import RULE, Choice, Scored, Tried
from medfeat.heads.inputs import bad_rows
from medfeat.tasks import Samples
from medfeat.tasks.bags import joined
from medfeat.types import Candidate, Fitted, FloatArray, Head, LabelArray, Progress, SilentProgress, TaskType
from medfeat_cache.commands import command


def select(candidates: Iterable[Candidate], val_X: FloatArray, val_y: LabelArray, task_type: TaskType) -> Choice:
    """Choose among a head's candidates on val.

    Parameters
    ----------
    candidates
        Fitted on train, one at a time; only the best so far is kept, of each head where several stand together.
    val_X, val_y
        (n, d) features and (n, k) labels of val.
    task_type
        One of `medfeat.types.TASK_TYPES`.

    Returns
    -------
    Choice
        Where val lacks a class, the mean AUC over the classes it has stands in, since the official one is undefined.

    Raises
    ------
    DataError
        The head offered nothing.
    """
    stood, seen = contenders(candidates, val_X, val_y, task_type)
    won = best_of(stood)
    every = (*seen, *(one.tried for one in stood if len(one.parts) > 1))
    return Choice(won.tried, every, RULE[task_type == "regression"], one_model(won.parts), won.scores)


def contenders(
    candidates: Iterable[Candidate], val_X: FloatArray, val_y: LabelArray, task_type: TaskType
) -> tuple[list[Stood[Fitted]], list[Tried]]:
    """Return the best candidate of each head and the means of these, and every candidate, as val saw them.

    Parameters
    ----------
    candidates, val_X, val_y, task_type
        As `select` takes them.
    """

    def judge(scores: FloatArray) -> tuple[float, float]:
        return val_scores(LabelledScores.of(val_y, scores, task_type))

    best: dict[str, Stood[Fitted]] = {}
    seen: list[Tried] = []
    for candidate in candidates:
        scores = np.asarray(candidate.model.scores(val_X), np.float64)
        tried = Tried(candidate.settings, *judge(scores), float(candidate.complexity))
        seen.append(tried)
        if candidate.head not in best or tried.beats(best[candidate.head].tried):
            best[candidate.head] = Stood(candidate.head, tried, scores, (candidate.model,))
    return [*best.values(), *averaged(list(best.values()), judge)], seen


def one_model(models: Sequence[Fitted]) -> Fitted:
    """Return the only model there is, or one that gives the mean of several models' scores."""
    from medfeat.heads.average import AverageProbe

    return models[0] if len(models) == 1 else AverageProbe(models)


def val_scores(val: LabelledScores) -> tuple[float, float]:
    """Return the two numbers by which candidates are compared, larger is better: AUC and ACC, or R2 and minus MAE."""
    if val.task_type == "regression":
        found = statistics(val)
        return _or_worst(value(found["r2"], len(val))), -value(found["mae"], len(val))
    aucs = metrics.class_aucs(val)
    defined = aucs[~np.isnan(aucs)]
    auc = float(defined.mean()) if defined.size else -math.inf
    return auc, metrics.acc(val)


def _or_worst(score: float) -> float:
    return -math.inf if math.isnan(score) else score


def run_protocol(
    samples: Samples,
    head: Head,
    *,
    write_down: Callable[[Choice], None],
    choosing: Callable[..., Choice] | None = None,
    refit: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Scored:
    """Fit, choose on val, write the choice down, and only then read test.

    Parameters
    ----------
    samples
        A store joined with a task.
    head
        Any head of `medfeat.heads.HEADS`.
    write_down
        Called with the choice before the labels of test are handed out.
    choosing
        Chooses among the head's candidates, called as `choose`, which is the default.
    refit
        Fit the chosen settings again on train and val; val scores, temperature and thresholds stay those of the model
        that was fitted on train alone.
    seed
        Of the head.
    progress
        Told of each candidate.
    """
    choice = (choosing or choose)(samples, head, seed=seed, progress=progress)
    if refit:
        choice = refitted(choice, samples)
    return read_test(samples, choice, write_down)


def read_test(samples: Samples, choice: Choice, write_down: Callable[[Choice], None]) -> Scored:
    """Write a choice down, and only then open test: the one model that was chosen is scored on it."""
    write_down(choice)
    X = samples.X("test")
    refuse_bad(X, "test")
    scores = np.asarray(choice.model.scores(X), np.float64)
    return Scored(choice, samples.val, samples.test, scores)


def choose(samples: Samples, head: Head, *, seed: int = 0, progress: Progress | None = None) -> Choice:
    """Fit a head's candidates on train and choose on val; test stays closed."""
    progress = progress or SilentProgress()
    train, val, task = samples.train, samples.val, samples.task
    refuse_bad(val.X, "val")
    candidates = head.candidates(
        (train.X, train.y), (val.X, val.y), task.task_type, len(task.classes), seed=seed, progress=progress
    )
    return select(candidates, val.X, val.y, task.task_type)


def refitted(choice: Choice, samples: Samples) -> Choice:
    """Return the choice with its settings fitted anew on train and val together.

    Raises
    ------
    UsageError
        The model is no scikit-learn estimator, so its settings cannot be fitted again.
    """
    from sklearn.base import clone

    model, train, val = choice.model, samples.train, samples.val
    refuse_refit(model, "--refit")
    X, y = joined(train.X, val.X), np.concatenate([train.y, val.y])
    return replace(choice, rule=f"{choice.rule}; refitted on train+val", model=clone(model).fit(X, y))


def refuse_refit(model: Fitted, option: str) -> None:
    """Refuse a model that is no scikit-learn estimator, so that its settings cannot be fitted again."""
    from sklearn.base import BaseEstimator

    if not isinstance(model, BaseEstimator):
        raise UsageError(f"a {type(model).__name__} cannot be refitted on train and val: leave {option} out")


def refuse_bad(X: FloatArray, split: str) -> None:
    """Refuse features that are not finite, as the heads do for train."""
    bad = bad_rows(X)
    if len(bad):
        raise DataError(
            f"{split} features of {counted(len(bad), 'sample')} are NaN or infinite (first at row {bad[0]}): "
            f"{command('cache', 'verify')} names them, {command('cache', 'repair', 'STORE')} computes them again"
        )
