"""Whether two AUCs differ, on test sets of few samples: swap scores, and divide each gap by its own standard error.

The gap of `medfeat.evaluation.compare.swapping` takes few values where few samples are ever mistaken, so that a test by
the gap alone says too seldom that two models differ. Divided by DeLong's standard error of the swapped scores
(Biometrics 44:837-845, 1988), which is another for swaps of equal gap, it takes more: a studentised permutation
test, as of Konietschke and Pauly for ranks in pairs (Electronic Journal of Statistics 6:1358-1372, 2012).

Whoever is swapped: with e and f the signs of a positive s and a negative t, their part of the gap is U e + W f, where U
and W are (m, n) and follow from the four ways in which two ranks can meet two. So the parts of all samples in thousands
of swaps are two products of matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medfeat.evaluation.measures.labelled_scores import LabelledScores

# Pairs of a positive and a negative, over all classes: up to some thousand samples. Beyond, gaps are fine enough.
MOST_PAIRS = 1_000_000
_FEWEST = 2  # of a class, for a variance
_BLOCK_CELLS = 1 << 15  # signs held at once: what a core's cache holds
_NEAR = 1e-9

Wide = NDArray[np.float64]


@dataclass(frozen=True)
class Meeting:
    """How the two models order the positives and negatives of one class (or label).

    Attributes
    ----------
    positive
        (n,) which samples are.
    of_positives, of_negatives
        (m, n - m) U and W.
    """

    positive: NDArray[np.bool_]
    of_positives: Wide
    of_negatives: Wide


def meetings(first: LabelledScores, second: LabelledScores) -> list[Meeting] | None:
    """Return one meeting a class; None where there are too many pairs, or too few samples of a class."""
    pairs = list(zip(first.one_vs_rest, second.one_vs_rest, strict=True))
    sizes = [(int(positive.sum()), int((~positive).sum())) for (positive, _), _ in pairs]
    if sum(m * n for m, n in sizes) > MOST_PAIRS or min(map(min, sizes)) < _FEWEST:
        return None
    return [_meeting(positive, mine, theirs) for (positive, mine), (_, theirs) in pairs]


def _meeting(positive: NDArray[np.bool_], first: Wide, second: Wide) -> Meeting:
    from scipy.stats import rankdata  # not while runs are only read

    a, b = rankdata(first), rankdata(second)

    def above(some: Wide, others: Wide) -> Wide:
        gap = some[positive][:, None] - others[~positive]
        return np.asarray((np.sign(gap) + 1) / 2)

    alike, across = above(a, a) - above(b, b), above(a, b) - above(b, a)
    return Meeting(positive, (alike + across) / 2, (alike - across) / 2)


def studentised(met: Sequence[Meeting], signs: Wide, units: NDArray[np.intp]) -> tuple[Wide, Wide]:
    """Return the (k,) gaps of k swaps, and their standard errors.

    Parameters
    ----------
    met
        One a class, whose gaps are averaged.
    signs
        (k, n) -1 where a sample is swapped, else 1.
    units
        (n,) the unit of each sample; those of a unit vary together.
    """
    gaps, parts = np.zeros(len(signs)), np.zeros_like(signs)
    for one in met:
        here, there = signs[:, one.positive], signs[:, ~one.positive]
        m, n = one.of_positives.shape
        of = here * one.of_positives.mean(axis=1) + there @ one.of_negatives.T / n
        against = here @ one.of_positives / m + there * one.of_negatives.mean(axis=0)
        gaps += of.mean(axis=1) / len(met)
        parts[:, one.positive] += _apart(of) / len(met)
        parts[:, ~one.positive] += _apart(against) / len(met)
    count = int(units.max()) + 1
    if count < len(units):
        order = np.argsort(units, kind="stable")
        parts = np.add.reduceat(parts[:, order], np.searchsorted(units[order], np.arange(count)), axis=1)
    return gaps, np.sqrt(np.square(parts).sum(axis=1))


def _apart(values: Wide) -> Wide:
    """Return what each sample of a class adds to the variance of the mean over it, as a root."""
    m = values.shape[1]
    return np.asarray((values - values.mean(axis=1, keepdims=True)) / np.sqrt(m * (m - 1)))


def studentised_p(met: Sequence[Meeting], units: NDArray[np.intp], *, seed: int = 0, swaps: int = 2000) -> float:
    """Return the two-sided p-value of a gap; arguments and what it means as of `swapping.swap_p`."""
    found = _ratio(*studentised(met, np.ones((1, len(units))), units))[0]
    if not found:
        return 1.0
    rng, wider = np.random.default_rng(seed), 0.0
    step = max(1, _BLOCK_CELLS // len(units))
    for start in range(0, swaps, step):
        drawn = rng.integers(0, 2, (min(step, swaps - start), int(units.max()) + 1), dtype=np.int8)
        signs = np.asarray(drawn[:, units] * 2 - 1, np.float64)
        t = _ratio(*studentised(met, signs, units))
        wider += (t > found * (1 - _NEAR)).sum() / 2 + (t > found * (1 + _NEAR)).sum() / 2  # equal ones count half
    return float(min(1.0, (wider + 0.5) / (swaps + 1)))


def _ratio(gaps: Wide, errors: Wide) -> Wide:
    """Return gaps over their errors; what is none stays none, also where nothing varies."""
    size = np.abs(gaps)
    return np.asarray(np.where(size <= _NEAR, 0.0, size / np.where(errors > _NEAR, errors, np.finfo(float).tiny)))
