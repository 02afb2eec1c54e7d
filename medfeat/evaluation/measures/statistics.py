"""Every metric, written once, as a function of how often each sample is taken.

A resample of a bootstrap is nothing but a weight a sample, so a metric that takes a whole block of weights at once
needs no loop over resamples; weights of one give the metric itself. All return one value a column of weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.evaluation.measures.labelled_scores import LabelledScores, OneVsRest
from medfeat.types import TaskType

Weights = NDArray[np.float64]
Values = NDArray[np.float64]
Statistic = Callable[[Weights], Values]

ECE_BINS = 15
_TINY = float(np.finfo(np.float64).eps)


def statistics(given: LabelledScores) -> dict[str, Statistic]:
    """Return every metric that suits the task, headline metrics first.

    Parameters
    ----------
    given
        Of n samples.

    Returns
    -------
    dict
        Name to a function from (n, b) weights to (b,) values; NaN where a resample leaves the metric undefined.
    """
    y, task_type = given.labels, given.task_type
    if task_type == "regression":
        return _regression(y, given.scores)
    found = {"auc": mean_auc(given.one_vs_rest)} | _decisions(given)
    p = given.by_class
    found |= {"log_loss": _mean(_log_loss(y, p, task_type)), "brier": _mean(_brier(y, p, task_type))}
    found["ece"] = _ece(y, p, task_type)
    return found


def value(statistic: Statistic, n: int) -> float:
    """Return the metric itself: every sample taken once."""
    return float(statistic(np.ones((n, 1)))[0])


def mean_auc(pairs: OneVsRest) -> Statistic:
    """Return the mean over (positives, score) pairs of the AUC.

    Scores are sorted once. For each resample the negatives' weights are summed cumulatively in that order, and each
    positive looks up how much weight lies below it, ties counting half (Mann-Whitney).
    """
    plans = [_auc_plan(positive, score) for positive, score in pairs]

    def statistic(weights: Weights) -> Values:
        return np.asarray(np.mean([_auc(plan, weights) for plan in plans], axis=0))

    return statistic


def _auc_plan(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> tuple[NDArray[np.intp], ...]:
    positives, negatives = np.flatnonzero(positive), np.flatnonzero(~positive)
    negatives = negatives[np.argsort(score[negatives], kind="stable")]
    below = np.searchsorted(score[negatives], score[positives], side="left")
    to_equal = np.searchsorted(score[negatives], score[positives], side="right")
    return positives, negatives, below, to_equal


def _auc(plan: tuple[NDArray[np.intp], ...], weights: Weights) -> Values:
    positives, negatives, below, to_equal = plan
    mass = np.zeros((len(negatives) + 1, weights.shape[1]))
    np.cumsum(weights[negatives], axis=0, out=mass[1:])
    beaten = mass[below]
    if not np.array_equal(below, to_equal):
        beaten = (beaten + mass[to_equal]) / 2
    taken = weights[positives]
    return _ratio(np.einsum("ij,ij->j", taken, beaten), taken.sum(axis=0) * mass[-1])


def _decisions(given: LabelledScores) -> dict[str, Statistic]:
    """Return the metrics of the confusion matrix: accuracy, balanced accuracy, macro F1, two more if ordinal."""
    from scipy import sparse  # not while runs are only read

    labels, predicted, task_type = given.labels, given.predicted, given.task_type
    if task_type == "multi-label":
        size, codes = 2, 2 * labels + predicted
    else:
        size = max(given.scores.shape[1], 2, int(labels.max(initial=0)) + 1)
        codes = (size * labels + predicted)[:, None]
    n, k = codes.shape
    cells = (codes + np.arange(k) * size * size).ravel()
    count = sparse.csr_array((np.ones(n * k), (cells, np.repeat(np.arange(n), k))), shape=(k * size * size, n))

    def of(measure: Callable[[Values], Values]) -> Statistic:
        # the tables have the axes (label, true class, predicted class, resample); labels are averaged
        return lambda weights: measure((count @ weights).reshape(k, size, size, -1)).mean(axis=0)

    positive_only = task_type == "multi-label"
    found = {
        "acc": of(_accuracy),
        "balanced_accuracy": of(_balanced_accuracy),
        "macro_f1": of(lambda table: _f1(table)[:, 1] if positive_only else _f1(table).mean(axis=1)),
    }
    if task_type == "ordinal-regression":
        found |= {"class_mae": of(_class_mae), "quadratic_kappa": of(_quadratic_kappa)}
    return found


def _accuracy(table: Values) -> Values:
    return _ratio(np.einsum("kiib->kb", table), table.sum(axis=(1, 2)))


def _balanced_accuracy(table: Values) -> Values:
    """Average the recall over the classes that occur."""
    support = table.sum(axis=2)
    recall = np.divide(np.einsum("kiib->kib", table), support, out=np.zeros_like(support), where=support > 0)
    return _ratio(recall.sum(axis=1), np.count_nonzero(support, axis=1))


def _f1(table: Values) -> Values:
    """Return F1 a class (axis 1): 2 TP / (2 TP + FP + FN), 0 for a class that neither occurs nor is predicted."""
    both = table.sum(axis=2) + table.sum(axis=1)
    hits = 2 * np.einsum("kiib->kib", table)
    return np.asarray(np.divide(hits, both, out=np.zeros_like(both), where=both > 0))


def _class_mae(table: Values) -> Values:
    """Average the distance, in classes, between the predicted and the true class."""
    return _ratio(np.einsum("kijb,ij->kb", table, _distance(table.shape[1])), table.sum(axis=(1, 2)))


def _quadratic_kappa(table: Values) -> Values:
    """Cohen's kappa with squared distances as weights (Cohen, Psychological Bulletin 70:213-220, 1968)."""
    cost = _distance(table.shape[1]) ** 2
    observed = np.einsum("kijb,ij->kb", table, cost) * table.sum(axis=(1, 2))
    expected = np.einsum("kib,kjb,ij->kb", table.sum(axis=2), table.sum(axis=1), cost)
    return 1 - _ratio(observed, expected)


