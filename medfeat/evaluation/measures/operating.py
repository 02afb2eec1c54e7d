"""Operating points of a binary test: thresholds chosen on val, and what they give on test."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.types import Interval

_SPECIFICITIES = (0.80, 0.90, 0.95)
_Z95 = 1.959963984540054


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold, where it comes from, and the sensitivity and specificity it gives.

    A sample is called positive when its score of class 1 is strictly above the threshold. Intervals are Wilson's
    (Journal of the American Statistical Association 22:209-212, 1927).
    """

    rule: str
    threshold: float
    sensitivity: Interval
    specificity: Interval


def choose_thresholds(val: LabelledScores) -> dict[str, float]:
    """Choose thresholds on val: one for each fixed specificity, one by Youden's index, and the official 0.5.

    Parameters
    ----------
    val
        Of a binary task.

    Returns
    -------
    dict
        Rule in words to threshold. At a fixed specificity it is the lowest threshold that keeps it on these samples,
        so that sensitivity is as high as it can be. Youden, Cancer 3:32-35, 1950.
    """
    y, score = val.labels, val.scores[:, -1]
    negatives, positives = np.sort(score[y == 0]), np.sort(score[y == 1])
    found = {"official 0.5": 0.5}
    if not negatives.size or not positives.size:
        return found
    for wanted in _SPECIFICITIES:
        kept = math.ceil(wanted * negatives.size - 1e-9)
        found[f"specificity {wanted:.2f} on val"] = float(negatives[kept - 1])
    cuts = np.unique(score)
    sensitivity = 1 - np.searchsorted(positives, cuts, side="right") / positives.size
    specificity = np.searchsorted(negatives, cuts, side="right") / negatives.size
    found["Youden on val"] = float(cuts[np.argmax(sensitivity + specificity)])
    return found


def operating_points(given: LabelledScores, thresholds: dict[str, float]) -> tuple[OperatingPoint, ...]:
    """Apply thresholds chosen elsewhere to these samples."""
    y, score = given.labels, given.scores[:, -1]
    return tuple(
        OperatingPoint(
            rule=rule,
            threshold=threshold,
            sensitivity=wilson(int(np.sum(score[y == 1] > threshold)), int(np.sum(y == 1))),
            specificity=wilson(int(np.sum(score[y == 0] <= threshold)), int(np.sum(y == 0))),
        )
        for rule, threshold in thresholds.items()
    )


def wilson(hits: int, n: int, z: float = _Z95) -> Interval:
    """Return a proportion with Wilson's score interval; NaN when nothing was counted."""
    if n == 0:
        return Interval(math.nan, math.nan, math.nan)
    share = hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))
