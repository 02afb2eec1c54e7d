"""Closed intervals and swap tests against plain loops, statsmodels and every swap there is.

That they hold is simulated in benchmarks/bench_coverage.py.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binom, rankdata

from medfeat.evaluation.compare.paired import compare_pair
from medfeat.evaluation.compare.swapping import contributions, swap_p
from medfeat.evaluation.measures import official_scores as metrics
from medfeat.evaluation.measures.evaluate import evaluate
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.measures.score_intervals import estimates, score_intervals

of = LabelledScores.of


def example(task_type, *, n=60, seed=0, shift=0.6):
    rng = np.random.default_rng(seed)
    if task_type == "multi-label":
        y = (rng.random((n, 3)) < 0.4).astype(np.int64)
        return y, np.round(np.clip(0.3 * y + 0.7 * rng.random((n, 3)), 0, 1), 2)
    c = 2 if task_type == "binary-class" else 4
    y = rng.permutation(np.arange(n) % c)[:, None]
    scores = np.round(rng.random((n, c)) + shift * (y == np.arange(c)), 2) + 0.01
    return y, scores / scores.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("task_type", ["binary-class", "multi-class", "multi-label", "ordinal-regression"])
def test_values_are_the_official_ones(task_type):
    y, scores = example(task_type)
    found = estimates(of(y, scores, task_type))
    assert found["auc"].value == pytest.approx(metrics.auc(of(y, scores, task_type)), abs=1e-12)
    assert found["acc"].value == pytest.approx(metrics.acc(of(y, scores, task_type)), abs=1e-12)
    for one in found.values():
        assert one.influence.sum() == pytest.approx(0, abs=1e-12)


def test_the_variance_of_a_binary_auc_is_delongs():
    y, scores = example("binary-class")
    x, z = scores[y[:, 0] == 1, 1], scores[y[:, 0] == 0, 1]
    psi = (x[:, None] > z) + 0.5 * (x[:, None] == z)
    delong = psi.mean(axis=1).var(ddof=1) / len(x) + psi.mean(axis=0).var(ddof=1) / len(z)
    assert estimates(of(y, scores, "binary-class"))["auc"].variance == pytest.approx(delong)


def test_the_interval_of_an_acc_is_that_of_agresti_and_coull():
    from statsmodels.stats.proportion import proportion_confint

    y, scores = example("multi-class", n=4000)
    found = score_intervals(of(y, scores, "multi-class"))["acc"]
    hits = round(found.value * len(y))
    theirs = proportion_confint(hits, len(y), method="agresti_coull")
    assert (found.low, found.high) == pytest.approx(theirs, abs=1e-4)


@pytest.mark.parametrize("task_type", ["binary-class", "multi-class", "multi-label"])
def test_images_that_say_the_same_of_a_patient_count_once(task_type):
    y, scores = example(task_type)
    once = score_intervals(of(y, scores, task_type))
    patient = np.tile(np.arange(len(y)), 3).astype(str)
    thrice = score_intervals(of(np.tile(y, (3, 1)), np.tile(scores, (3, 1)), task_type), groups=patient)
    for name in ("auc", "acc", "balanced_accuracy"):
        assert (thrice[name].low, thrice[name].high) == pytest.approx((once[name].low, once[name].high), abs=1e-9)


def test_a_perfect_score_has_an_interval_that_narrows_with_the_test_set():
    widths = []
    for n in (20, 60, 600):
        y = (np.arange(n) % 2)[:, None]
        scores = np.column_stack([1 - y, y]) * 0.8 + 0.1
        found = evaluate(of(y, scores, "binary-class"), ("a", "b"), resamples=20)
        for one in (found.auc, found.acc, found.values["balanced_accuracy"]):
            assert one.value == 1.0 and one.high == 1.0 and 0 < one.low < 1
        widths.append(1 - found.auc.low)
    assert widths[0] > widths[1] > widths[2]


def test_an_interval_mirrors_when_classes_change_places():
    y, scores = example("binary-class")
    one, other = (score_intervals(of(labels, scores, "binary-class"))["auc"] for labels in (y, 1 - y))
    assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low), abs=1e-9)


def swapped(y, a, b, task_type, metric, swap):
    """The gap after the scores of some samples changed places, computed anew."""
    score = getattr(metrics, metric)
    mine, theirs = np.where(swap[:, None], b, a), np.where(swap[:, None], a, b)
    return score(of(y, mine, task_type)) - score(of(y, theirs, task_type))


@pytest.mark.parametrize("metric", ["auc", "acc"])
@pytest.mark.parametrize("task_type", ["binary-class", "multi-class", "multi-label"])
def test_contributions_give_the_gap_of_every_swap(task_type, metric):
    y, a = example(task_type, n=24)
    b = example(task_type, n=24, seed=1)[1]
    parts = contributions(of(y, a, task_type), of(y, b, task_type), metric)
    if metric == "auc":  # swaps are of ranks
        a, b = (np.apply_along_axis(rankdata, 0, one) for one in (a, b))
    rng = np.random.default_rng(0)
    for swap in [np.zeros(24, bool), *(rng.random((30, 24)) < 0.5)]:
        assert np.where(swap, -1, 1) @ parts == pytest.approx(swapped(y, a, b, task_type, metric, swap), abs=1e-12)


def test_p_is_the_share_of_all_swaps_that_go_as_far():
    rng = np.random.default_rng(0)
    gap = rng.normal(0.5, 1, 10)
    every = np.array(list(itertools.product((-1, 1), repeat=10))) @ gap
    beyond = np.mean(np.abs(every) > abs(gap.sum()) + 1e-9) + np.mean(np.isclose(np.abs(every), abs(gap.sum()))) / 2
    assert swap_p([gap], np.arange(10), swaps=40_000)[0] == pytest.approx(beyond, abs=0.01)


def test_the_p_of_an_acc_is_the_mid_p_of_mcnemar():
    n, better, worse = 100, 9, 3
    y = np.ones((n, 1), np.int64)
    right = np.column_stack([np.zeros(n), np.ones(n)])
    a, b = right.copy(), right.copy()
    b[:better], a[better : better + worse] = (1, 0), (1, 0)
    y[-1], a[-1], b[-1] = 0, (1, 0), (1, 0)
    exact = 2 * binom.cdf(worse, better + worse, 0.5) - binom.pmf(worse, better + worse, 0.5)
    found = compare_pair(y, a, b, "binary-class", metric="acc", resamples=40_000)
    assert found.p == pytest.approx(exact, abs=0.006)
    assert found.difference.value == pytest.approx(0.06)
    assert found.difference.low < 0.06 < found.difference.high


def test_patients_are_swapped_whole():
    y, a = example("binary-class")
    b = example("binary-class", seed=1, shift=0.2)[1]
    once = compare_pair(y, a, b, "binary-class", resamples=500)
    patient = np.tile(np.arange(len(y)), 3).astype(str)
    many = (np.tile(one, (3, 1)) for one in (y, a, b))
    thrice = compare_pair(*many, "binary-class", groups=patient, resamples=500)
    assert thrice.p == pytest.approx(once.p)
    assert thrice.difference.low == pytest.approx(once.difference.low, abs=1e-9)


def test_a_class_that_is_absent_leaves_the_auc_without_an_interval():
    y, scores = example("multi-class")
    found = score_intervals(of(np.minimum(y, 2), scores, "multi-class"))
    again = compare_pair(np.minimum(y, 2), scores, scores[::-1], "multi-class")
    assert np.isnan(again.p) and np.isnan(again.difference.value)
    assert np.isnan(found["auc"].value) and np.isnan(found["auc"].low) and found["acc"].low < found["acc"].high


@pytest.mark.parametrize("metric", ["auc", "acc"])
def test_one_model_in_two_precisions_differs_by_nothing_and_two_models_by_an_interval(metric):
    y, scores = example("binary-class", n=156)
    again = compare_pair(y, scores, scores.astype(np.float32), "binary-class", metric=metric, resamples=200).difference
    assert again.low == pytest.approx(0, abs=1e-9) and again.high == pytest.approx(0, abs=1e-9)
    # The order of the samples and every decision are kept, but these are scores of another model.
    other = compare_pair(y, scores, 0.5 + (scores - 0.5) * 0.9, "binary-class", metric=metric, resamples=200).difference
    assert other.value == 0 and other.low < 0 < other.high
