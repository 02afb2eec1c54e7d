"""Gated attention over bags: the same as a plain torch loop, blind to order, and the mean where it must be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge

from medfeat.errors import DataError
from medfeat.heads.attention import AttentionHead, AttentionProbe, Measured
from medfeat.heads.gated_attention import even, gradients, loss, outputs
from medfeat.heads.linear import LinearProbe
from medfeat.heads.ridge import RidgeProbe
from medfeat.types import TASK_TYPES, SilentProgress


def bags(task_type, *, n=40, vectors=5, dim=4, seed=0):
    """Bags of which one vector tells, its place drawn anew for each; labels; how many classes, labels or targets."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, vectors, dim))
    told = rng.normal(size=(n, 3))
    X[np.arange(n), rng.integers(0, vectors, n), :3] = 3 * told
    if task_type == "regression":
        return X, told[:, :2] * [2, 30] + [5, -7], 2
    if task_type == "multi-label":
        return X, (told > 0).astype(np.int64), 3
    count = 2 if task_type == "binary-class" else 3
    return X, np.digitize(told[:, :1], [0.0] if count == 2 else [-0.5, 0.5]), count


def probe_of_the_mean(Z, y, task_type, C, class_weight):
    """Fit scikit-learn's own linear model on the means; return weights (c, d) and biases (c,)."""
    if task_type == "regression":
        plain = Ridge(alpha=1 / C).fit(Z, y)
        return plain.coef_, plain.intercept_
    asked = {"C": C, "tol": 1e-12, "max_iter": 100_000, "class_weight": None if class_weight == "none" else "balanced"}
    columns = y.T if task_type == "multi-label" else [y[:, 0]]
    fitted = [LogisticRegression(**asked).fit(Z, column) for column in columns]
    return np.concatenate([one.coef_ for one in fitted]), np.concatenate([one.intercept_ for one in fitted])


def plain_loop(X, y, task_type, probe, class_weight="none"):
    """Train the same model with torch's own layers, losses, gradients and Adam, from the same first weights."""
    X, y = torch.tensor(X), torch.tensor(y)
    mean, scale = X.mean((0, 1)), X.std((0, 1), correction=0)
    E = (X - mean) / scale
    gain = 1 / E.mean(1).square().mean(0).sqrt()
    hidden, C = probe.hidden, probe.C
    drawn = np.random.default_rng(probe.seed).normal(size=(X.shape[2], 2 * hidden)) / np.sqrt(X.shape[2])
    if task_type == "regression":
        centre, spread = y.mean(0), y.std(0, correction=0)
        targets = (y - centre) / spread
    else:
        targets = y
    coef, intercept = probe_of_the_mean((E.mean(1) * gain).numpy(), targets.numpy(), task_type, C, class_weight)
    V, U = (torch.nn.Linear(X.shape[2], hidden, dtype=torch.float64) for _ in range(2))
    look = torch.nn.Linear(hidden, 1, bias=False, dtype=torch.float64)
    out = torch.nn.Linear(X.shape[2], len(coef), dtype=torch.float64)
    with torch.no_grad():
        for layer in (V, U, look):
            for parameter in layer.parameters():
                parameter.zero_()
        V.weight.copy_(torch.tensor(drawn[:, :hidden].T))
        U.weight.copy_(torch.tensor(drawn[:, hidden:].T))
        out.weight.copy_(torch.tensor(coef))
        out.bias.copy_(torch.tensor(intercept))
    every = [parameter for layer in (V, U, look, out) for parameter in layer.parameters()]
    optimiser = torch.optim.Adam(every, lr=probe.rate)

    def network(E):
        said = look(torch.tanh(V(E)) * torch.sigmoid(U(E)))
        weights = torch.softmax(said, dim=1)
        return out((weights * E).sum(1) * gain), weights[..., 0]

    def loss(found, wanted):
        if task_type == "regression":
            return torch.nn.functional.mse_loss(found, wanted, reduction="sum") / 2
        if len(coef) < 3 or task_type == "multi-label":
            shares = y.double().mean(0)
            weight = torch.where(wanted == 1, 0.5 / shares, 0.5 / (1 - shares)) if class_weight == "balanced" else None
            each = torch.nn.functional.binary_cross_entropy_with_logits
            return each(found, wanted.double(), weight=weight, reduction="sum")
        counts = torch.bincount(y[:, 0]).double()
        weight = len(y) / (len(counts) * counts) if class_weight == "balanced" else None
        return torch.nn.functional.cross_entropy(found, wanted[:, 0], weight=weight, reduction="sum")

    order = np.random.default_rng(probe.seed)
    for _ in range(probe.rounds):
        shuffled = order.permutation(len(X))
        for first in range(0, len(X), probe.batch):
            some = torch.tensor(shuffled[first : first + probe.batch])
            lost = loss(network(E[some])[0], targets[some]) / len(some)
            lost = lost + out.weight.square().sum() / (2 * C * len(X))
            optimiser.zero_grad()
            lost.backward()
            optimiser.step()
    with torch.no_grad():
        found, weights = network(E)
        if task_type == "regression":
            return (found * spread + centre).numpy(), weights.numpy()
        if task_type == "binary-class":
            positive = torch.sigmoid(found)
            return torch.cat([1 - positive, positive], 1).numpy(), weights.numpy()
        link = torch.sigmoid if task_type == "multi-label" else lambda x: torch.softmax(x, 1)
        return link(found).numpy(), weights.numpy()


