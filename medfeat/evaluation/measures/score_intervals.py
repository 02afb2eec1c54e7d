"""Intervals of AUC, ACC and balanced accuracy in closed form: they hold where a bootstrap's percentiles do not.

A score test inverted: the interval holds every truth t that lies within q standard errors of what was measured, with
the standard error that t itself would have. For an AUC that is Newcombe's method 5 (Statistics in Medicine 25:559-573,
2006), for a share Wilson's interval (JASA 22:209-212, 1927), widened about its own middle as Agresti and Coull have it
(American Statistician 52:119-126, 1998). Those take a shape of the scores for granted, so the variance is scaled to the
one that is measured: DeLong's for an AUC (Biometrics 44:837-845, 1988), of whole patients where samples are named by
patient (Obuchowski, Biometrics 53:567-578, 1997). q is Student's t.

A measured variance says little where few samples were mistaken, and is nought where none was. There it may widen the
interval but narrow it only by as much as there is evidence: `_PRIOR` below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medfeat.evaluation.measures.labelled_scores import LabelledScores, OneVsRest
from medfeat.types import IdArray, Interval

Parts = Sequence[tuple[NDArray[np.intp], NDArray[np.float64]]]

_PRIOR = 4.0
"""How many mistakes' worth of evidence the model's variance has against a measured one that is smaller.

Chosen by simulation: 2 leaves cells of unequal spread at .905, 4 none below .92 (see `benchmarks/bench_coverage.py`).
"""
_GAP_PRIOR = 0.5
"""The same for a difference of two scores: 0 covers .89 at worst, 0.5 at least .93, and 1 hides real differences."""


@dataclass(frozen=True)
class Estimate:
    """A mean score with what is known of its error.

    Attributes
    ----------
    value
        The score; NaN where it is undefined.
    influence
        (n,) by how much each sample moves it away from its mean; they sum to 0.
    variance
        As measured, clusters taken whole.
    freedom
        Degrees of freedom of that variance (Satterthwaite).
    plain
        The variance if the truth were t, by the plain model of the score.
    """

    value: float
    influence: NDArray[np.float64]
    variance: float
    freedom: float
    plain: Callable[[float], float]

    @property
    def defined(self) -> bool:
        """Whether there is anything an interval could rest on."""
        return bool(np.isfinite(self.value) and self.freedom > 0)


def score_intervals(
    given: LabelledScores, *, groups: IdArray | None = None, level: float = 0.95
) -> dict[str, Interval]:
    """Return the interval of each score that has one in closed form; arguments as `estimates` takes them."""
    return {name: _interval_of(name, one, level) for name, one in estimates(given, groups).items()}


def _interval_of(name: str, found: Estimate, level: float = 0.95, prior: float = _PRIOR) -> Interval:
    """Return the interval around an estimate of the metric called `name`."""
    return (_auc_interval if name == "auc" else _share_interval)(found, level, prior)


def _share_interval(found: Estimate, level: float = 0.95, prior: float = _PRIOR) -> Interval:
    """Return Agresti and Coull's interval: Wilson's middle, with the variance that the middle would have."""
    between = _auc_interval(found, level, prior)
    middle = (between.low + between.high) / 2
    if not found.defined or not 0 < middle < 1:
        return between
    q2 = _quantile(found, level) ** 2
    own = middle * (1 - middle)
    half = np.sqrt(q2 * own / (own / (_scale(found, prior) * found.plain(middle)) + q2))
    return Interval(found.value, max(0.0, middle - float(half)), min(1.0, middle + float(half)), level)


def _quantile(found: Estimate, level: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(found.freedom, (1 + level) / 2))


def _auc_interval(found: Estimate, level: float = 0.95, prior: float = _PRIOR) -> Interval:
    """Return the score interval around an estimate; NaN bounds where the score or its variance is undefined."""
    v = found.value
    if not found.defined:
        return Interval(v, float("nan"), float("nan"), level)
    from scipy.optimize import brentq  # not while runs are only read

    q = _quantile(found, level)
    spread = q * q * _scale(found, prior)

    def beyond(t: float) -> float:
        return (v - t) ** 2 - spread * found.plain(t)

    # A hair inside 0 and 1, where the plain variance is nought and anything would be outside.
    inner = 1e-12
    low = brentq(beyond, 0.0, min(v, 1 - inner), xtol=1e-12) if v > inner else 0.0
    high = brentq(beyond, max(v, inner), 1.0, xtol=1e-12) if v < 1 - inner else 1.0
    return Interval(v, float(low), float(high), level)


def difference_interval(
    name: str, first: Estimate, second: Estimate, units: NDArray[np.intp], level: float = 0.95
) -> Interval:
    """Return the interval of the first score minus the second, on the same samples, from those of both.

    By the distances of each score from its own bounds (MOVER; Zou and Donner, Statistics in Medicine 27:1693-1702,
    2008), with the correlation of the two scores' influences summed over `units`.
    """
    a, b = (_interval_of(name, one, level, _GAP_PRIOR) for one in (first, second))
    sums = [np.bincount(units, one.influence) for one in (first, second)]
    size = float(np.sqrt(np.square(sums[0]).sum() * np.square(sums[1]).sum()))
    together = float(sums[0] @ sums[1]) / size if size > 0 else 0.0

    def reach(one: float, other: float) -> float:
        return float(np.sqrt(max(0.0, one**2 + other**2 - 2 * together * one * other)))

    gap = first.value - second.value
    low = gap - reach(a.value - a.low, b.high - b.value)
    return Interval(gap, low, gap + reach(a.high - a.value, b.value - b.low), level)


def units_of(n: int, groups: IdArray | None) -> NDArray[np.intp]:
    """Return (n,) the number of the unit that each sample belongs to: its patient, or itself."""
    return np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1].ravel()


def _scale(found: Estimate, prior: float) -> float:
    """Return what the plain variance must be multiplied by: at least the measured one, shrunk to 1 from below."""
    plain = found.plain(found.value)
    if plain <= 0:
        return 1.0
    ratio = found.variance / plain
    evidence = min(found.value, 1 - found.value) ** 2 / plain
    trust = evidence / (evidence + prior)
    return max(ratio, 1 - trust * (1 - ratio))


def estimates(given: LabelledScores, groups: IdArray | None = None) -> dict[str, Estimate]:
    """Return the scores that have such an interval: ``auc``, ``acc`` and ``balanced_accuracy``.

    Parameters
    ----------
    given
        Labels and scores; a regression has none of these.
    groups
        (n,) cluster a sample.
    """
    if given.task_type == "regression":
        return {}
    y, n = given.labels, len(given)
    units = units_of(n, groups)
    truth, right = y.reshape(n, -1), (given.predicted == y).reshape(n, -1).astype(np.float64)
    recalls, weights = [], []
    for known, hits in zip(truth.T, right.T, strict=True):
        there = np.unique(known)
        recalls += [(known == value, hits) for value in there]
        weights += [1 / (len(there) * truth.shape[1])] * len(there)
    return {
        "auc": _auc_estimate(given.one_vs_rest, units),
        "acc": _mean_estimate([(np.ones(n, np.bool_), right.mean(axis=1))], [1.0], units),
        "balanced_accuracy": _mean_estimate(recalls, weights, units),
    }


def _auc_estimate(pairs: OneVsRest, units: NDArray[np.intp]) -> Estimate:
    """Return the mean AUC over (positives, score) pairs; its influences are DeLong's placements about their means."""
    values, parts, counts = [], [], []
    for positive, score in pairs:
        of, against = np.flatnonzero(positive), np.flatnonzero(~positive)
        if not (len(of) and len(against)):
            return Estimate(float("nan"), np.zeros(len(units)), float("nan"), 0.0, float)
        beaten, beating = placements(score[of], score[against])
        value = float(beaten.mean())
        values.append(value)
        parts += [
            (of, (beaten - value) / len(of) / len(pairs)),
            (against, (beating - value) / len(against) / len(pairs)),
        ]
        counts.append((_count(units[of]), _count(units[against])))

    def plain(t: float) -> float:
        return sum(_newcombe(t, m, n) for m, n in counts) / len(counts) ** 2

    return _estimate(float(np.mean(values)), parts, units, plain)