def _distance(size: int) -> Values:
    return np.abs(np.subtract.outer(np.arange(size), np.arange(size))).astype(np.float64)


def _log_loss(labels: NDArray[np.int64], p: NDArray[np.float64], task_type: TaskType) -> Values:
    """Return the negative log likelihood a sample, probabilities kept a rounding error away from 0 and 1."""
    if task_type == "multi-label":
        p = np.clip(p, _TINY, 1 - _TINY)
        return np.asarray(-np.mean(np.where(labels == 1, np.log(p), np.log1p(-p)), axis=1))
    p = p / p.sum(axis=1, keepdims=True)
    own = np.where(labels < p.shape[1], p[np.arange(len(p)), np.minimum(labels, p.shape[1] - 1)], 0.0)
    return np.asarray(-np.log(np.clip(own, _TINY, 1 - _TINY)))


def _brier(labels: NDArray[np.int64], p: NDArray[np.float64], task_type: TaskType) -> Values:
    """Return the squared error of the probabilities a sample (Brier, Monthly Weather Review 78:1-3, 1950).

    Summed over classes for multi-class tasks, of class 1 alone for binary ones, averaged over labels for multi-label.
    """
    if task_type == "multi-label":
        return np.asarray(np.mean((p - labels) ** 2, axis=1))
    if task_type == "binary-class":
        return np.asarray((p[:, 1] - labels) ** 2)
    return np.asarray(np.sum((p - (labels[:, None] == np.arange(p.shape[1]))) ** 2, axis=1))


