"""Gaps of swapped scores, divided by their standard errors: against swapping by hand and DeLong's formula in a loop."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import rankdata

from medfeat.evaluation.compare import studentised
from medfeat.evaluation.compare.paired import compare_pair
from medfeat.evaluation.compare.studentised import meetings, studentised_p
from medfeat.evaluation.measures.labelled_scores import LabelledScores


def example(task_type, n=24):
    rng = np.random.default_rng(0)
    if task_type == "binary-class":
        y = rng.permutation(np.arange(n) % 3 == 0).astype(np.int64)[:, None]
        columns = [
            np.column_stack([1 - p, p])
            for p in (np.round(np.clip(0.3 * y[:, 0] + 0.7 * rng.random(n), 0, 1), 1) for _ in "ab")
        ]
        return y, *columns
    y = rng.permutation(np.arange(n) % 3)[:, None]
    return y, *(np.round(rng.random((n, 3)) + 0.5 * (y == np.arange(3)), 1) for _ in "ab")


def by_hand(y, a, b, swap, units):
    """Swap ranks, then each class's AUCs and DeLong's parts, pair by pair."""
    classes = [1] if a.shape[1] == 2 else range(a.shape[1])
    gap, parts = 0.0, np.zeros(len(y))
    for k in classes:
        one, other = rankdata(a[:, k]), rankdata(b[:, k])
        one, other = np.where(swap, other, one), np.where(swap, one, other)
        positive = y[:, 0] == k
        wins = [[[float(r[s] > r[t]) + 0.5 * float(r[s] == r[t]) for t in np.flatnonzero(~positive)]
                 for s in np.flatnonzero(positive)] for r in (one, other)]  # fmt: skip
        apart = np.array(wins[0]) - np.array(wins[1])
        gap += apart.mean() / len(classes)
        for here, values in ((positive, apart.mean(axis=1)), (~positive, apart.mean(axis=0))):
            count = len(values)
            parts[here] += (values - values.mean()) / np.sqrt(count * (count - 1)) / len(classes)
    return gap, np.sqrt(sum(parts[units == unit].sum() ** 2 for unit in np.unique(units)))


@pytest.mark.parametrize("whole", [False, True], ids=["samples", "patients"])
@pytest.mark.parametrize("task_type", ["binary-class", "multi-class"])
def test_gaps_and_errors_of_every_swap_are_those_worked_out_pair_by_pair(task_type, whole):
    y, a, b = example(task_type)
    units = np.arange(24) // 3 if whole else np.arange(24)
    met = meetings(*(LabelledScores.of(y, one, task_type) for one in (a, b)))
    swaps = np.random.default_rng(1).random((12, units.max() + 1))[:, units] < 0.5
    swaps[0] = False
    gaps, errors = studentised.studentised(met, np.where(swaps, -1.0, 1.0), units)
    for swap, gap, error in zip(swaps, gaps, errors, strict=True):
        assert (gap, error) == pytest.approx(by_hand(y, a, b, swap, units), abs=1e-12)


def test_p_is_the_share_of_all_swaps_that_go_as_far():
    y, a, b = example("binary-class", n=9)
    met = meetings(*(LabelledScores.of(y, one, "binary-class") for one in (a, b)))
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=9)))
    gaps, errors = studentised.studentised(met, signs, np.arange(9))
    t = np.round(np.abs(gaps) / np.maximum(errors, 1e-300), 9)
    exact = np.mean(t > t[0]) + np.mean(t == t[0]) / 2
    assert studentised_p(met, np.arange(9), swaps=20_000) == pytest.approx(exact, abs=0.02)


def test_the_test_of_aucs_is_this_one_and_on_many_samples_the_plain_one(monkeypatch):
    y, a, b = example("binary-class", n=60)
    met = meetings(*(LabelledScores.of(y, one, "binary-class") for one in (a, b)))
    found = compare_pair(y, a, b, "binary-class", resamples=500).p
    assert found == studentised_p(met, np.arange(60), swaps=500)
    monkeypatch.setattr(studentised, "MOST_PAIRS", 10)
    assert compare_pair(y, a, b, "binary-class", resamples=500).p != found
    assert compare_pair(y, a, a, "binary-class", resamples=500).p == 1


def test_a_class_of_one_sample_has_no_variance_and_is_tested_by_the_gap():
    y, a, b = example("binary-class")
    y[:] = 0
    y[3] = 1
    assert meetings(*(LabelledScores.of(y, one, "binary-class") for one in (a, b))) is None
    assert 0 < compare_pair(y, a, b, "binary-class", resamples=200).p <= 1
