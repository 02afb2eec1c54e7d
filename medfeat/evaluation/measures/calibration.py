"""Whether probabilities mean what they say: the reliability table, and temperature scaling on val."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.measures.patients import equal_shares
from medfeat.evaluation.measures.statistics import ECE_BINS, bins
from medfeat.types import FloatArray, IdArray, TaskType

_LOG_RANGE = (-3.0, 3.0)  # temperatures from 0.05 to 20: beyond these a model is either certain or says nothing
# Before any sample is seen, log temperatures are taken to spread by this about 0: 95 % lie between 0.37 and 2.7. Chosen
# by `tools/simulate_temperature.py`: with 13 samples the unbounded fit is three times as wrong as no scaling at all,
# with 200 it is the same.
_LOG_SPREAD = 0.5
_TINY = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """One bar of a reliability diagram: how sure the model was in this bin, and how often it was right."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def reliability(given: LabelledScores, *, count: int = ECE_BINS) -> tuple[ReliabilityBin, ...]:
    """Return the reliability table whose mean gap, weighted by count, is the ECE.

    Parameters
    ----------
    given
        Of any task but a regression.
    count
        Number of equal-width bins over 0..1.

    Returns
    -------
    tuple of ReliabilityBin
        The bins that hold a sample. Confidence is the predicted class's probability; for multi-label each label's
        probability, and accuracy is then how often the label is there (all labels pooled).
    """
    y, s = given.labels, given.scores
    if given.task_type == "multi-label":
        confidence, right = s.ravel(), y.ravel().astype(np.float64)
    else:
        confidence = np.maximum(s[:, -1], 1 - s[:, -1]) if given.task_type == "binary-class" else s.max(axis=1)
        right = (given.predicted == y).astype(np.float64)
    cell = bins(confidence, count)
    return tuple(
        ReliabilityBin(
            low=i / count,
            high=(i + 1) / count,
            count=int(np.count_nonzero(cell == i)),
            confidence=float(confidence[cell == i].mean()),
            accuracy=float(right[cell == i].mean()),
        )
        for i in np.unique(cell)
    )


def fit_temperature(val: LabelledScores, groups: IdArray | None = None) -> float:
    """Return the temperature that makes the scores likeliest; fitted on val, never on test.

    Probabilities are turned back into logits, divided by the temperature and normalised again (Guo et al., On
    calibration of modern neural networks, ICML 2017, section 4.2). Above 1 the model was too sure of itself. A few
    samples that a model has all right would make it certain, so the temperature needs evidence to leave 1: it is the
    likeliest a posteriori under a log-normal prior, which 100 samples outweigh.

    Parameters
    ----------
    val
        Of val.
    groups
        (n,) patient a sample: the samples of one patient then count as one, by their mean.

    Returns
    -------
    float
        1.0 when there is nothing to learn from, as for regression.
    """
    from scipy.optimize import minimize_scalar

    if val.task_type == "regression" or len(val) == 0:
        return 1.0
    weights = np.ones(len(val)) if groups is None else equal_shares(groups)

    def loss(log_temperature: float) -> float:
        scaled = scale(val.scores, float(np.exp(log_temperature)), val.task_type)
        evidence = float(weights @ _log_losses(val.labels, scaled, val.task_type))
        return evidence + 0.5 * (log_temperature / _LOG_SPREAD) ** 2

    found = minimize_scalar(loss, bounds=_LOG_RANGE, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def scale(scores: FloatArray, temperature: float, task_type: TaskType) -> NDArray[np.float64]:
    """Return the scores at a temperature; every sample keeps its predicted class."""
    s = np.clip(np.asarray(scores, np.float64), _TINY, 1 - _TINY)
    if task_type == "multi-label" or s.shape[1] == 1:
        odds = np.exp((np.log(s) - np.log1p(-s)) / temperature)
        return np.asarray(odds / (1 + odds))
    logits = np.log(s) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _log_losses(labels: NDArray[np.int64], p: NDArray[np.float64], task_type: TaskType) -> NDArray[np.float64]:
    """Return (n,) log losses, for multi-label the mean over labels."""
    p = np.clip(p, _TINY, 1 - _TINY)
    if task_type == "multi-label" or p.shape[1] == 1:
        truth = labels.reshape(p.shape)
        return np.asarray(-(truth * np.log(p) + (1 - truth) * np.log1p(-p)).mean(axis=1))
    return np.asarray(-np.log(p[np.arange(len(p)), labels]))
