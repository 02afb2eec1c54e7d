"""Whether two runs differ on the same test set: scores swapped or resampled in pairs, Holm's correction over many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import DataError
from medfeat.evaluation.compare.studentised import meetings, studentised_p
from medfeat.evaluation.compare.swapping import SWAPPED, contributions, swap_p
from medfeat.evaluation.measures.bootstrap import RESAMPLES, bootstrap, interval, strata_of
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.measures.score_intervals import difference_interval, estimates, units_of
from medfeat.evaluation.measures.statistics import statistics, value
from medfeat.evaluation.runs.apart import told_apart
from medfeat.evaluation.runs.run import Run, networks_of, read_scores
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


SAME_SCORES = 1e-5
"""Probabilities of one model, worked out in float32 and in float64, differ by less."""


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
    """Compare two runs on the same samples.

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
        (n,) clusters, which are swapped or drawn whole.
    seed, resamples
        Of the swaps or the bootstrap.

    Returns
    -------
    Difference
        `p_holm` equals `p` for one pair.
    """
    if len(first) != len(second):
        raise DataError(f"two runs must score the same samples, got {len(first)} and {len(second)}")
    given = [LabelledScores.of(labels, one, task_type) for one in (first, second)]
    both = judged(given, metric, groups=groups, seed=seed, resamples=resamples)
    p = both.p_values(0, [1])[0]
    return Difference(*names, metric, both.gap(0, 1), p, p)


def compare_runs(
    runs: Sequence[Run], *, metric: str = "auc", seed: int = 0, resamples: int = RESAMPLES
) -> list[Difference]:
    """Compare the first of several runs with each of the others on the same test set, corrected by Holm's method.

    Parameters
    ----------
    runs
        At least two, of one dataset and task, in the order wanted: the best on val first. Where the task named
        patients, whole patients are swapped or drawn.
    metric
        Any metric the task has.
    seed, resamples
        Of the swaps, or of the bootstrap for what is no AUC or ACC; the same for every pair.

    Raises
    ------
    DataError
        The runs did not score the same samples.
    """
    found = judge_runs(runs, metric=metric, seed=seed, resamples=resamples)
    names = full_names(runs)
    others = range(1, len(runs))
    ps = found.p_values(0, others)
    return with_holm(
        [Difference(names[0], names[i], metric, found.gap(0, i), p, p) for i, p in zip(others, ps, strict=True)]
    )


def full_names(runs: Sequence[Run]) -> list[str]:
    """Name runs by network, head and key, and by the settings in which some differ that are of one network and head."""
    named = [(name, run.head) for run, name in zip(runs, networks_of(runs), strict=True)]
    apart = (f" ({words})" if words else "" for words in told_apart(runs, named))
    return [f"{' '.join(name)} {run.key[:12]}{words}" for name, run, words in zip(named, runs, apart, strict=True)]


class Judged(Protocol):
    """Several models scored on one test set, any two of which can be compared."""

    @property
    def points(self) -> NDArray[np.float64]:
        """(k,) scores on the test set itself."""
        ...

    def gap(self, i: int, j: int) -> Interval:
        """Return the score of model `i` minus that of `j`, with its interval."""
        ...

    def p_values(self, i: int, others: Sequence[int]) -> list[float]:
        """Return the two-sided p-value of the difference between model `i` and each of some others."""
        ...


class _Swapped:
    """AUC or ACC: intervals in closed form, p-values by swapping scores; see `medfeat.evaluation.compare.swapping`."""

    def __init__(
        self, given: Sequence[LabelledScores], metric: str, *, groups: IdArray | None, seed: int, swaps: int
    ) -> None:
        self.given, self.metric, self.seed, self.swaps = given, metric, seed, swaps
        self.units = units_of(len(given[0]), groups)
        self.found = [estimates(one, groups)[metric] for one in given]
        self.points = np.array([one.value for one in self.found])

    def gap(self, i: int, j: int) -> Interval:
        """Return the score of model `i` minus that of `j`, with its interval: nothing where both give the same scores.

        Those are one model, as where tuning kept its start, and not two that happened to agree on this test set.
        """
        if np.allclose(self.given[i].scores, self.given[j].scores, rtol=0, atol=SAME_SCORES):
            nothing = float(self.points[i] - self.points[j])
            return Interval(nothing, min(nothing, 0.0), max(nothing, 0.0))
        return difference_interval(self.metric, self.found[i], self.found[j], self.units)

    def p_values(self, i: int, others: Sequence[int]) -> list[float]:
        """Return the two-sided p-value of the difference between model `i` and each of some others."""
        asked = {"seed": self.seed, "swaps": self.swaps}
        if self.metric == "auc":
            met = [meetings(self.given[i], self.given[j]) for j in others]
            if met and all(one is not None for one in met):
                return [studentised_p(one, self.units, **asked) for one in met if one is not None]
        gaps = [contributions(self.given[i], self.given[j], self.metric) for j in others]
        return swap_p(gaps, self.units, **asked)


@dataclass(frozen=True)
class Drawn:
    """Scores of several models on the same resamples of one test set, for every metric that is no AUC or ACC.

    Attributes
    ----------
    points
        (k,) scores on the test set itself.
    values
        (k, resamples).
    """

    points: NDArray[np.float64]
    values: NDArray[np.float64]

    def gap(self, i: int, j: int) -> Interval:
        """Return the score of model `i` minus that of `j`, with the percentiles of its resamples."""
        return interval(float(self.points[i] - self.points[j]), self.values[i] - self.values[j])

    def p_values(self, i: int, others: Sequence[int]) -> list[float]:
        """Return 2 min(P(d <= 0), P(d >= 0)) over resamples for the difference d between `i` and each of some others.

        One is added to each count, so that p is never zero (Davison and Hinkley, Bootstrap methods and their
        application, 1997, section 4.2).
        """
        return [_two_sided(self.values[i] - self.values[j]) for j in others]


def judged(
    given: Sequence[LabelledScores],
    metric: str,
    *,
    groups: IdArray | None = None,
    seed: int,
    resamples: int,
) -> Judged:
    """Return several models' scores of one test set, ready to be compared; arguments as `compare_pair` takes them."""
    if metric in SWAPPED:
        return _Swapped(given, metric, groups=groups, seed=seed, swaps=resamples)
    found = {str(i): statistics(one)[metric] for i, one in enumerate(given)}
    strata = strata_of(given[0].labels, given[0].task_type)
    draws = bootstrap(found, strata, seed=seed, resamples=resamples, groups=groups)
    points = np.array([value(statistic, len(strata)) for statistic in found.values()])
    return Drawn(points, np.stack([draws[name] for name in found]))


