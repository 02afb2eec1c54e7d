"""The official scores equal the official evaluator; everything beside them equals an independent implementation."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from medfeat.errors import DataError
from medfeat.evaluation.measures import official_scores as metrics
from medfeat.evaluation.measures.evaluate import Metrics, class_table, confusion, evaluate
from medfeat.evaluation.measures.labelled_scores import LabelledScores, predictions
from medfeat.evaluation.measures.statistics import statistics, value

OFFICIAL = {"multi-label": "multi-label, binary-class"}


def example(task_type, *, n=400, c=5, seed=0, ties=False):
    """Random labels, and random scores of the official shape."""
    rng = np.random.default_rng(seed)
    if task_type == "binary-class":
        labels, c = rng.integers(0, 2, (n, 1)), 2
    elif task_type == "multi-label":
        labels = (rng.random((n, c)) < 0.3).astype(np.int64)
        scores = rng.random((n, c))
        return labels, np.round(scores, 1) if ties else scores
    else:
        labels = rng.permutation(np.arange(n) % c)[:, None]
    scores = rng.random((n, c)) ** 2
    scores = np.round(scores, 1) + 0.1 if ties else scores
    return labels, scores / scores.sum(axis=1, keepdims=True)


TASKS = ["binary-class", "multi-class", "multi-label", "ordinal-regression"]


def point(labels, scores, task_type, name):
    return value(statistics(LabelledScores.of(labels, scores, task_type))[name], len(labels))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("task_type", TASKS)
def test_auc_and_acc_equal_the_official_evaluator(task_type, ties):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's deprecations
        from medmnist.evaluator import getACC, getAUC
    for seed in range(20):
        labels, scores = example(task_type, seed=seed, ties=ties)
        name = OFFICIAL.get(task_type, task_type)
        assert metrics.auc(LabelledScores.of(labels, scores, task_type)) == pytest.approx(
            getAUC(labels, scores, name), abs=1e-12
        )
        assert metrics.acc(LabelledScores.of(labels, scores, task_type)) == pytest.approx(
            getACC(labels, scores, name), abs=1e-12
        )


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("task_type", TASKS)
def test_the_weighted_form_with_weights_of_one_is_the_official_score(task_type, ties):
    labels, scores = example(task_type, ties=ties)
    assert point(labels, scores, task_type, "auc") == pytest.approx(
        metrics.auc(LabelledScores.of(labels, scores, task_type)), abs=1e-12
    )
    assert point(labels, scores, task_type, "acc") == pytest.approx(
        metrics.acc(LabelledScores.of(labels, scores, task_type)), abs=1e-12
    )


def test_a_single_column_of_binary_scores_is_the_score_of_class_one():
    labels, scores = example("binary-class")
    for name in ("auc", "acc", "log_loss", "brier", "ece"):
        two, one = (point(labels, part, "binary-class", name) for part in (scores, scores[:, 1:]))
        assert one == pytest.approx(two, abs=1e-12)


@pytest.mark.parametrize("task_type", ["binary-class", "multi-class", "ordinal-regression"])
def test_metrics_of_decisions_equal_scikit_learn(task_type):
    from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, f1_score

    labels, scores = example(task_type)
    truth, predicted = labels[:, 0], predictions(scores, task_type)
    expected = {
        "balanced_accuracy": balanced_accuracy_score(truth, predicted),
        "macro_f1": f1_score(truth, predicted, average="macro"),
    }
    if task_type == "ordinal-regression":
        expected["class_mae"] = np.mean(np.abs(truth - predicted))
        expected["quadratic_kappa"] = cohen_kappa_score(truth, predicted, weights="quadratic")
    for name, wanted in expected.items():
        assert point(labels, scores, task_type, name) == pytest.approx(wanted, abs=1e-12), name


def test_metrics_of_multi_label_decisions_equal_scikit_learn():
    from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss

    labels, scores = example("multi-label")
    called = scores > 0.5
    each = [balanced_accuracy_score(labels[:, i], called[:, i]) for i in range(labels.shape[1])]
    losses = [log_loss(labels[:, i], scores[:, i]) for i in range(labels.shape[1])]
    assert point(labels, scores, "multi-label", "balanced_accuracy") == pytest.approx(np.mean(each), abs=1e-12)
    assert point(labels, scores, "multi-label", "log_loss") == pytest.approx(np.mean(losses), abs=1e-12)
    assert point(labels, scores, "multi-label", "macro_f1") == pytest.approx(
        f1_score(labels, called, average="macro"), abs=1e-12
    )


@pytest.mark.parametrize("task_type", ["binary-class", "multi-class"])
def test_log_loss_and_brier_equal_scikit_learn(task_type):
    from sklearn.metrics import brier_score_loss, log_loss

    labels, scores = example(task_type)
    assert point(labels, scores, task_type, "log_loss") == pytest.approx(log_loss(labels[:, 0], scores), abs=1e-12)
    if task_type == "binary-class":
        expected = brier_score_loss(labels[:, 0], scores[:, 1])
    else:
        pytest.importorskip("sklearn", minversion="1.7", reason="scikit-learn has it of several classes since 1.7")
        expected = brier_score_loss(labels[:, 0], scores, labels=range(5), scale_by_half=False)
    assert point(labels, scores, task_type, "brier") == pytest.approx(expected, abs=1e-12)


def test_the_calibration_error_equals_its_definition_bin_by_bin():
    labels, scores = example("multi-class")
    confidence, right = scores.max(axis=1), scores.argmax(axis=1) == labels[:, 0]
    error = 0.0
    for i in range(15):
        inside = (confidence > i / 15) & (confidence <= (i + 1) / 15)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert point(labels, scores, "multi-class", "ece") == pytest.approx(error, abs=1e-12)


def test_scores_that_are_the_true_probabilities_are_calibrated():
    rng = np.random.default_rng(0)
    p = rng.random(200_000)
    labels = (rng.random(p.size) < p).astype(np.int64)[:, None]
    assert point(labels, np.column_stack([1 - p, p]), "binary-class", "ece") < 0.005


def test_regression_metrics_equal_scikit_learn_and_scipy():
    from scipy.stats import spearmanr
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    rng = np.random.default_rng(0)
    y = np.round(rng.normal(1e3, 1, (300, 2)), 1)  # rounded: ties in the ranks
    s = np.round(y + rng.normal(0, 1, y.shape), 1)
    expected = {
        "mae": mean_absolute_error(y, s),
        "rmse": np.mean(root_mean_squared_error(y, s, multioutput="raw_values")),
        "r2": r2_score(y, s),
        "spearman": np.mean([spearmanr(y[:, i], s[:, i]).statistic for i in range(2)]),
    }
    for name, wanted in expected.items():
        assert point(y, s, "regression", name) == pytest.approx(wanted, abs=1e-9), name


def test_the_table_of_classes_and_the_confusion_matrix_equal_scikit_learn():
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, roc_auc_score

    labels, scores = example("multi-class")
    truth, predicted = labels[:, 0], scores.argmax(axis=1)
    names = tuple("abcde")
    rows = class_table(LabelledScores.of(labels, scores, "multi-class"), names)
    precision, recall, f1, support = precision_recall_fscore_support(truth, predicted)
    assert [row.name for row in rows] == list(names)
    assert [row.support for row in rows] == support.tolist()
    np.testing.assert_allclose([row.precision for row in rows], precision)
    np.testing.assert_allclose([row.recall for row in rows], recall)
    np.testing.assert_allclose([row.f1 for row in rows], f1)
    np.testing.assert_allclose([row.auc for row in rows], [roc_auc_score(truth == i, scores[:, i]) for i in range(5)])
    np.testing.assert_array_equal(
        confusion(LabelledScores.of(labels, scores, "multi-class"), 5), confusion_matrix(truth, predicted)
    )


def test_a_class_absent_from_test_leaves_auc_undefined_and_says_so():
    labels, scores = example("multi-class")
    labels[labels == 3] = 2
    found = evaluate(LabelledScores.of(labels, scores, "multi-class"), tuple("abcde"), resamples=20)
    assert np.isnan(found.auc.value) and np.isnan(found.auc.low)
    assert found.acc.low < found.acc.value < found.acc.high
    assert found.notes == (
        "official AUC is undefined: no sample, or every sample, is of class d; see the table of classes",
    )
    assert [np.isnan(row.auc) for row in found.per_class] == [False, False, False, True, False]


def test_one_class_only_in_a_binary_test_is_said_too():
    _, scores = example("binary-class")
    found = evaluate(LabelledScores.of(np.ones((len(scores), 1)), scores, "binary-class"), ("no", "yes"), resamples=20)
    assert np.isnan(found.auc.value)
    assert "all of one class" in found.notes[0]


@pytest.mark.parametrize("task_type", TASKS)
def test_metrics_survive_json(task_type):
    import json

    labels, scores = example(task_type, n=100)
    labels[labels == 4] = 3
    classes = ("no", "yes") if task_type == "binary-class" else tuple("abcde")
    found = evaluate(
        LabelledScores.of(labels, scores, task_type),
        classes,
        val=LabelledScores.of(labels, scores, task_type),
        resamples=20,
    )
    text = json.dumps(found.to_dict(), allow_nan=False)
    again = Metrics.from_dict(json.loads(text))
    assert again.to_dict() == found.to_dict()
    assert json.loads(text)["acc"]["value"] == found.acc.value


@pytest.mark.parametrize(
    ("labels", "scores", "task_type", "said"),
    [
        (np.zeros(3, np.int64), np.zeros((4, 2)), "binary-class", "one row a sample"),
        (np.zeros((3, 2), np.int64), np.zeros((3, 4)), "multi-label", "one column a label"),
        (np.zeros(3, np.int64), np.full((3, 2), np.nan), "binary-class", "finite"),
        (np.zeros((3, 2)), np.zeros((3, 1)), "regression", "one column a target"),
        (np.zeros(3), np.zeros((3, 1)), "regression", "MAE"),
    ],
)
def test_scores_that_do_not_fit_the_labels_are_refused_in_one_line(labels, scores, task_type, said):
    with pytest.raises(DataError, match=said) as caught:
        metrics.auc(LabelledScores.of(labels, scores, task_type))
    assert "\n" not in str(caught.value)


def test_many_absent_classes_are_counted_and_amounts_are_suspected():
    names = tuple(map(str, range(20, 50)))
    labels = np.arange(40)[:, None] % 10
    said = metrics.undefined_auc(LabelledScores.of(labels, np.full((40, 30), 1 / 30), "multi-class"), names)
    assert "of class 30, 31, 32, 33, 34 and 15 more; see" in said and said.endswith("ask for --task regression")