WEIGHED = [(task, how) for task in TASK_TYPES for how in ("none", "balanced")]
WEIGHED.remove(("regression", "balanced"))


@pytest.mark.parametrize(("task_type", "class_weight"), WEIGHED)
def test_it_equals_a_plain_torch_loop(task_type, class_weight):
    X, y, count = bags(task_type, n=42)
    if task_type != "regression":
        y[:20] = y[0]  # rare classes, so that weights matter
    asked = {"rounds": 4, "hidden": 3, "rate": 0.05, "batch": 16, "seed": 3, "class_weight": class_weight}
    probe = AttentionProbe(C=0.5, task_type=task_type, n_classes=count, **asked).fit(X, y)
    scores, weights = plain_loop(X, y, task_type, probe, class_weight)
    np.testing.assert_allclose(probe.scores(X), scores, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(probe.attention(X), weights, atol=1e-5)
    assert np.ptp(weights, axis=1).max() > 0.05, "the loop attended to something"


@pytest.mark.parametrize("task_type", TASK_TYPES)
def test_before_training_it_is_the_probe_of_the_mean(task_type):
    X, y, count = bags(task_type)
    probe = AttentionProbe(C=0.3, rounds=0, task_type=task_type, n_classes=count).fit(X, y)
    asked = {"task_type": task_type, "n_classes": count}
    plain = RidgeProbe(1 / 0.3, **asked) if task_type == "regression" else LinearProbe(0.3, tol=1e-12, **asked)
    np.testing.assert_allclose(probe.scores(X), plain.fit(X.mean(axis=1), y).scores(X.mean(axis=1)), atol=1e-6)
    np.testing.assert_allclose(probe.attention(X), 0.2, atol=1e-7)


def test_a_bag_of_one_vector_is_logistic_regression_whatever_is_trained():
    # Its only vector has weight 1 whatever the gate says, so that training begins at the best there is, and stays.
    X, y, count = bags("multi-class", n=60, vectors=1)
    y[::3] = np.random.default_rng(2).integers(0, 3, (20, 1))  # not separable
    probe = AttentionProbe(C=10.0, rounds=200, rate=1e-3, batch=60, n_classes=count).fit(X, y)
    Z = (X[:, 0] - X[:, 0].mean(0)) / X[:, 0].std(0)
    plain = LogisticRegression(C=10.0, tol=1e-12, max_iter=100_000).fit(Z, y[:, 0])
    np.testing.assert_allclose(probe.scores(X), plain.predict_proba(Z), atol=1e-3)
    np.testing.assert_array_equal(probe.attention(X), np.ones((60, 1), np.float32))
    np.testing.assert_array_equal(probe.scores(X[:, 0]), probe.scores(X))


def test_equal_vectors_count_alike_and_repeating_a_bag_changes_nothing():
    X, y, count = bags("multi-class")
    probe = AttentionProbe(rounds=4, rate=0.05, n_classes=count).fit(X, y)
    np.testing.assert_allclose(probe.scores(np.repeat(X, 3, axis=1)), probe.scores(X), atol=1e-9)
    np.testing.assert_allclose(probe.attention(np.repeat(X[:, :1], 4, axis=1)), 0.25, atol=1e-7)


@pytest.mark.parametrize("task_type", TASK_TYPES)
def test_the_order_within_a_bag_changes_nothing(task_type):
    X, y, count = bags(task_type)
    order = np.random.default_rng(1).permutation(X.shape[1])
    asked = {"rounds": 4, "rate": 0.05, "task_type": task_type, "n_classes": count}
    probe, other = AttentionProbe(**asked).fit(X, y), AttentionProbe(**asked).fit(X[:, order], y)
    np.testing.assert_allclose(probe.scores(X[:, order]), probe.scores(X), atol=1e-9)
    np.testing.assert_allclose(probe.attention(X[:, order]), probe.attention(X)[:, order], atol=1e-7)
    np.testing.assert_allclose(other.scores(X), probe.scores(X), atol=1e-6)


def test_it_finds_the_vector_that_tells_where_the_mean_drowns_it():
    X, y, _ = bags("binary-class", n=400, vectors=20, dim=6)
    new, labels, _ = bags("binary-class", n=200, vectors=20, dim=6, seed=1)
    probe = AttentionProbe(C=1.0, rounds=60, rate=0.01, task_type="binary-class", n_classes=2).fit(X, y)
    means = LogisticRegression(C=1.0).fit(X.mean(1), y[:, 0])
    attended = (probe.predict(new) == labels[:, 0]).mean()
    assert attended > means.score(new.mean(1), labels[:, 0]) + 0.1
    size = np.abs(new[:, :, :3]).max(axis=2)
    loud = size.max(axis=1) > 4  # where the telling vector stands out from noise
    assert (probe.attention(new).argmax(1) == size.argmax(1))[loud].mean() > 0.8


def test_val_stops_training_and_what_it_chose_is_fitted_again_without_it():
    X, y, count = bags("multi-class", n=60)
    val = bags("multi-class", n=40, seed=1)[:2]
    head = AttentionHead().candidates((X, y), val, "multi-class", count, seed=0, progress=SilentProgress())
    for candidate in head:
        rounds = candidate.settings["rounds"]
        assert rounds == candidate.model.rounds == candidate.model.rounds_
        np.testing.assert_array_equal(clone(candidate.model).fit(X, y).scores(val[0]), candidate.model.scores(val[0]))


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others():
    X, y, count = bags("multi-class")
    asked = {"rounds": 3, "rate": 0.05, "n_classes": count}
    first, again, other = (AttentionProbe(**asked, seed=seed).fit(X, y) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.scores(X), again.scores(X))
    assert not np.array_equal(first.scores(X), other.scores(X))


def test_gradients_are_those_of_differences():
    X, y, count = bags("multi-class", n=6)
    rng = np.random.default_rng(0)
    weights = {name: value + 0.3 * rng.normal(size=value.shape) for name, value in
               even(np.zeros((4, count)), np.zeros(count), 3, seed=0).items()}  # fmt: skip
    targets, gain = np.eye(count)[y[:, 0]], rng.uniform(1, 2, 4)
    found = gradients(X, targets, weights, gain=gain, link="softmax", penalty=0.7)
    for name, slope in found.items():
        for place in np.ndindex(slope.shape):
            sides = []
            for step in (1e-6, -1e-6):
                moved = {key: value.copy() for key, value in weights.items()}
                moved[name][place] += step
                lost = loss(outputs(X, moved, gain)[0], targets, "softmax")
                sides.append(lost + 0.35 * np.square(moved["out"]).sum())
            assert (sides[0] - sides[1]) / 2e-6 == pytest.approx(slope[place], abs=1e-7)


def test_statistics_are_those_of_all_vectors_and_of_the_means():
    X, _, _ = bags("multi-class")
    X[:, :, 3] = 7.0
    known = Measured.of(X)
    kept = X[:, :, :3]
    np.testing.assert_allclose(known.vectors.mean, X.mean((0, 1)))
    np.testing.assert_allclose(known.vectors.scale[:3], kept.std((0, 1)))
    np.testing.assert_allclose(known.gain[:3], kept.std((0, 1)) / kept.mean(1).std(0))
    assert known.vectors.scale[3] == known.gain[3] == 1.0
    np.testing.assert_allclose(known.means[:, :3], (kept.mean(1) - kept.mean((0, 1))) / kept.mean(1).std(0))
    np.testing.assert_allclose(known.means[:, 3], 0, atol=1e-12)


def test_where_attention_finds_nothing_the_probe_of_the_mean_stays():
    rng = np.random.default_rng(0)
    y = np.arange(120)[:, None] % 2
    X = rng.normal(size=(120, 6, 30)) + 0.4 * y[:, None]  # every vector tells alike
    parts = (X[:60], y[:60]), (X[60:], y[60:])
    for one in AttentionHead().candidates(*parts, "binary-class", 2, seed=0, progress=SilentProgress()):
        plain = LinearProbe(one.settings["C"], task_type="binary-class", tol=1e-12).fit(X[:60].mean(1), y[:60])
        gap = np.abs(one.model.scores(X[60:]) - plain.scores(X[60:].mean(1))).max()
        assert gap < 1e-6 if one.settings["rounds"] == 0 else True
        lost = [-np.log(np.take_along_axis(s, y[60:], 1)).mean() for s in (one.model.scores(X[60:]),
                plain.scores(X[60:].mean(1)))]  # fmt: skip
        assert lost[0] <= lost[1] + 1e-6, "val never ends worse than where training began"


def test_bags_that_are_not_finite_are_one_line():
    X, y, count = bags("multi-class")
    X[7, 2, 1] = np.nan
    with pytest.raises(DataError, match=r"train features of 1 sample are NaN or infinite \(first at row 7\)"):
        next(AttentionHead().candidates((X, y), (X, y), "multi-class", count, seed=0, progress=SilentProgress()))
