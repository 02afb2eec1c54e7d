"""The linear head is scikit-learn's logistic regression, the whole path in one go."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from medfeat.errors import DataError
from medfeat.heads import HEADS, describe, linear, logistic
from medfeat.heads.linear import GRID, LinearProbe, fit_path
from medfeat.heads.standardise import Standardiser
from medfeat.types import SilentProgress


def embeddings(n, d, n_classes, *, seed=0, dtype=np.float32):
    """Correlated, non-negative features of which some are constant, as a CNN gives them."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    latent = rng.normal(size=(n_classes, 8))[y] * 0.8 + rng.normal(size=(n, 8))
    X = np.maximum(latent @ rng.normal(size=(8, d)) + rng.normal(size=(n, d)) + 1, 0) * rng.uniform(0.1, 30, d)
    X[:, 0] = 3.7
    return X.astype(dtype), y[:, None].astype(np.int64)


def sklearn_probe(X, y, C):
    scaler = StandardScaler().fit(X.astype(np.float64))
    model = LogisticRegression(C=C, tol=1e-10, max_iter=20000)
    return model.fit(scaler.transform(X.astype(np.float64)), y)


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize(("n", "d"), [(240, 20), (60, 150)], ids=["more samples", "more features"])
def test_coefficients_along_the_whole_grid_equal_scikit_learn(n, d, n_classes):
    X, y = embeddings(n, d, n_classes)
    task = "binary-class" if n_classes == 2 else "multi-class"
    for probe in fit_path(X, y, GRID, task_type=task, n_classes=n_classes, tol=1e-14):
        theirs = sklearn_probe(X, y[:, 0], probe.C)
        size = max(np.abs(theirs.coef_).max(), 1e-3)
        assert probe.converged_
        np.testing.assert_allclose(probe.coef_, theirs.coef_, atol=2e-4 * size)
        scaled = (X - probe.mean_) / probe.scale_
        np.testing.assert_allclose(probe.scores(X), theirs.predict_proba(scaled), atol=2e-4)


def test_at_the_default_tolerance_probabilities_are_those_of_the_minimum():
    X, y = embeddings(300, 40, 4)
    Xnew, _ = embeddings(100, 40, 4, seed=1)
    paths = [fit_path(X, y, GRID, task_type="multi-class", n_classes=4, **tol) for tol in ({}, {"tol": 1e-14})]
    for quick, exact in zip(*paths, strict=True):
        assert np.abs(quick.scores(Xnew) - exact.scores(Xnew)).max() < 5e-3


def test_a_multi_label_probe_is_one_logistic_regression_a_label():
    X, _ = embeddings(200, 12, 4)
    Y = np.random.default_rng(1).integers(0, 2, (200, 3))
    Y[:, 2] = Y[:, 2] & (X[:, 3] > X[:, 3].mean())
    probe = LinearProbe(0.1, task_type="multi-label", n_classes=3, tol=1e-14).fit(X, Y)
    for label in range(3):
        theirs = sklearn_probe(X, Y[:, label], 0.1)
        np.testing.assert_allclose(probe.coef_[label], theirs.coef_[0], atol=1e-5)
        np.testing.assert_allclose(probe.intercept_[label], theirs.intercept_[0], atol=1e-5)


def test_a_label_that_never_varies_gets_its_frequency_and_the_others_are_learnt():
    X, _ = embeddings(50, 5, 2)
    Y = np.stack([X[:, 1] > X[:, 1].mean(), np.zeros(50), np.ones(50)], axis=1).astype(np.int64)
    scores = LinearProbe(1.0, task_type="multi-label", n_classes=3).fit(X, Y).scores(X)
    assert (scores[:, 1] == 0).all()
    assert (scores[:, 2] == 1).all()
    assert np.corrcoef(scores[:, 0], Y[:, 0])[0, 1] > 0.8


def test_a_class_absent_from_train_gets_probability_zero():
    X, y = embeddings(60, 6, 3)
    scores = LinearProbe(1.0, n_classes=5).fit(X, np.array([0, 2, 4])[y]).scores(X)
    assert scores.shape == (60, 5)
    assert (scores[:, [1, 3]] == 0).all()
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    two = LinearProbe(1.0, n_classes=4).fit(X, np.array([1, 3, 3])[y]).scores(X)
    assert (two[:, [0, 2]] == 0).all()


def test_binary_scores_have_two_columns_that_sum_to_one():
    X, y = embeddings(40, 6, 2)
    scores = LinearProbe(1.0, task_type="binary-class").fit(X, y).scores(X)
    assert scores.shape == (40, 2)
    np.testing.assert_allclose(scores.sum(axis=1), 1)


def test_products_in_single_precision_find_the_same_probabilities(monkeypatch):
    X, y = embeddings(400, 60, 4)
    options = {"task_type": "multi-class", "n_classes": 4}
    double = [probe.scores(X) for probe in fit_path(X, y, GRID, **options)]
    monkeypatch.setattr(logistic, "DOUBLE_SIZE", 0)
    single = [probe.scores(X) for probe in fit_path(X, y, GRID, **options)]
    np.testing.assert_allclose(single, double, atol=5e-3)