def _ece(labels: NDArray[np.int64], p: NDArray[np.float64], task_type: TaskType) -> Statistic:
    """Measure the expected calibration error in 15 equal bins (Guo et al., ICML 2017; Naeini et al., AAAI 2015).

    Of the predicted class's probability; for multi-label of each label's probability, averaged over labels.
    """
    from scipy import sparse

    if task_type == "multi-label":
        confidence, right = p, labels.astype(np.float64)
    else:
        confidence = p.max(axis=1, keepdims=True)
        right = (p.argmax(axis=1) == labels).astype(np.float64)[:, None]
    n, k = confidence.shape
    cells = (bins(confidence) + np.arange(k) * ECE_BINS).ravel()
    gaps = sparse.csr_array(
        ((confidence - right).ravel(), (cells, np.repeat(np.arange(n), k))), shape=(k * ECE_BINS, n)
    )
    return lambda weights: _ratio(np.abs(np.asarray(gaps @ weights)).sum(axis=0), k * weights.sum(axis=0))


def bins(confidence: NDArray[np.float64], count: int = ECE_BINS) -> NDArray[np.int64]:
    """Return the equal-width bin of each probability; bins are closed above, as Guo et al. have them."""
    return np.clip(np.ceil(confidence * count).astype(np.int64) - 1, 0, count - 1)


def _regression(y: NDArray[np.float64], s: NDArray[np.float64]) -> dict[str, Statistic]:
    """Return R2, MAE, RMSE and Spearman's rho, each averaged over targets."""
    columns = list(zip(y.T, s.T, strict=True))

    def of(measure: Callable[[NDArray[np.float64], NDArray[np.float64]], Statistic]) -> Statistic:
        parts = [measure(truth, predicted) for truth, predicted in columns]
        return lambda weights: np.mean([part(weights) for part in parts], axis=0)

    return {"r2": of(_r2), "mae": of(_mae), "rmse": of(_rmse), "spearman": of(_spearman)}


def _mae(y: NDArray[np.float64], s: NDArray[np.float64]) -> Statistic:
    return _mean(np.abs(y - s))


def _rmse(y: NDArray[np.float64], s: NDArray[np.float64]) -> Statistic:
    mean_square = _mean((y - s) ** 2)
    return lambda weights: np.sqrt(mean_square(weights))


def _r2(y: NDArray[np.float64], s: NDArray[np.float64]) -> Statistic:
    error, centred = (y - s) ** 2, y - y.mean()  # centred first, so that large offsets cost no digits

    def statistic(weights: Weights) -> Values:
        total = weights.sum(axis=0)
        spread = centred**2 @ weights - _ratio((centred @ weights) ** 2, total)
        return 1 - _ratio(error @ weights, spread)

    return statistic


def _spearman(y: NDArray[np.float64], s: NDArray[np.float64]) -> Statistic:
    """Correlate (Pearson) the mid-ranks that the resample itself would give."""
    plans = _rank_plan(y), _rank_plan(s)

    def statistic(weights: Weights) -> Values:
        a, b = (_midranks(plan, weights) for plan in plans)
        total = weights.sum(axis=0)
        a, b = (r - _ratio((r * weights).sum(axis=0), total) for r in (a, b))
        covariance = (weights * a * b).sum(axis=0)
        return _ratio(covariance, np.sqrt((weights * a * a).sum(axis=0) * (weights * b * b).sum(axis=0)))

    return statistic


def _rank_plan(values: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    return order, np.searchsorted(ordered, values, side="left"), np.searchsorted(ordered, values, side="right")


def _midranks(plan: tuple[NDArray[np.intp], ...], weights: Weights) -> Values:
    order, first, last = plan
    mass = np.zeros((len(order) + 1, weights.shape[1]))
    np.cumsum(weights[order], axis=0, out=mass[1:])
    return (mass[first] + mass[last] + 1) / 2


def _mean(values: NDArray[np.float64]) -> Statistic:
    return lambda weights: _ratio(np.asarray(values @ weights), weights.sum(axis=0))


def _ratio(above: NDArray[np.float64], below: NDArray[Any]) -> Values:
    """Divide, with NaN where there is nothing to divide by."""
    return np.asarray(np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0))
