"""Attention over all images of a patient and over the layers of an image: as plain torch makes it, bag by bag."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from medfeat.heads.attention import AttentionHead, AttentionProbe
from medfeat.heads.saving import load_model, save_model
from medfeat.tasks.bags import PatientBags
from medfeat.types import SilentProgress

WIDTHS = (3, 5, 2)
ASKED = {"rounds": 5, "hidden": 3, "rate": 0.05, "batch": 8, "seed": 2, "task_type": "binary-class", "C": 0.5}


class Images:
    """Vectors by name."""

    def __init__(self, vectors):
        self.vectors, self.dim = vectors, next(iter(vectors.values())).shape[0]

    def take(self, ids):
        return np.stack([self.vectors[str(name)] for name in ids])


@pytest.fixture
def patients():
    """Forty patients of one to seven images, of which one tells; labels; their vectors as a list."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (40, 1))
    of = [rng.normal(1.0, 1.0, (count, 4)) for count in rng.integers(1, 8, 40)]
    for label, vectors in zip(y[:, 0], of, strict=True):
        vectors[rng.integers(len(vectors)), :2] += 3 * label - 1.5
    names = [np.array([f"{i}/{j}" for j in range(len(vectors))]) for i, vectors in enumerate(of)]
    store = Images(
        {str(n): v for some, vectors in zip(names, of, strict=True) for n, v in zip(some, vectors, strict=True)}
    )
    return PatientBags(store, names), y, [vectors.astype(np.float32) for vectors in of]


def layers():
    """Features of three layers side by side, far from zero and of other scales, and labels."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, (40, 1))
    X = rng.normal(size=(40, 10)) + 1.5 * y * (np.arange(10) % 3 == 0)
    return X * np.linspace(1, 20, 10) + 7, y


def begun(Z, y):
    """Scikit-learn's own linear probe of (n, d) standardised means."""
    probe = LogisticRegression(C=ASKED["C"], tol=1e-12, max_iter=100_000).fit(Z, y[:, 0])
    return torch.tensor(probe.coef_[0]), torch.tensor(probe.intercept_)


def trained(bags, y, gain, start):
    """Train on a list of (P, d) tensors, one at a time, with torch's own slopes; return scores and weights of each."""
    d = bags[0].shape[1]
    drawn = torch.tensor(np.random.default_rng(ASKED["seed"]).normal(size=(d, 6)) / np.sqrt(d))
    weights = [drawn, torch.zeros(6), torch.zeros(3), start[0].clone(), start[1].clone()]
    weights = [part.double().requires_grad_() for part in weights]
    optimiser = torch.optim.Adam(weights, lr=ASKED["rate"])
    gate, gate_bias, look, out, bias = weights

    def one(bag):
        halves = bag @ gate + gate_bias
        attention = torch.softmax((torch.tanh(halves[:, :3]) * torch.sigmoid(halves[:, 3:])) @ look, 0)
        return (attention @ bag * gain) @ out + bias, attention

    order = np.random.default_rng(ASKED["seed"])
    for _ in range(ASKED["rounds"]):
        shuffled = order.permutation(len(bags))
        for first in range(0, len(bags), ASKED["batch"]):
            some = shuffled[first : first + ASKED["batch"]]
            found = torch.cat([one(bags[i])[0] for i in some])
            wanted = torch.tensor(y[some, 0]).double()
            lost = torch.nn.functional.binary_cross_entropy_with_logits(found, wanted)
            lost = lost + out.square().sum() / (2 * ASKED["C"] * len(bags))
            optimiser.zero_grad()
            lost.backward()
            optimiser.step()
    with torch.no_grad():
        return [(float(torch.sigmoid(one(bag)[0])), one(bag)[1].numpy()) for bag in bags]


def compared(probe, X, found):
    """Hold a probe to what torch found."""
    scores, attention = probe.scores(X), probe.attention(X)
    np.testing.assert_allclose(scores[:, 1], [score for score, _ in found], atol=2e-4)
    for ours, (_, theirs) in zip(attention, found, strict=True):
        np.testing.assert_allclose(ours[: len(theirs)], theirs, atol=2e-4)
        assert (ours[len(theirs) :] == 0).all()
    assert max(np.ptp(weights) for _, weights in found) > 0.05, "the loop attended to something"


def test_patients_of_unequal_numbers_of_images_are_what_torch_makes_of_each_alone(patients):
    X, y, of = patients
    means = np.stack([vectors.astype(np.float64).mean(0) for vectors in of])
    mean = means.mean(0)
    scale = np.sqrt(np.square(np.concatenate(of).astype(np.float64) - mean).mean(0))
    gain = scale / means.std(0)
    start = begun((means - mean) / scale * gain, y)
    bags = [torch.tensor((vectors - mean) / scale) for vectors in of]
    compared(AttentionProbe(**ASKED).fit(X, y), X, trained(bags, y, torch.tensor(gain), start))


def test_layers_are_standardised_each_and_weighed_in_columns_of_their_own():
    X, y = layers()
    Z = (X - X.mean(0)) / X.std(0)
    root, ends = np.sqrt(len(WIDTHS)), np.cumsum(WIDTHS)
    start = begun(Z, y)
    bags = []
    for row in Z:
        bag = np.zeros((3, 10))
        for number, (width, end) in enumerate(zip(WIDTHS, ends, strict=True)):
            bag[number, end - width : end] = root * row[end - width : end]
        bags.append(torch.tensor(bag))
    found = trained(bags, y, torch.full((10,), root, dtype=torch.float64), start)
    compared(AttentionProbe(**ASKED, widths=WIDTHS).fit(X, y), X, found)


def test_before_training_layers_are_the_linear_probe_of_all_side_by_side():
    X, y = layers()
    Z = (X - X.mean(0)) / X.std(0)
    theirs = LogisticRegression(C=0.5, tol=1e-12, max_iter=100_000).fit(Z, y[:, 0]).predict_proba(Z)
    ours = AttentionProbe(**{**ASKED, "rounds": 0}, widths=WIDTHS).fit(X, y)
    np.testing.assert_allclose(ours.scores(X), theirs, atol=1e-6)


def test_padding_says_nothing(patients, monkeypatch):
    X, y, _ = patients
    probe = AttentionProbe(**ASKED).fit(X, y)
    whole = probe.scores(X)
    for i in range(0, 40, 7):  # alone, a patient is not padded
        np.testing.assert_allclose(probe.scores(X[i : i + 1]), whole[i : i + 1], atol=1e-6)
    monkeypatch.setattr("medfeat.tasks.bags._BLOCK_BYTES", 4 * 4 * 7)
    np.testing.assert_allclose(probe.scores(X), whole, atol=1e-6)
    np.testing.assert_allclose(AttentionProbe(**ASKED).fit(X, y).scores(X), whole, atol=1e-5)


@pytest.mark.parametrize("what", ["patients", "layers"])
def test_the_head_offers_it_saves_it_and_fits_it_again(tmp_path, what, patients):
    head, (X, y) = AttentionHead(), patients[:2] if what == "patients" else layers()
    if what == "layers":
        head.widths = WIDTHS
    offered = head.candidates((X[:30], y[:30]), (X[30:], y[30:]), "binary-class", 2, seed=0, progress=SilentProgress())
    model = list(offered)[-1].model
    save_model(model, tmp_path / "head")
    np.testing.assert_array_equal(load_model(tmp_path / "head").scores(X), model.scores(X))
    assert clone(model).fit(X, y).scores(X).shape == (40, 2)