def placements(
    positives: NDArray[np.float64], negatives: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (m,) the share of negatives below each positive, and (n,) of positives above each negative; ties half."""
    return _below(positives, negatives), 1 - _below(negatives, positives)


def _below(some: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    ordered = np.sort(others)
    return np.asarray(
        (np.searchsorted(ordered, some, "left") + np.searchsorted(ordered, some, "right")) / (2 * len(others))
    )


def _newcombe(t: float, m: int, n: int) -> float:
    """Return the variance of an AUC of t by Hanley and McNeil (1982) with the mean count, as method 5 has it."""
    more = (m + n) / 2 - 1
    return t * (1 - t) * (1 + more * ((1 - t) / (2 - t) + t / (1 + t))) / (m * n)


def _mean_estimate(
    means: Sequence[tuple[NDArray[np.bool_], NDArray[np.float64]]],
    weights: Sequence[float],
    units: NDArray[np.intp],
) -> Estimate:
    """Return a weighted sum of means, each of (n,) values between 0 and 1 over some (n,) rows."""
    value, parts, counts = 0.0, [], []
    for (rows, values), weight in zip(means, weights, strict=True):
        of = np.flatnonzero(rows)
        mean = float(values[of].mean())
        value += weight * mean
        parts.append((of, weight * (values[of] - mean) / len(of)))
        counts.append(_count(units[of]))

    def plain(t: float) -> float:
        return t * (1 - t) * sum(weight**2 / count for weight, count in zip(weights, counts, strict=True))

    return _estimate(value, parts, units, plain)


def _count(units: NDArray[np.intp]) -> int:
    return int(np.count_nonzero(np.bincount(units)))


def _estimate(value: float, parts: Parts, units: NDArray[np.intp], plain: Callable[[float], float]) -> Estimate:
    """Sum the influences of several parts, each about its own mean, and what they say of the variance."""
    influence = np.zeros(len(units))
    plainly, corrected, counts = [], [], []
    for rows, moved in parts:
        influence[rows] += moved
        count = _count(units[rows])
        plainly.append(float(np.square(np.bincount(units[rows], moved)).sum()))
        corrected.append(plainly[-1] * count / max(count - 1, 1))
        counts.append(count)
    whole = float(np.square(np.bincount(units, influence)).sum())
    some = sum(plainly)
    # Each part's variance by its count less one, as DeLong's; parts that share samples go by the same proportion.
    variance = whole * sum(corrected) / some if some > 0 else 0.0
    shares = corrected if some > 0 else [1 / count for count in counts]
    each = sum(share**2 / max(count - 1, 1) for share, count in zip(shares, counts, strict=True))
    clusters = _count(units)
    return Estimate(value, influence, variance, min(sum(shares) ** 2 / each, clusters - 1.0), plain)
