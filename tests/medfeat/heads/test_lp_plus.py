"""Class means moved down the loss, with and without texts: against torch's own slopes and minima."""

import numpy as np
import pytest
import torch

from medfeat.errors import UnsuitedHeadError
from medfeat.heads.lp_plus import STEPS, LPPlusHead, LPPlusProbe, fit_steps
from medfeat.heads.texts import ClassTexts, TextSource
from medfeat.types import SilentProgress

KINDS = ("multi-class", "multi-label")
functional = torch.nn.functional


def question(kind, *, n=40, d=6, c=3, offset=2.0, lift=1.0):
    """Features, labels, and texts for each class."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (n, c)) if kind == "multi-label" else rng.integers(0, c, (n, 1))
    shown = y if kind == "multi-label" else np.eye(c)[y[:, 0]]
    X = offset + rng.normal(size=(n, d)) + lift * shown @ rng.normal(size=(c, d))
    towards, away = (unit(rng.normal(size=(c, d))) for _ in range(2))
    return X, y, {"towards": towards, "away": away if kind == "multi-label" else None, "scale": 7.0}


def unit(X):
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def lost(kind, logits, y):
    """Torch's mean loss a sample."""
    if kind == "multi-label":
        return functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(y).double(), reduction="sum") / len(
            y
        )
    return functional.cross_entropy(logits, torch.from_numpy(y[:, 0]))


def plainly(kind, X, y, texts, steps, standardised):
    """The same way down by torch's own slopes, one block after the other; return weights and the loss at each step."""
    several = kind == "multi-label"
    seen = (X - X.mean(0)) / X.std(0) if standardised else X
    f, z = torch.from_numpy(unit(seen)), torch.zeros(len(X), 3, dtype=torch.float64)
    if texts:
        z = torch.from_numpy(unit(X) @ (texts["towards"] - (texts["away"] if several else 0)).T)
    of = [y[:, k] == 1 if several else y[:, 0] == k for k in range(3)]
    w = torch.stack([f[mine].mean(0) - (f[~mine].mean(0) if several else 0) for mine in of])
    blocks = [w, torch.zeros(3, dtype=torch.float64), torch.full((3,), 7.0 if texts else 0.0, dtype=torch.float64)]
    steepest = 0.25 if several else 0.5
    largest = torch.linalg.svdvals(f)[0] ** 2 / len(X)
    sizes = [1 / (steepest * largest), 1 / steepest]
    sizes.append(1 / (steepest * (z**2).sum(0).max() / len(X)) if texts else 0.0)
    losses = []
    for _ in range(steps):
        for i, size in enumerate(sizes):
            blocks = [block.detach().requires_grad_(i == j) for j, block in enumerate(blocks)]
            loss = lost(kind, f @ blocks[0].T + blocks[1] + z * blocks[2], y)
            loss.backward()
            losses.append(float(loss.detach()))
            if size:
                blocks[i] = blocks[i].detach() - size * blocks[i].grad
    return [block.detach().numpy() for block in blocks], losses


@pytest.mark.parametrize("standardised", [False, True])
@pytest.mark.parametrize("with_texts", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_way_down_is_that_of_torch_and_never_leads_up(kind, with_texts, standardised):
    X, y, texts = question(kind)
    texts = texts if with_texts else {}
    ours = LPPlusProbe(25, standardised=standardised, **texts, task_type=kind, n_classes=3).fit(X, y)
    (w, bias, a), losses = plainly(kind, X, y, texts, 25, standardised)
    np.testing.assert_allclose(ours.coef_, w, atol=1e-9)
    np.testing.assert_allclose(ours.intercept_, bias, atol=1e-9)
    np.testing.assert_allclose(ours.multipliers_, a, atol=1e-9)
    assert (np.diff(losses) <= 1e-12).all() and losses[-1] < losses[0]


@pytest.mark.parametrize("kind", KINDS)
def test_with_many_steps_it_is_the_minimum_that_torch_finds(kind):
    X, y, texts = question(kind, n=200, offset=0.0, lift=0.3)
    ours = LPPlusProbe(5_000, **texts, task_type=kind, n_classes=3).fit(X, y)
    f = torch.from_numpy(unit(X))
    z = torch.from_numpy(unit(X) @ (texts["towards"] - (texts["away"] if kind == "multi-label" else 0)).T)
    blocks = [torch.zeros(shape, dtype=torch.float64, requires_grad=True) for shape in ((3, 6), (3,), (3,))]
    optimiser = torch.optim.LBFGS(
        blocks, max_iter=2000, tolerance_grad=1e-10, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def logits():
        return f @ blocks[0].T + blocks[1] + z * blocks[2]

    def step():
        optimiser.zero_grad()
        loss = lost(kind, logits(), y)
        loss.backward()
        return loss

    optimiser.step(step)
    found = logits().detach()
    theirs = (found.sigmoid() if kind == "multi-label" else found.softmax(1)).numpy()
    np.testing.assert_allclose(ours.scores(X), theirs, atol=1e-6)


def test_without_a_step_and_without_texts_it_is_the_class_means():
    X, y, _ = question("multi-class")
    found = LPPlusProbe(0, n_classes=3).fit(X, y).scores(X)
    means = np.stack([unit(X)[y[:, 0] == k].mean(0) for k in range(3)])
    odds = np.exp(unit(X) @ means.T)
    np.testing.assert_allclose(found, odds / odds.sum(1, keepdims=True), atol=1e-12)


def test_a_class_absent_from_train_keeps_what_its_texts_say_and_without_texts_gets_nothing():
    X, y, texts = question("multi-class")
    some = y[:, 0] < 2
    alone = LPPlusProbe(30, n_classes=3).fit(X[some], y[some]).scores(X)
    assert (alone[:, 2] == 0).all()
    np.testing.assert_allclose(alone.sum(1), 1)
    told = LPPlusProbe(0, **texts, n_classes=3).fit(X[some], y[some])
    assert (told.scores(X)[:, 2] > 0).all() and (told.multipliers_ == 7.0).all()


def test_the_head_offers_each_number_of_steps_both_ways_and_each_is_what_it_is_alone():
    X, y, texts = question("multi-class")
    head = LPPlusHead()
    head.texts = TextSource("digest", lambda: ClassTexts(**texts))
    offered = list(head.candidates((X, y), (X, y), "multi-class", 3, seed=0, progress=SilentProgress()))
    assert [one.settings["steps"] for one in offered] == sorted([*STEPS, *STEPS])
    for one in offered:
        alone = LPPlusProbe(one.settings["steps"], standardised=one.settings["standardised"], **texts, n_classes=3)
        np.testing.assert_allclose(alone.fit(X, y).scores(X), one.model.scores(X), atol=1e-12)


def test_numbers_are_refused():
    with pytest.raises(UnsuitedHeadError, match=r"the lp\+\+ head learns"):
        next(fit_steps(np.ones((4, 2)), np.ones((4, 1)), (0,), task_type="regression", n_classes=1))