def test_without_the_eigenvectors_the_minimum_is_the_same(monkeypatch):
    X, y = embeddings(200, 30, 3)
    usual = LinearProbe(0.03, n_classes=3, tol=1e-13).fit(X, y)
    monkeypatch.setattr(logistic, "EIGEN_LIMIT", 10)
    plain = LinearProbe(0.03, n_classes=3, tol=1e-13).fit(X, y)
    np.testing.assert_allclose(plain.coef_, usual.coef_, atol=1e-5)


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
@pytest.mark.parametrize("shape", [(400, 60), (50, 120)], ids=["more samples", "more features"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tensors_are_solved_where_they_lie_to_the_same_minimum(link, shape, dtype):
    """A GPU's tensors go through the very functions that the processor's tensors go through here."""
    X, y = embeddings(*shape, 4)
    standardised = Standardiser.fit(X).transform(X, dtype=dtype)
    targets = np.eye(4)[y[:, 0]]
    options = {"link": link, "tol": 1e-12}
    arrays = list(logistic.solve_path(standardised, targets, GRID, **options))
    tensors = list(logistic.solve_path(torch.from_numpy(standardised), targets, GRID, **options))
    for ours, theirs in zip(arrays, tensors, strict=True):
        assert isinstance(theirs.coef, np.ndarray)
        logits = (standardised @ found.coef.T + found.intercept for found in (ours, theirs))
        probabilities = [softmax(one, axis=1) if link == "softmax" else expit(one) for one in logits]
        np.testing.assert_allclose(*probabilities, atol=1e-5 if dtype == np.float64 else 5e-3)


def test_large_features_go_to_the_gpu_and_small_ones_stay(monkeypatch):
    X, y = embeddings(80, 10, 3)
    monkeypatch.setattr(linear, "on_gpu", torch.from_numpy)
    seen = []
    monkeypatch.setattr(linear, "device_of", lambda features: seen.append(type(features)) or "cpu")
    options = {"task_type": "multi-class", "n_classes": 3}
    small = next(fit_path(X, y, (0.1,), **options))
    monkeypatch.setattr(logistic, "DOUBLE_SIZE", 0)
    large = next(fit_path(X, y, (0.1,), **options))
    assert seen == [np.ndarray, torch.Tensor]
    np.testing.assert_allclose(large.scores(X), small.scores(X), atol=5e-3)


def test_half_precision_features_are_learnt_in_double_precision():
    X, y = embeddings(80, 10, 3)
    half = X.astype(np.float16)
    same = [LinearProbe(0.1, n_classes=3).fit(x, y).scores(x) for x in (half, half.astype(np.float64))]
    np.testing.assert_array_equal(*same)


def test_standardising_uses_the_train_statistics_of_a_standard_scaler():
    X, _ = embeddings(9000, 7, 2)
    ours, theirs = Standardiser.fit(X), StandardScaler().fit(X.astype(np.float64))
    np.testing.assert_allclose(ours.mean, theirs.mean_, rtol=1e-12)
    np.testing.assert_allclose(ours.scale, theirs.scale_, rtol=1e-10)
    np.testing.assert_allclose(ours.transform(X), theirs.transform(X.astype(np.float64)), atol=1e-10)


def test_the_head_yields_fifteen_probes_simplest_first_and_reports_each():
    class Counting(SilentProgress):
        def advance(self, count):
            self.said.append(count)

    X, y = embeddings(60, 5, 2)
    progress = Counting()
    head = HEADS["linear"]()
    found = list(head.candidates((X, y), (X, y), "binary-class", 2, seed=0, progress=progress))
    assert [c.settings["C"] for c in found] == pytest.approx(list(10.0 ** np.arange(-5, 2.01, 0.5)))
    assert [c.complexity for c in found] == sorted(c.complexity for c in found)
    assert progress.said == [1] * 15
    assert "logistic" in describe("linear")


def test_ordinal_classes_are_learnt_as_classes():
    X, y = embeddings(60, 5, 3)
    ordinal = LinearProbe(1.0, task_type="ordinal-regression", n_classes=3).fit(X, y)
    np.testing.assert_array_equal(ordinal.scores(X), LinearProbe(1.0, n_classes=3).fit(X, y).scores(X))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda X, y: (X, y * 0), "one class only"),
        (lambda X, y: (np.where(X > 1e3, X, np.nan), y), "30 samples are NaN or infinite .first at row 0"),
        (lambda X, y: (X, y + 1), "class numbers must be 0..1"),
        (lambda X, y: (X[:0], y[:0]), "train is empty"),
        (lambda X, y: (X, y[:-1]), "got shapes"),
        (lambda X, y: (X, np.hstack([y, y])), "multi-label"),
    ],
)
def test_input_that_cannot_be_learnt_from_is_one_clear_line(change, said):
    X, y = change(*embeddings(30, 5, 2))
    with pytest.raises(DataError, match=said) as caught:
        LinearProbe(1.0, task_type="binary-class", n_classes=2).fit(X, y)
    assert "\n" not in str(caught.value)


def test_regression_is_refused_with_the_tasks_that_are_allowed():
    X, y = embeddings(30, 5, 2)
    with pytest.raises(DataError, match=r"linear head learns binary-class, .*this task is regression"):
        LinearProbe(task_type="regression").fit(X, y.astype(float))


def test_importing_the_heads_loads_no_heavy_library():
    code = "import sys, medfeat.heads; print([m for m in ('torch', 'sklearn', 'scipy', 'xgboost') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
