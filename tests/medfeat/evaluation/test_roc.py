"""Curves over thresholds: as scikit-learn draws them, net benefit worked out by hand, bands around them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve

from medfeat.evaluation.measures.threshold_curves import GRID, benefit_line, benefit_of_all, precision_line, roc_line


def sample(n=300, seed=0):
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.4
    return positive, np.clip(rng.normal(0.3 * positive + 0.4, 0.2), 0, 1).round(2)  # with ties


def test_roc_is_that_of_scikit_learn():
    positive, score = sample()
    line = roc_line("a", positive, score)
    fpr, tpr, _ = roc_curve(positive, score, drop_intermediate=False)
    for x, y in zip(GRID, line.y, strict=True):
        low, high = np.interp(x - 1e-9, fpr, tpr), np.interp(x + 1e-9, fpr, tpr)
        assert min(low, high) - 1e-6 <= y <= max(low, high) + 1e-6 or np.isclose(y, tpr[fpr <= x].max(), atol=1e-6)
    assert np.trapezoid(line.y, GRID) == pytest.approx(roc_auc_score(positive, score), abs=0.005)


def test_precision_is_that_of_the_first_threshold_that_reaches_a_recall():
    positive, score = sample()
    line = precision_line("a", positive, score)
    precision, recall, _ = precision_recall_curve(positive, score)
    at = [precision[np.flatnonzero(recall >= x - 1e-12).max()] for x in GRID[1:]]
    assert np.allclose(line.y[1:], at)


def test_net_benefit_by_hand():
    positive, score = np.array([True, True, False, False, False]), np.array([0.9, 0.4, 0.6, 0.2, 0.1])
    line = benefit_line("a", positive, score)
    # At 0.5: one of two found, one of three in vain: 1/5 - 1/5 * 0.5 / 0.5. At 0.25: 2/5 - 1/5 * 0.25 / 0.75.
    assert line.y[50] == pytest.approx(0.0) and line.y[25] == pytest.approx(0.4 - 0.2 / 3)
    assert benefit_of_all(positive)[50] == pytest.approx(0.4 - 0.6)
    assert line.y[0] == pytest.approx(0.4)


@pytest.mark.parametrize("draw", [roc_line, precision_line, benefit_line])
def test_bands_hold_the_curve_and_are_the_same_again(draw):
    positive, score = sample()
    line, again = draw("a", positive, score), draw("a", positive, score)
    here = np.isfinite(line.y)
    assert (line.low[here] <= line.y[here] + 0.02).all() and (line.high[here] >= line.y[here] - 0.02).all()
    assert np.array_equal(line.low, again.low, equal_nan=True)


@pytest.mark.parametrize("positive", [np.ones(4, bool), np.zeros(4, bool)])
def test_of_one_class_there_is_no_curve(positive):
    assert np.isnan(roc_line("a", positive, np.arange(4) / 4).y).all()
