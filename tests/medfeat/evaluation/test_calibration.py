"""Temperature scaling and operating points: chosen on val, checked against what is known."""

from __future__ import annotations

import numpy as np
import pytest

from medfeat.evaluation.measures.calibration import fit_temperature, reliability, scale
from medfeat.evaluation.measures.evaluate import evaluate
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.measures.operating import choose_thresholds, operating_points, wilson
from medfeat.evaluation.measures.statistics import statistics, value


def calibrated(n=20_000, c=4, seed=0):
    """Scores that are the true probabilities of their labels."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, c)) * 1.5
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(c, p=row) for row in p])[:, None]
    return labels, p


def test_the_temperature_that_was_applied_is_found_again():
    labels, p = calibrated()
    too_sure = scale(p, 0.4, "multi-class")
    assert fit_temperature(LabelledScores.of(labels, too_sure, "multi-class")) == pytest.approx(2.5, rel=0.03)
    assert fit_temperature(LabelledScores.of(labels, p, "multi-class")) == pytest.approx(1.0, abs=0.03)


def test_scaling_keeps_the_decisions_and_mends_the_calibration():
    labels, p = calibrated()
    too_sure = scale(p, 0.4, "multi-class")
    given = LabelledScores.of(labels, too_sure, "multi-class")
    found = evaluate(given, tuple("abcd"), val=given, resamples=20)
    assert (scale(too_sure, 3.0, "multi-class").argmax(axis=1) == p.argmax(axis=1)).all()
    assert found.values["ece"].value > 0.1
    assert found.values["ece_scaled"].value < 0.02
    assert found.values["brier_scaled"].value < found.values["brier"].value


def test_scaling_a_label_is_scaling_its_odds():
    p = np.array([[0.2, 0.9]])
    odds = (p / (1 - p)) ** 0.5
    np.testing.assert_allclose(scale(p, 2.0, "multi-label"), odds / (1 + odds))


@pytest.mark.parametrize("task_type", ["binary-class", "multi-class"])
def test_the_reliability_table_sums_to_the_calibration_error(task_type):
    labels, p = calibrated(n=2000, c=2 if task_type == "binary-class" else 4)
    table = reliability(LabelledScores.of(labels, p, task_type))
    assert sum(row.count for row in table) == len(labels)
    gap = sum(row.count * abs(row.confidence - row.accuracy) for row in table) / len(labels)
    assert gap == pytest.approx(
        value(statistics(LabelledScores.of(labels, p, task_type))["ece"], len(labels)), abs=1e-12
    )


def test_a_threshold_keeps_the_specificity_it_promises_with_the_best_sensitivity():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (300, 1))
    s = np.round(np.clip(rng.normal(0.4 + 0.2 * labels, 0.2), 0, 1), 2)
    scores = np.column_stack([1 - s, s])
    chosen = choose_thresholds(LabelledScores.of(labels, scores, "binary-class"))
    for point in operating_points(LabelledScores.of(labels, scores, "binary-class"), chosen):
        if not point.rule.startswith("specificity"):
            continue
        promised = float(point.rule.split()[1])
        assert point.specificity.value >= promised
        for other in np.unique(s):
            kept = np.mean(s[labels[:, :1] == 0] <= other)
            if kept >= promised:
                assert np.mean(s[labels[:, :1] == 1] > other) <= point.sensitivity.value + 1e-12


def test_youdens_threshold_is_that_of_the_roc_curve():
    from sklearn.metrics import roc_curve

    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 200)
    s = rng.random(200) * 0.5 + 0.3 * labels
    fpr, tpr, _ = roc_curve(labels, s)
    given = LabelledScores.of(labels, s, "binary-class")
    point = operating_points(given, {"Youden": choose_thresholds(given)["Youden on val"]})[0]
    assert point.sensitivity.value + point.specificity.value - 1 == pytest.approx(np.max(tpr - fpr))


def test_wilsons_interval_equals_statsmodels():
    from statsmodels.stats.proportion import proportion_confint

    for hits, n in [(0, 10), (3, 10), (10, 10), (87, 156)]:
        found = wilson(hits, n)
        np.testing.assert_allclose((found.low, found.high), proportion_confint(hits, n, method="wilson"), atol=1e-12)
    assert np.isnan(wilson(0, 0).value)


def test_val_with_one_class_offers_the_official_threshold_alone():
    given = LabelledScores.of(np.zeros(5), np.full((5, 1), 0.3), "binary-class")
    assert choose_thresholds(given) == {"official 0.5": 0.5}


def test_a_few_samples_that_are_all_right_make_nothing_certain():
    right = LabelledScores.of(np.ones(13), np.column_stack([np.full(13, 0.38), np.full(13, 0.62)]), "binary-class")
    temperature = fit_temperature(right)
    # By a grid, not by the optimiser: the likeliest temperature whose logarithm has a priori spread 1/2 about 0.
    logs = np.linspace(-3, 3, 60_001)
    loss = 13 * np.log1p((0.38 / 0.62) ** np.exp(-logs)) + logs**2 / (2 * 0.5**2)
    assert np.log(temperature) == pytest.approx(logs[loss.argmin()], abs=1e-3)
    assert 0.62 < scale(right.scores, temperature, "binary-class")[0, 1] < 14 / 15  # what Laplace would say of 13 in 13


def test_the_images_of_a_patient_count_as_one():
    labels, p = calibrated(n=40)
    once = fit_temperature(LabelledScores.of(labels, scale(p, 0.5, "multi-class"), "multi-class"))
    again = LabelledScores.of(np.repeat(labels, 30, axis=0), scale(np.repeat(p, 30, axis=0), 0.5, "multi-class"),
                              "multi-class")  # fmt: skip
    assert fit_temperature(again, np.repeat(np.arange(40), 30).astype(str)) == pytest.approx(once, rel=1e-3)
    assert abs(fit_temperature(again) - once) > 0.05
