"""Conformal sets miss the truth as often as asked, for every kind of answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medfeat.errors import UsageError
from medfeat.evaluation.measures.conformal import calibrate
from medfeat.evaluation.measures.labelled_scores import LabelledScores


def answers(task_type, n, seed):
    """Return labels and honest scores: labels drawn from the probabilities, or numbers with noise of known size."""
    rng = np.random.default_rng(seed)
    if task_type == "regression":
        truth = rng.normal(size=(n, 2)) * (1, 100)
        return truth, truth + rng.normal(size=(n, 2)) * (0.5, 30)
    if task_type == "multi-label":
        p = rng.beta(0.3, 0.5, size=(n, 3))
        return (rng.random((n, 3)) < p).astype(np.int64), p
    p = rng.dirichlet(np.full(2 if task_type == "binary-class" else 5, 0.4), size=n)
    return (rng.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1, keepdims=True), p


@pytest.mark.parametrize(
    "task_type", ["binary-class", "multi-class", "ordinal-regression", "multi-label", "regression"]
)
@pytest.mark.parametrize("error_rate", [0.05, 0.2])
def test_coverage_is_within_two_points_of_what_was_asked(task_type, error_rate):
    conformal = calibrate(LabelledScores.of(*answers(task_type, 4000, 1), task_type), error_rate)
    labels, scores = answers(task_type, 20000, 2)
    covered = conformal.covers(LabelledScores.of(labels, scores, conformal.task_type))
    assert covered.mean() == pytest.approx(1 - error_rate, abs=0.02)


def test_sets_bounds_and_abstentions_say_what_coverage_counts():
    labels, scores = answers("multi-class", 500, 3)
    conformal = calibrate(LabelledScores.of(labels, scores, "multi-class"), 0.1)
    sets = conformal.sets(scores)
    np.testing.assert_array_equal(
        sets[np.arange(500), labels[:, 0]], conformal.covers(LabelledScores.of(labels, scores, conformal.task_type))
    )
    np.testing.assert_array_equal(conformal.abstains(scores), sets.sum(axis=1) != 1)
    labels, scores = answers("multi-label", 500, 3)
    conformal = calibrate(LabelledScores.of(labels, scores, "multi-label"), 0.1)
    sets = conformal.sets(scores)
    inside = np.take_along_axis(sets, labels[:, :, None], axis=2)[:, :, 0].all(axis=1)
    np.testing.assert_array_equal(inside, conformal.covers(LabelledScores.of(labels, scores, conformal.task_type)))
    labels, scores = answers("regression", 500, 3)
    conformal = calibrate(LabelledScores.of(labels, scores, "regression"), 0.1)
    low, high = np.moveaxis(conformal.bounds(scores), 2, 0)
    inside = ((low <= labels + 1e-9) & (labels <= high + 1e-9)).all(axis=1)
    np.testing.assert_array_equal(inside, conformal.covers(LabelledScores.of(labels, scores, conformal.task_type)))


def test_a_single_column_of_scores_is_that_of_class_one():
    labels, scores = answers("binary-class", 300, 4)
    both = calibrate(LabelledScores.of(labels, scores, "binary-class"), 0.1)
    one = calibrate(LabelledScores.of(labels, scores[:, 1:], "binary-class"), 0.1)
    assert one.limit == pytest.approx(both.limit)
    np.testing.assert_array_equal(one.sets(scores[:, 1:]), both.sets(scores))


def test_too_few_samples_decide_nothing():
    conformal = calibrate(LabelledScores.of(*answers("multi-class", 8, 5), "multi-class"), 0.1)
    assert np.isinf(conformal.limit)
    assert conformal.abstains(answers("multi-class", 20, 6)[1]).all()


@pytest.mark.parametrize("error_rate", [0, 1, -0.1, 7])
def test_an_error_rate_is_between_zero_and_one(error_rate):
    with pytest.raises(UsageError, match="--error-rate must be between 0 and 1"):
        calibrate(LabelledScores.of(*answers("binary-class", 50, 1), "binary-class"), error_rate)


def strange(values):
    """Scores of class 1 whose strangeness, of true class 1, is as given."""
    return LabelledScores.of(np.ones(len(values)), 1 - np.array(values), "binary-class")


def test_a_patient_counts_once_however_many_images_there_are():
    val, patients = strange([0.10, 0.20, 0.25, 0.28, 0.3, 0.4]), np.array(["a", "a", "a", "a", "b", "c"])
    # 3 patients: half of 3 + 1 is reached with patient a, whose images count a quarter each, and b.
    assert calibrate(val, 0.5, patients).limit == pytest.approx(0.3)
    assert calibrate(val, 0.5).limit == pytest.approx(0.28)  # the 4th of 6
    assert calibrate(val, 0.5, patients).patients == 3
    assert np.isinf(calibrate(val, 0.2, patients).limit)  # needs 4 patients, has images enough
    alone = np.array(list("abcdef"))
    assert calibrate(val, 0.3, alone).limit == calibrate(val, 0.3).limit


def test_an_image_of_a_new_patient_is_covered_as_asked_where_images_alone_promise_too_much():
    rng = np.random.default_rng(0)
    hit = {"patients": [], "images": []}
    for _ in range(400):
        sizes = rng.choice([1, 2, 40], 12)
        patients = np.repeat(np.arange(12), sizes).astype(str)
        own = rng.normal(size=13)  # how hard a patient is; the last is new
        values = 1 / (1 + np.exp(-(np.repeat(own[:-1], sizes) + 0.2 * rng.normal(size=sizes.sum()))))
        new = 1 / (1 + np.exp(-(own[-1] + 0.2 * rng.normal())))
        hit["patients"].append(new <= calibrate(strange(values), 0.2, patients).limit)
        hit["images"].append(new <= calibrate(strange(values), 0.2).limit)
    assert np.mean(hit["patients"]) > 0.78
    assert np.mean(hit["images"]) < 0.75


def test_few_samples_are_said_with_what_they_may_miss():
    few = calibrate(LabelledScores.of(*answers("multi-class", 13, 5), "multi-class"), 0.1)
    assert few.worst_miss_rate() == pytest.approx(1 - 0.05 ** (1 / 13))  # Beta(1, 13), by hand
    assert few.cautions() == (
        "only 13 val images stand behind sets and probabilities: asked to miss the truth in 10% of images, these sets "
        "may well miss it in 21%; more in val help, or a run of `medfeat probe --choose cv`, which takes train's too",
    )
    (folds,) = replace(few, in_folds=True).cautions()
    assert folds.startswith("only 13 train and val images stand") and folds.endswith("more in train and val help")
    patients = np.arange(13).astype(str)
    assert "13 val patients (13 images)" in calibrate(strange(np.linspace(0, 1, 13)), 0.1, patients).cautions()[0]
    ten = calibrate(strange(np.linspace(0, 1, 10)), 0.05)
    assert ten.cautions()[0].endswith(", or --error-rate 0.1")  # 1 of 11, in whole percents
    assert np.isfinite(calibrate(strange(np.linspace(0, 1, 10)), 0.1).limit)
    assert "at least 19 are needed" in calibrate(strange(np.linspace(0, 1, 13)), 0.05).cautions()[0]
    assert calibrate(LabelledScores.of(*answers("multi-class", 50, 5), "multi-class"), 0.1).cautions() == ()
