"""The array bootstrap equals the loop it replaces, and agrees with scipy and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest

from medfeat.errors import UsageError
from medfeat.evaluation.compare.paired import Drawn, alike, compare_pair, holm, with_holm
from medfeat.evaluation.measures import official_scores as metrics
from medfeat.evaluation.measures.bootstrap import bootstrap, check_draws, interval, resample_weights, strata_of
from medfeat.evaluation.measures.evaluate import evaluate
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.measures.statistics import statistics, value


def example(task_type, *, n=90, c=4, ties=False, seed=0):
    rng = np.random.default_rng(seed)
    if task_type == "regression":
        y = np.round(rng.normal(size=(n, 1)), 1)
        return y, np.round(y + rng.normal(size=(n, 1)), 1)
    if task_type == "multi-label":
        labels = (rng.random((n, c)) < 0.4).astype(np.int64)
        scores = np.clip(0.3 * labels + 0.7 * rng.random((n, c)), 0, 1)
        return labels, np.round(scores, 1) if ties else scores
    c = 2 if task_type == "binary-class" else c
    labels = rng.permutation(np.arange(n) % c)[:, None]
    scores = rng.random((n, c)) + 0.5 * (labels == np.arange(c))
    scores = np.round(scores, 1) + 0.1 if ties else scores
    return labels, scores / scores.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(
    "task_type", ["binary-class", "multi-class", "multi-label", "ordinal-regression", "regression"]
)
def test_every_statistic_equals_the_naive_loop_over_resamples(task_type, ties):
    labels, scores = example(task_type, ties=ties)
    strata = strata_of(labels, task_type)
    draws = bootstrap(statistics(LabelledScores.of(labels, scores, task_type)), strata, seed=3, resamples=40)
    weights = np.concatenate(list(resample_weights(strata, seed=3, resamples=40)), axis=1).astype(int)
    for b in range(40):
        taken = np.repeat(np.arange(len(labels)), weights[:, b])
        again = statistics(LabelledScores.of(labels[taken], scores[taken], task_type))
        for name, statistic in again.items():
            assert draws[name][b] == pytest.approx(value(statistic, len(taken)), abs=1e-10, nan_ok=True), name
        if task_type != "regression":
            official = metrics.auc(LabelledScores.of(labels[taken], scores[taken], task_type))
            assert draws["auc"][b] == pytest.approx(official, abs=1e-12, nan_ok=True)


def test_each_stratified_resample_has_the_class_counts_of_the_test_set():
    labels, _ = example("multi-class")
    strata = strata_of(labels, "multi-class")
    for weights in resample_weights(strata, seed=0, resamples=50):
        for c in range(4):
            assert (weights[strata == c].sum(axis=0) == np.sum(strata == c)).all()


def test_a_cluster_is_drawn_whole():
    groups = np.array(["p1", "p1", "p2", "p3", "p3", "p3"])
    weights = np.concatenate(list(resample_weights(np.zeros(6, np.int64), resamples=200, groups=groups)), axis=1)
    assert (weights[0] == weights[1]).all() and (weights[3] == weights[5]).all()
    assert (weights[[0, 2, 3]].sum(axis=0) == 3).all()


def test_correlated_clusters_widen_the_interval():
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(40), 10)
    labels = (patient % 2)[:, None]
    score = np.repeat(rng.normal(size=40), 10) + labels[:, 0] + 0.1 * rng.normal(size=400)
    p = 1 / (1 + np.exp(-score))
    scores = np.column_stack([1 - p, p])
    alone = evaluate(LabelledScores.of(labels, scores, "binary-class"), ("a", "b"), resamples=300).auc
    clustered = evaluate(
        LabelledScores.of(labels, scores, "binary-class"), ("a", "b"), resamples=300, groups=patient.astype(str)
    ).auc
    assert clustered.high - clustered.low > 2 * (alone.high - alone.low)


@pytest.mark.parametrize(("patients", "said"), [(1, "no interval can be given"), (4, "too narrow"), (20, None)])
def test_few_patients_are_said_and_one_gives_no_interval(patients, said):
    labels, scores = example("binary-class")
    groups = (np.arange(len(labels)) % patients).astype(str)
    found = evaluate(LabelledScores.of(labels, scores, "binary-class"), ("a", "b"), resamples=50, groups=groups)
    assert np.isnan(found.auc.low) == (patients == 1)
    assert (
        found.auc.value
        == evaluate(LabelledScores.of(labels, scores, "binary-class"), ("a", "b"), resamples=0).auc.value
    )
    assert [said in note for note in found.notes] == ([True] if said else [])


def test_a_target_that_never_varies_has_no_r2_and_that_is_said():
    labels = np.stack([np.full(30, 2.0), np.arange(30.0)], axis=1)
    found = evaluate(LabelledScores.of(labels, labels + 0.5, "regression"), ("age", "size"), resamples=20)
    assert found.notes == ("R2 is undefined: age has one value only in these samples",)


@pytest.mark.parametrize(
    ("draws", "said"), [((-1, 100), "seed must be 0"), ((0, 1), "at least 20, got 1"), ((0, -5), "got -5")]
)
def test_draws_that_cannot_be_made_are_refused(draws, said):
    with pytest.raises(UsageError, match=said):
        check_draws(*draws)
    check_draws(0, 0)
    check_draws(3, 20)


def test_the_same_seed_gives_the_same_interval_and_another_a_slightly_different_one():
    labels, scores = example("multi-class")
    a, b, other = (
        evaluate(LabelledScores.of(labels, scores, "multi-class"), tuple("abcd"), resamples=200, seed=s).values[
            "macro_f1"
        ]
        for s in (1, 1, 2)
    )
    assert a == b and a != other
    assert other.low == pytest.approx(a.low, abs=0.05)


def test_the_mean_interval_has_its_closed_form_width():
    errors = np.random.default_rng(0).normal(size=(2000, 1))
    draws = bootstrap(
        statistics(LabelledScores.of(errors, np.zeros_like(errors), "regression")), np.zeros(2000, np.int64)
    )
    found = interval(float(np.abs(errors).mean()), draws["mae"])
    half = 1.96 * np.abs(errors).std() / np.sqrt(2000)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.07)


def test_a_run_does_not_differ_from_itself_and_differs_from_noise():
    labels, scores = example("multi-class", n=400)
    noise = example("multi-class", n=400, seed=5)[1]
    same = compare_pair(labels, scores, scores, "multi-class", resamples=500)
    assert same.p == 1.0 and same.difference.value == 0.0
    better = compare_pair(labels, scores, noise, "multi-class", resamples=500)
    assert better.p == pytest.approx(0.5 / 501)
    assert 0 < better.difference.low < better.difference.value


def test_the_paired_interval_is_that_of_scipy_and_narrower_than_the_unpaired_one():
    from scipy import stats

    rng = np.random.default_rng(0)
    y = rng.normal(size=(300, 1))
    shared = rng.normal(size=y.shape)
    a, b = y + shared, y + shared + 0.3 * rng.normal(size=y.shape)
    ours = compare_pair(y, a, b, "regression", metric="mae", resamples=4000).difference
    theirs = stats.bootstrap(
        (np.abs(y - a)[:, 0], np.abs(y - b)[:, 0]),
        lambda x, z, axis=-1: x.mean(axis=axis) - z.mean(axis=axis),
        paired=True, n_resamples=4000, method="percentile", random_state=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    assert ours.low == pytest.approx(theirs.low, abs=0.004)
    assert ours.high == pytest.approx(theirs.high, abs=0.004)
    alone = evaluate(LabelledScores.of(y, a, "regression"), ("t",), resamples=500).values["mae"]
    assert ours.high - ours.low < alone.high - alone.low


def test_the_paired_p_is_uniform_when_nothing_differs():
    rng = np.random.default_rng(0)
    ps = []
    for seed in range(150):
        y = np.zeros((80, 1))
        a, b = rng.normal(size=(2, 80, 1))
        ps.append(compare_pair(y, a, b, "regression", metric="mae", resamples=200, seed=seed).p)
    assert 0.01 < np.mean(np.array(ps) < 0.05) < 0.11


def test_holm_equals_statsmodels():
    from statsmodels.stats.multitest import multipletests

    p = np.random.default_rng(0).random(12) ** 3
    np.testing.assert_allclose(holm(p.tolist()), multipletests(p, method="holm")[1])


def test_holm_over_many_runs_never_makes_a_difference_surer():
    labels, scores = example("multi-class", n=200)
    others = [example("multi-class", n=200, seed=s)[1] for s in (1, 2)]
    found = with_holm([compare_pair(labels, scores, o, "multi-class", resamples=200) for o in others])
    assert all(d.p_holm >= d.p for d in found)


def test_runs_that_a_paired_test_cannot_tell_apart_share_a_group():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.01, (4, 2000))
    points = np.array([0.90, 0.895, 0.70, 0.705])
    drawn = Drawn(points, points[:, None] + noise)
    assert alike(drawn) == [0, 0, 1, 1]
    assert alike(Drawn(points[::-1], drawn.values[::-1])) == [0, 0, 1, 1]
    wide = Drawn(points, points[:, None] + 30 * noise)
    assert alike(wide) == [0, 0, 0, 0]


def test_groups_are_corrected_for_the_number_of_runs():
    values = np.zeros((40, 2000))
    values[1:] = np.random.default_rng(0).normal(-0.0196, 0.0095, (39, 2000))  # each alone: p of about 0.04
    assert alike(Drawn(values.mean(axis=1), values)) == [0] * 40
    assert alike(Drawn(values[:2].mean(axis=1), values[:2])) == [0, 1]
