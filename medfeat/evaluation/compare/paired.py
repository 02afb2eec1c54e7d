"""Whether two runs differ on the same test set: paired bootstrap, and Holm's correction over many pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import DataError
from medfeat.evaluation.measures.bootstrap import RESAMPLES, bootstrap, interval, strata_of
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.measures.statistics import statistics, value
from medfeat.evaluation.runs.run import Run, read_scores
from medfeat.types import FloatArray, IdArray, Interval, LabelArray, TaskType


@dataclass(frozen=True)
class Difference:
    """The first run's score minus the second's, with its interval and two-sided p-values."""

    first: str
    second: str
    metric: str
    difference: Interval
    p: float
    p_holm: float


def compare_pair(
    labels: LabelArray,
    first: FloatArray,
    second: FloatArray,
    task_type: TaskType,
    *,
    metric: str = "auc",
    names: tuple[str, str] = ("first", "second"),
    groups: IdArray | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Difference:
    """Compare two runs on the same samples, both scored on the same resamples.

    Parameters
    ----------
    labels
        (n,) or (n, k) of the test set.
    first, second
        (n, c) scores of the two runs, rows in the same order.
    task_type
        One of `medfeat.types.TASK_TYPES`.
    metric
        Any metric that `medfeat.evaluation.measures.statistics.statistics` has for the task.
    names
        What to call the two.
    groups
        (n,) clusters, for the cluster bootstrap.
    seed, resamples
        Of the bootstrap.

    Returns
    -------
    Difference
        With p = 2 min(P(d <= 0), P(d >= 0)) over resamples, one added to each count so that p is never zero (Davison
        and Hinkley, Bootstrap methods and their application, 1997, section 4.2); `p_holm` equals `p` for one pair.
    """
    if len(first) != len(second):
        raise DataError(f"two runs must score the same samples, got {len(first)} and {len(second)}")
    of = {"a": first, "b": second}
    both = {name: statistics(LabelledScores.of(labels, one, task_type))[metric] for name, one in of.items()}
    draws = bootstrap(both, strata_of(labels, task_type), seed=seed, resamples=resamples, groups=groups)
    differences = draws["a"] - draws["b"]
    point = value(both["a"], len(labels)) - value(both["b"], len(labels))
    p = _two_sided(differences)
    return Difference(*names, metric, interval(point, differences), p, p)


def compare_runs(
    runs: Sequence[Run], *, metric: str = "auc", seed: int = 0, resamples: int = RESAMPLES
) -> list[Difference]:
    """Compare the first of several runs with each of the others on the same test set, corrected by Holm's method.

    Parameters
    ----------
    runs
        At least two, of one dataset and task, in the order wanted: the best on val first. Where the task named
        patients, whole patients are drawn.
    metric
        Any metric the task has.
    seed, resamples
        Of the bootstrap; every run is scored on the same resamples.

    Raises
    ------
    DataError
        The runs did not score the same samples.
    """
    drawn = draw_pairs(runs, metric=metric, seed=seed, resamples=resamples)
    names = [f"{run.backbone} {run.head} {run.key[:12]}" for run in runs]
    differences = []
    for i in range(1, len(runs)):
        gaps = drawn.values[0] - drawn.values[i]
        gap, p = interval(drawn.points[0] - drawn.points[i], gaps), _two_sided(gaps)
        differences.append(Difference(names[0], names[i], metric, gap, p, p))
    return with_holm(differences)


@dataclass(frozen=True)
class Drawn:
    """Scores of several runs on the same resamples of one test set.

    Attributes
    ----------
    points
        (k,) scores on the test set itself.
    values
        (k, resamples).
    """

    points: NDArray[np.float64]
    values: NDArray[np.float64]


def draw_pairs(runs: Sequence[Run], *, metric: str, seed: int = 0, resamples: int = RESAMPLES) -> Drawn:
    """Score several runs on the same resamples of the test set that they share.

    Raises
    ------
    DataError
        The runs did not score the same samples.
    """
    task_type, scores = runs[0].task["type"], [_test_scores(run) for run in runs]
    first = scores[0]
    for run, other in zip(runs, scores, strict=True):
        images = {one.task.get("images") for one in (run, runs[0])} - {None, ""}
        same = all(np.array_equal(other[name], first[name]) for name in ("ids", "labels"))
        if len(images) > 1 or not same:
            pair = f"{runs[0].key[:12]} and {run.key[:12]}"
            raise DataError(f"runs {pair} did not score the same samples: compare runs on the same images and task")
    given = [LabelledScores.of(one["labels"], one["scores"], task_type) for one in scores]
    found = {str(i): statistics(one)[metric] for i, one in enumerate(given)}
    strata = strata_of(first["labels"], task_type)
    draws = bootstrap(found, strata, seed=seed, resamples=resamples, groups=first.get("groups"))
    points = np.array([value(statistic, len(strata)) for statistic in found.values()])
    return Drawn(points, np.stack([draws[name] for name in found]))


def alike(drawn: Drawn, *, level: float = 0.05) -> list[int]:
    """Return a group for each run, from 0: runs that the paired test cannot tell from the first of their group.

    The first run leads group 0, and each later run that differs from it (Holm's p below `level`) waits; the first of
    those that wait leads the next group, and so on.
    """
    group, waiting, number = [0] * len(drawn.points), list(range(len(drawn.points))), 0
    while waiting:
        leader, others = waiting[0], waiting[1:]
        p = holm([_two_sided(drawn.values[leader] - drawn.values[i]) for i in others])
        apart = [i for i, one in zip(others, p, strict=True) if one < level]
        for i in waiting:
            group[i] = group[i] if i in apart else number
        waiting, number = apart, number + 1
    return group


def _test_scores(run: Run) -> dict[str, NDArray[Any]]:
    """Read what a run's folder holds of test, in the order of the ids."""
    if run.folder is None:
        raise DataError(f"run {run.key[:12]} has not been written yet: its scores are not on disk")
    stored = {name.removeprefix("test_"): column for name, column in read_scores(run.folder).items()}
    order = np.argsort(stored["ids"], kind="stable")
    return {name: column[order] for name, column in stored.items() if not name.startswith("val_")}


def _two_sided(differences: NDArray[np.float64]) -> float:
    defined = differences[np.isfinite(differences)]
    below, above = int(np.sum(defined <= 0)), int(np.sum(defined >= 0))
    return min(1.0, 2 * (min(below, above) + 1) / (defined.size + 1))


def holm(p: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values (Scandinavian Journal of Statistics 6:65-70, 1979), in the order given.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = largest
    return adjusted


def with_holm(differences: Sequence[Difference]) -> list[Difference]:
    """Return the same comparisons with `p_holm` corrected for their number."""
    return [replace(d, p_holm=p) for d, p in zip(differences, holm([d.p for d in differences]), strict=True)]
