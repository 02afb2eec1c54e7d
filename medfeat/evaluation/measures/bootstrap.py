"""Bootstrap intervals: how much a score would move with another test set of the same size.

Percentile bootstrap (Efron and Tibshirani, An introduction to the bootstrap, 1993, chapter 13), within strata; by
cluster (patient) when groups are given, because images of one patient are not independent. Resamples are counted, not
copied: see `medfeat.evaluation.measures.statistics`. AUC, ACC and balanced accuracy do better without one:
`medfeat.evaluation.measures.score_intervals`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import UsageError
from medfeat.evaluation.measures.statistics import Statistic, Weights
from medfeat.types import IdArray, Interval, LabelArray, Progress, SilentProgress, TaskType

RESAMPLES = 2000
LEVEL = 0.95
FEWEST = 20
_BLOCK_CELLS = 1 << 20  # weights held at once: 8 MiB, which stays near the processor


def bootstrap(
    statistics: Mapping[str, Statistic],
    strata: NDArray[np.int64],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    groups: IdArray | None = None,
    progress: Progress | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Evaluate several statistics on the same resamples.

    Parameters
    ----------
    statistics
        Functions of weights, as `medfeat.evaluation.measures.statistics.statistics` gives them.
    strata
        (n,) stratum a sample, as `strata_of` gives it.
    seed
        Of the resamples; the same seed gives the same resamples, whatever the statistics.
    resamples
        How many.
    groups
        (n,) cluster a sample; whole clusters are drawn with replacement, and strata are then not used.
    progress
        Told of each block.

    Returns
    -------
    dict
        Name to (resamples,) values.
    """
    progress = progress or SilentProgress()
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in statistics}
    progress.start(resamples, "bootstrap", unit="resamples")
    for weights in resample_weights(strata, seed=seed, resamples=resamples, groups=groups):
        for name, statistic in statistics.items():
            found[name].append(statistic(weights))
        progress.advance(weights.shape[1])
    progress.finish()
    return {name: np.concatenate(parts) if parts else np.empty(0) for name, parts in found.items()}


def resample_weights(
    strata: NDArray[np.int64], *, seed: int = 0, resamples: int = RESAMPLES, groups: IdArray | None = None
) -> Iterator[Weights]:
    """Yield (n, b) blocks: how often each of n samples is taken in each of b resamples."""
    rng = np.random.default_rng(seed)
    if groups is not None:
        _, cluster = np.unique(groups, return_inverse=True)
        # One cluster drawn again and again is always the same sample: that is no interval of zero width, it is none.
        resamples = resamples if cluster.max() > 0 else 0
        units, member = np.zeros(int(cluster.max()) + 1, np.int64), cluster
    else:
        units, member = strata, None
    members = [np.flatnonzero(units == stratum) for stratum in np.unique(units)]
    block = max(1, _BLOCK_CELLS // max(len(strata), 1))
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        weights = np.empty((len(units), count))
        for rows in members:
            weights[rows] = _draw(rng, len(rows), count)
        yield weights if member is None else weights[member]


def _draw(rng: np.random.Generator, size: int, count: int) -> Weights:
    """Return (size, count) counts of `size` draws with replacement, one column a resample."""
    drawn = rng.integers(size, size=(size, count), dtype=np.int32).astype(np.int64)
    drawn = drawn * count + np.arange(count)
    return np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(np.float64)


def strata_of(labels: LabelArray, task_type: TaskType) -> NDArray[np.int64]:
    """Return the stratum of each sample: its class; one stratum for all where a sample has no single class."""
    flat = np.asarray(labels).reshape(len(labels), -1)
    if task_type in ("multi-label", "regression"):
        return np.zeros(len(flat), np.int64)
    return flat[:, 0].astype(np.int64)


def check_draws(seed: int, resamples: int) -> None:
    """Refuse a seed or a number of resamples that nothing can be drawn with.

    Raises
    ------
    UsageError
        A seed below 0, or resamples that are neither 0 (no intervals) nor at least `FEWEST`.
    """
    if seed < 0:
        raise UsageError(f"seed must be 0 or more, got {seed}")
    if resamples < 0 or 0 < resamples < FEWEST:
        raise UsageError(f"resamples must be 0 (no intervals) or at least {FEWEST}, got {resamples}")


def interval(value: float, draws: NDArray[np.float64], level: float = LEVEL) -> Interval:
    """Return the percentile interval around the metric itself; NaN bounds when no resample defines the metric."""
    defined = draws[np.isfinite(draws)]
    if not defined.size or not np.isfinite(value):
        return Interval(value, float("nan"), float("nan"), level)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), level)