def judge_runs(runs: Sequence[Run], *, metric: str, seed: int = 0, resamples: int = RESAMPLES) -> Judged:
    """Score several runs on the test set that they share.

    Raises
    ------
    DataError
        The runs did not score the same samples.
    """
    task_type, scores = runs[0].task["type"], [scores_of_test(run) for run in runs]
    first = scores[0]
    for run, other in zip(runs, scores, strict=True):
        images = {one.task.get("images") for one in (run, runs[0])} - {None, ""}
        same = all(np.array_equal(other[name], first[name]) for name in ("ids", "labels"))
        if len(images) > 1 or not same:
            pair = f"{runs[0].key[:12]} and {run.key[:12]}"
            raise DataError(f"runs {pair} did not score the same samples: compare runs on the same images and task")
    given = [LabelledScores.of(one["labels"], one["scores"], task_type) for one in scores]
    return judged(given, metric, groups=first.get("groups"), seed=seed, resamples=resamples)


def alike(found: Judged, *, level: float = 0.05) -> list[int]:
    """Return a group for each run, from 0: runs that the paired test cannot tell from the first of their group.

    The first run leads group 0, and each later run that differs from it (Holm's p below `level`) waits; the first of
    those that wait leads the next group, and so on.
    """
    group, waiting, number = [0] * len(found.points), list(range(len(found.points))), 0
    while waiting:
        leader, others = waiting[0], waiting[1:]
        p = holm(found.p_values(leader, others))
        apart = [i for i, one in zip(others, p, strict=True) if one < level]
        for i in waiting:
            group[i] = group[i] if i in apart else number
        waiting, number = apart, number + 1
    return group


def scores_of_test(run: Run) -> dict[str, NDArray[Any]]:
    """Return what a run's folder holds of test, in the order of the ids: ``ids``, ``labels``, ``scores``, ``groups``.

    Raises
    ------
    DataError
        It has no folder, or its scores cannot be read.
    """
    if run.folder is None:
        raise DataError(f"run {run.key[:12]} has not been written yet: its scores are not on disk")
    stored = {name.removeprefix("test_"): part for name, part in read_scores(run.folder).items() if name[:5] == "test_"}
    order = np.argsort(stored["ids"], kind="stable")
    return {name: column[order] for name, column in stored.items()}


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
