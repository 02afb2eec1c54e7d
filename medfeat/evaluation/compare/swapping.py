"""Whether two sets of scores differ: swap them, sample by sample, and see how often the gap would be as wide.

If two models are alike, it does not matter which of the two gave which score of a sample: each swap of some samples'
scores is as likely as what was found. For an AUC this is the permutation test of Bandos, Rockette and Gur (Statistics
in Medicine 24:2873-2893, 2005), for an ACC the one behind McNemar's. Scores become ranks first, since two models need
not share a scale.

A swap changes the sign of what its sample contributes to the gap and nothing else. For an ACC that is plain. For an AUC
it holds because a pair of samples gives f(s, t) = [a of s beats a of t] - [b of s beats b of t], which changes its sign
when both are swapped, and a function of two signs that does so is a sum of one term a sample. So a swap of a whole test
set is a sum of n signed numbers, and thousands of swaps are one product of matrices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.measures.score_intervals import placements

SWAPPED = ("auc", "acc")
_BLOCK_CELLS = 1 << 20  # signs held at once: 8 MiB


def contributions(first: LabelledScores, second: LabelledScores, metric: str) -> NDArray[np.float64]:
    """Return (n,) what each sample contributes to the first model's score minus the second's; they sum to the gap.

    Parameters
    ----------
    first, second
        Scores of the two models on the same samples; classes, not numbers.
    metric
        One of `SWAPPED`; an AUC that is undefined leaves NaN.
    """
    n = len(first)
    if metric == "acc":
        right = [(one.predicted == one.labels).reshape(n, -1).mean(axis=1) for one in (first, second)]
        return np.asarray((right[0] - right[1]) / n)
    pairs = zip(first.one_vs_rest, second.one_vs_rest, strict=True)
    return np.asarray(np.mean([_of_auc(positive, mine, theirs) for (positive, mine), (_, theirs) in pairs], axis=0))


def _of_auc(
    positive: NDArray[np.bool_], first: NDArray[np.float64], second: NDArray[np.float64]
) -> NDArray[np.float64]:
    if positive.all() or not positive.any():
        return np.full(len(positive), np.nan)
    from scipy.stats import rankdata  # not while runs are only read

    ranks = rankdata(first), rankdata(second)
    of = [rank[positive] for rank in ranks]
    against = [rank[~positive] for rank in ranks]
    # Each sample's two ranks against both ranks of every sample of the other kind.
    mine, theirs = (placements(one, np.concatenate(against))[0] for one in of)
    above, below = (placements(np.concatenate(of), one)[1] for one in against)
    found = np.zeros(len(positive))
    found[positive] = (mine - theirs) / positive.sum()
    found[~positive] = (above - below) / (~positive).sum()
    return found


def swap_p(
    gaps: Sequence[NDArray[np.float64]], units: NDArray[np.intp], *, seed: int = 0, swaps: int = 2000
) -> list[float]:
    """Return the two-sided p-value of each gap.

    Parameters
    ----------
    gaps
        (n,) contributions, one array a pair of models.
    units
        (n,) the unit of each sample; whole units are swapped.
    seed, swaps
        How many swaps are drawn; every pair sees the same ones.

    Returns
    -------
    list of float
        Never 0: what was found counts as one of the swaps. Swaps that give the same gap count half (mid-p; Lancaster,
        JASA 56:223-234, 1961), since gaps of few samples are coarse. 1 without a gap, NaN where it is undefined.
    """
    if not len(gaps):
        return []
    moved = np.stack([np.bincount(units, gap) for gap in gaps], axis=1)
    found = np.abs(moved.sum(axis=0))
    near = 1e-12 + 1e-9 * np.abs(moved).sum(axis=0)
    wider = np.zeros(len(gaps))
    rng, step = np.random.default_rng(seed), max(1, _BLOCK_CELLS // len(moved))
    for start in range(0, swaps, step):
        signs = rng.integers(0, 2, (min(step, swaps - start), len(moved)), dtype=np.int8) * 2.0 - 1.0
        ahead = np.abs(signs @ moved) - found
        wider += (ahead > near).sum(axis=0) + 0.5 * (np.abs(ahead) <= near).sum(axis=0)
    p = np.minimum(1.0, (wider + 0.5) / (swaps + 1))
    return [float(x) for x in np.where(np.isnan(found), np.nan, np.where(found <= near, 1.0, p))]
