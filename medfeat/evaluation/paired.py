"""Whether two runs differ on the same test set: paired bootstrap, and Holm's correction over many pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import DataError
from medfeat.evaluation.bootstrap import RESAMPLES, bootstrap, interval, strata_of
from medfeat.evaluation.weighted import statistics, value
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
        Any metric that `medfeat.evaluation.weighted.statistics` has for the task.
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
    both = {"a": statistics(labels, first, task_type)[metric], "b": statistics(labels, second, task_type)[metric]}
    draws = bootstrap(both, strata_of(labels, task_type), seed=seed, resamples=resamples, groups=groups)
    differences = draws["a"] - draws["b"]
    point = value(both["a"], len(labels)) - value(both["b"], len(labels))
    p = _two_sided(differences)
    return Difference(*names, metric, interval(point, differences), p, p)


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
