"""Curves over every threshold: ROC, precision and recall, net benefit; with pointwise bootstrap bands.

Net benefit: Vickers and Elkin, Medical Decision Making 26:565-574, 2006.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
GRID = np.linspace(0, 1, 101)
# Enough for a band by eye: a curve is a picture, the table holds the intervals.
RESAMPLES = 200


@dataclass(frozen=True)
class Line:
    """A curve on `GRID`, and the band that holds 95 % of resampled curves at each place; NaN where undefined."""

    name: str
    y: Floats
    low: Floats
    high: Floats


def roc_line(name: str, positive: NDArray[np.bool_], score: Floats, *, seed: int = 0) -> Line:
    """Return sensitivity over 1 - specificity.

    Parameters
    ----------
    name
        Of the class.
    positive, score
        (n,) truth, and how much a sample is thought to be of the class.
    seed
        Of the resamples, drawn within positives and negatives.
    """
    return _banded(name, _roc, positive, score, seed)


def precision_line(name: str, positive: NDArray[np.bool_], score: Floats, *, seed: int = 0) -> Line:
    """Return precision over recall, as `roc_line`."""
    return _banded(name, _precision, positive, score, seed)


def benefit_line(name: str, positive: NDArray[np.bool_], score: Floats, *, seed: int = 0) -> Line:
    """Return net benefit over the threshold probability, as `roc_line`; a sample is called positive above it."""
    return _banded(name, _benefit, positive, score, seed)


def benefit_of_all(positive: NDArray[np.bool_]) -> Floats:
    """Return the net benefit of calling every sample positive, over thresholds."""
    share = float(positive.mean())
    with np.errstate(divide="ignore"):
        return np.asarray(share - (1 - share) * GRID / (1 - GRID))


def _banded(
    name: str,
    curve: Callable[[NDArray[np.bool_], Floats], Floats],
    positive: NDArray[np.bool_],
    score: Floats,
    seed: int,
) -> Line:
    rng = np.random.default_rng(seed)
    ones, zeros = np.flatnonzero(positive), np.flatnonzero(~positive)
    undefined = np.full(len(GRID), np.nan)
    if not len(ones) or not len(zeros):
        return Line(name, undefined, undefined, undefined)
    draws = np.empty((RESAMPLES, len(GRID)))
    for i in range(RESAMPLES):
        rows = np.concatenate([rng.choice(ones, len(ones)), rng.choice(zeros, len(zeros))])
        draws[i] = curve(positive[rows], score[rows])
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return Line(name, curve(positive, score), low, high)


def _counts(positive: NDArray[np.bool_], score: Floats) -> tuple[Floats, Floats]:
    """Return true and false positives for each number of samples called positive, ties taken together."""
    order = np.argsort(-score, kind="stable")
    hits, value = positive[order], score[order]
    last = np.append(np.flatnonzero(np.diff(value)), len(value) - 1)
    true = np.cumsum(hits)[last].astype(np.float64)
    return np.append(0.0, true), np.append(0.0, last + 1 - true)


def _roc(positive: NDArray[np.bool_], score: Floats) -> Floats:
    true, false = _counts(positive, score)
    fpr, tpr = false / false[-1], true / true[-1]
    # Where several thresholds have one false positive rate, the curve stands upright: its upper end is the value.
    keep = np.append(np.diff(fpr) > 0, True)
    return np.asarray(np.interp(GRID, fpr[keep], tpr[keep]))


def _precision(positive: NDArray[np.bool_], score: Floats) -> Floats:
    """Return at each recall the precision of the first threshold that reaches it."""
    true, false = _counts(positive, score)
    recall, precision = true[1:] / true[-1], true[1:] / (true[1:] + false[1:])
    at = np.searchsorted(recall, GRID - 1e-12)
    return np.asarray(precision[np.minimum(at, len(precision) - 1)])


def _benefit(positive: NDArray[np.bool_], score: Floats) -> Floats:
    n = len(score)
    ones, zeros = np.sort(score[positive]), np.sort(score[~positive])
    true = len(ones) - np.searchsorted(ones, GRID, side="right")
    false = len(zeros) - np.searchsorted(zeros, GRID, side="right")
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(GRID < 1, true / n - false / n * GRID / (1 - GRID), np.nan))
