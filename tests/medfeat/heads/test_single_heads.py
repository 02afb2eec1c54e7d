"""Each head against scikit-learn, statsmodels or a sum done by hand."""

import warnings

import numpy as np
import pytest
import xgboost
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from medfeat.errors import DataError, UnsuitedHeadError
from medfeat.heads import (
    all_heads,
    boosting,
    head_identity,
    knn,
    linear,
    ordinal,
    prototypes,
    ridge,
    svm,
    takes_budget,
    text_linear,
)
from medfeat.heads.majority import Majority
from medfeat.heads.saving import load_model, save_model
from medfeat.types import SilentProgress


def ordered(n=300, d=4, n_classes=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * 3 + 1
    latent = X @ rng.normal(size=d) / 3 + rng.logistic(size=n)
    cuts = np.quantile(latent, np.linspace(0, 1, n_classes + 1)[1:-1])
    return X, np.searchsorted(cuts, latent)[:, None].astype(np.int64)


def test_without_a_penalty_proportional_odds_equal_those_of_statsmodels():
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    X, y = ordered()
    ours = ordinal.OrdinalProbe(1e6, n_classes=4, tol=1e-14).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = OrderedModel(y[:, 0], StandardScaler().fit_transform(X), distr="logit").fit(method="bfgs", disp=False)
    np.testing.assert_allclose(ours.coef_, theirs.params[:4], rtol=1e-3)
    np.testing.assert_allclose(ours.scores(X), theirs.predict(), atol=1e-4)


@pytest.mark.parametrize("d", [4, 400], ids=["more samples", "more features"])
@pytest.mark.parametrize("C", [1e-3, 1.0])
def test_with_two_classes_proportional_odds_are_logistic_regression(C, d):
    X, y = ordered(n_classes=2, d=d)
    ours = ordinal.OrdinalProbe(C, task_type="binary-class", tol=1e-14).fit(X, y)
    theirs = LogisticRegression(C=C, tol=1e-10, max_iter=5000).fit(StandardScaler().fit_transform(X), y[:, 0])
    np.testing.assert_allclose(ours.coef_, theirs.coef_[0], atol=1e-4)
    np.testing.assert_allclose(ours.thresholds_[0], -theirs.intercept_[0], atol=1e-4)


def test_the_gradient_of_proportional_odds_is_the_slope_of_their_loss():
    from scipy.optimize import approx_fprime

    X, y = ordered(n=60)
    space = ordinal.coordinates(X)
    objective = ordinal._Objective(space, y[:, 0], 0.1, np.linspace(0.5, 2, 7))
    point = np.array([0.3, -0.2, 0.1, 0.5, -1.0, 0.2, -0.4])
    numeric = approx_fprime(point, lambda p: objective(p)[0], 1e-6)
    np.testing.assert_allclose(objective(point)[1], numeric, atol=1e-5)


@pytest.mark.parametrize("shape", [(80, 10), (40, 90)], ids=["more samples", "more features"])
def test_every_alpha_of_ridge_equals_scikit_learn(shape):
    rng = np.random.default_rng(0)
    X = rng.normal(size=shape) * rng.uniform(0.1, 9, shape[1]) + 5
    y = X[:, :2] @ rng.normal(size=(2, 3)) + rng.normal(size=(len(X), 3)) + [1, 100, -7]
    scaled = StandardScaler().fit_transform(X)
    for probe in ridge.fit_path(X, y, ridge.ALPHAS):
        theirs = Ridge(alpha=probe.alpha).fit(scaled, y)
        np.testing.assert_allclose(probe.coef_, theirs.coef_, atol=1e-8)
        np.testing.assert_allclose(probe.scores(X), theirs.predict(scaled), atol=1e-7)


def test_penalties_are_tried_in_even_steps_over_these_ranges():
    half = np.sqrt(10)  # half a power of ten
    np.testing.assert_allclose(linear.GRID, [1e-5 * half**i for i in range(15)])
    np.testing.assert_allclose(ridge.ALPHAS, [1e6 / half**i for i in range(15)])
    np.testing.assert_allclose(text_linear.GRID, [1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1, 10])


def test_counting_heads_is_scikit_learns_cosine_knn():
    X, y = ordered()
    ours = knn.NeighboursProbe(11, temperature=float("inf"), n_classes=4).fit(X[:200], y[:200])
    theirs = KNeighborsClassifier(11, metric="cosine", algorithm="brute").fit(X[:200], y[:200, 0])
    np.testing.assert_allclose(ours.scores(X[200:]), theirs.predict_proba(X[200:]), atol=1e-6)


def test_a_warm_vote_is_a_softmax_of_cosine_similarity():
    X, y = ordered(n=50)
    probe = knn.NeighboursProbe(50, temperature=0.3, n_classes=4).fit(X, y)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    weights = np.exp(unit[:5] @ unit.T / 0.3)
    expected = weights @ np.eye(4)[y[:, 0]] / weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probe.scores(X[:5]), expected, atol=1e-5)


def test_neighbours_found_in_small_blocks_are_the_same(monkeypatch):
    X, y = ordered()
    whole = knn.NeighboursProbe(7, n_classes=4).fit(X, y).scores(X)
    monkeypatch.setattr(knn, "BLOCK_NUMBERS", 3 * len(X))
    np.testing.assert_allclose(knn.NeighboursProbe(7, n_classes=4).fit(X, y).scores(X), whole, atol=1e-5)


def test_an_image_whose_features_are_zero_has_neighbours_all_the_same():
    X, y = ordered()
    assert np.bincount(y[:, 0]).tolist() == [75] * 4
    probe = knn.NeighboursProbe(300, n_classes=4).fit(X, y)
    np.testing.assert_allclose(probe.scores(np.zeros((1, 4))), [[0.25] * 4], atol=1e-6)


def test_more_neighbours_than_samples_are_refused_and_the_head_leaves_them_out():
    X, y = ordered(n=30)
    with pytest.raises(DataError, match=r"k must be between 1 and the number of train samples \(30\), got 31"):
        knn.NeighboursProbe(31, n_classes=4).fit(X, y)


def test_boosting_keeps_the_rounds_up_to_the_lowest_val_loss():
    X, y = ordered(n=400)
    probe = boosting.BoostingProbe(depth=3, rate=0.3, n_classes=4).fit(X[:200], y[:200], val=(X[200:], y[200:]))
    assert probe.rounds == boosting.MAX_ROUNDS
    assert probe.rounds_ < boosting.MAX_ROUNDS
    assert probe.booster_.num_boosted_rounds() == probe.rounds_


def test_boosting_looks_at_the_features_most_correlated_with_a_class(monkeypatch):
    monkeypatch.setattr(boosting, "MOST_FEATURES", 2)
    X, y = ordered(d=6)
    X[:, 1], X[:, 4] = y[:, 0] == 2, -100.0 * (y[:, 0] == 3)
    probe = boosting.BoostingProbe(depth=2, rounds=5, n_classes=4).fit(X, y)
    assert probe.features_.tolist() == [1, 4]
    assert (probe.predict(X[y[:, 0] >= 2]) == y[y[:, 0] >= 2, 0]).all()


def test_the_majority_scores_are_the_frequencies_of_train():
    X, _ = ordered(n=8)
    scores = Majority(n_classes=3).fit(X, np.array([[0, 0, 0, 0, 1, 1, 2, 2]]).T).scores(X[:2])
    np.testing.assert_array_equal(scores, [[0.5, 0.25, 0.25]] * 2)


@pytest.mark.parametrize("width", [0.3, 1.0])
@pytest.mark.parametrize("C", [0.1, 10.0])
def test_margins_are_those_of_scikit_learn(C, width):
    from sklearn.svm import SVC

    X, y = ordered(n=150, n_classes=3, d=8)
    ours = svm.SupportProbe(C, width=width, n_classes=3).fit(X, y)
    Z, other = (StandardScaler().fit(X).transform(part) for part in (X, X[:40] + 0.1))
    for k in range(3):
        theirs = SVC(C=C, gamma=width / 8).fit(Z, y[:, 0] == k)
        np.testing.assert_allclose(ours.margins(X[:40] + 0.1)[:, k], theirs.decision_function(other), atol=5e-3)


def test_margins_become_probabilities_by_the_sigmoid_of_scikit_learn():
    rng = np.random.default_rng(0)
    margin = rng.normal(size=400)
    positive = rng.random(400) < 1 / (1 + np.exp(-(2.5 * margin - 0.7)))
    slope, offset = svm.platt(margin, positive)
    m, n = positive.sum(), (~positive).sum()
    target = np.where(positive, (m + 1) / (m + 2), 1 / (n + 2))
    both = np.tile(margin, 2)[:, None], np.repeat([True, False], 400)
    theirs = LogisticRegression(C=1e9, tol=1e-9).fit(*both, np.concatenate([target, 1 - target]))
    assert slope == pytest.approx(theirs.coef_[0, 0], rel=1e-3)
    assert offset == pytest.approx(theirs.intercept_[0], abs=1e-3)
    assert svm.platt(margin, margin > 0)[0] < 50  # no slope is infinite where val is told apart without a mistake
    assert svm.platt(margin, np.zeros(400, bool)) == (1.0, 0.0)
    # One positive alone: its target is 2/3, and the mean probability that of the targets, as a free offset makes it.
    alone = margin == margin.max()
    slope, offset = svm.platt(margin, alone)
    probability = 1 / (1 + np.exp(-(slope * margin + offset)))
    assert probability.mean() == pytest.approx(np.where(alone, 2 / 3, 1 / 401).mean(), rel=1e-2)


def test_more_samples_than_a_kernel_in_memory_allows_are_refused_in_one_line():
    X = np.zeros((svm.MOST_SAMPLES + 1, 1), np.float32)
    with pytest.raises(UnsuitedHeadError, match=r"at most 6,000 samples.*train has 6,001: choose another head"):
        svm.SupportProbe().fit(X, np.arange(len(X))[:, None] % 2)


@pytest.mark.parametrize("standardised", [False, True])
def test_prototypes_decide_as_the_nearest_centroid_of_scikit_learn(standardised):
    from sklearn.neighbors import NearestCentroid
    from sklearn.preprocessing import normalize

    X, y = ordered(d=6)
    Z = normalize(StandardScaler().fit_transform(X) if standardised else X)
    theirs = NearestCentroid().fit(Z, y[:, 0])
    theirs.centroids_ = normalize(theirs.centroids_)
    ours = prototypes.PrototypesProbe(standardised=standardised, n_classes=4).fit(X, y)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(Z))


def test_the_probability_of_a_prototype_by_hand():
    X = np.array([[3.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    probe = prototypes.PrototypesProbe(0.5, n_classes=2, task_type="binary-class").fit(X, np.array([[0], [0], [1]]))
    p = probe.scores(np.array([[1.0, 1.0], [0.0, 5.0]]))
    np.testing.assert_allclose(p, [[0.5, 0.5], [1 / (1 + np.exp(2)), 1 / (1 + np.exp(-2))]])


def rare(n=300, d=6, seed=0):
    """Three classes, of which the last has a tenth of the samples."""
    rng = np.random.default_rng(seed)
    y = np.where(rng.random(n) < 0.1, 2, rng.integers(0, 2, n))[:, None]
    return rng.normal(size=(n, d)) + y, y


@pytest.mark.parametrize("n_classes", [2, 3])
def test_balanced_weights_are_those_of_scikit_learn(n_classes):
    from medfeat.heads.linear import LinearProbe

    X, y = rare()
    y = np.minimum(y, 1) * (y != 1) if n_classes == 2 else y
    ours = LinearProbe(0.1, n_classes=n_classes, class_weight="balanced", tol=1e-14).fit(X, y)
    Z = StandardScaler().fit_transform(X)
    theirs = LogisticRegression(C=0.1, class_weight="balanced", tol=1e-10, max_iter=5000).fit(Z, y[:, 0])
    np.testing.assert_allclose(ours.scores(X), theirs.predict_proba(Z), atol=1e-5)


def test_each_label_is_balanced_by_itself():
    from medfeat.heads.linear import LinearProbe

    X, y = rare()
    labels = (np.hstack([y, y]) == [2, 0]).astype(np.int64)
    ours = LinearProbe(0.1, task_type="multi-label", class_weight="balanced", tol=1e-14).fit(X, labels).scores(X)
    Z = StandardScaler().fit_transform(X)
    for k in range(2):
        theirs = LogisticRegression(C=0.1, class_weight="balanced", tol=1e-10, max_iter=5000).fit(Z, labels[:, k])
        np.testing.assert_allclose(ours[:, k], theirs.predict_proba(Z)[:, 1], atol=1e-5)


def test_balanced_machines_are_those_of_scikit_learn():
    from sklearn.svm import SVC

    X, y = rare(n=150)
    ours = svm.SupportProbe(1.0, width=0.5, n_classes=3, class_weight="balanced").fit(X, y)
    Z = StandardScaler().fit_transform(X)
    for k in range(3):
        theirs = SVC(C=1.0, gamma=0.5 / 6, class_weight="balanced").fit(Z, y[:, 0] == k)
        np.testing.assert_allclose(ours.margins(X)[:, k], theirs.decision_function(Z), atol=5e-3)


def test_balanced_votes_by_hand():
    X = np.array([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2], [1.0, 0.3]])
    y = np.array([[0], [0], [0], [1]])
    plain, even = (
        knn.NeighboursProbe(4, temperature=np.inf, class_weight=how).fit(X, y).scores(X[:1])
        for how in ("none", "balanced")
    )
    np.testing.assert_allclose(plain, [[0.75, 0.25]])
    np.testing.assert_allclose(even, [[0.5, 0.5]])  # three of three against one of one
    labels = np.hstack([y, np.ones_like(y)])
    several = knn.NeighboursProbe(4, temperature=np.inf, class_weight="balanced", task_type="multi-label")
    np.testing.assert_allclose(several.fit(X, labels).scores(X[:1]), [[0.5, 1.0]])


@pytest.mark.parametrize("name", ["linear", "svm", "knn"])
def test_auto_offers_every_setting_with_and_without_weights(name):
    from medfeat.heads import weighted_head
    from medfeat.types import SilentProgress

    data = rare(n=60)
    asked = {"seed": 0, "progress": SilentProgress()}
    counts = {}
    for how in ("none", "balanced", "auto"):
        offered = list(weighted_head(name, how).candidates(data, data, "multi-class", 3, **asked))
        counts[how] = len(offered)
        said = {one.settings.get("class_weight") for one in offered}
        assert said == {"none": {None}, "balanced": {"balanced"}, "auto": {"none", "balanced"}}[how]
    assert counts["auto"] == counts["none"] + counts["balanced"]


def test_heads_without_class_weights_are_refused_by_name():
    from medfeat.errors import UsageError
    from medfeat.heads import weighted_head

    with pytest.raises(UnsuitedHeadError, match=r"prototypes head has no class weights; .* linear, knn, svm"):
        weighted_head("prototypes", "balanced")
    with pytest.raises(UsageError, match="--class-weight must be none, balanced or auto, got 'heavy'"):
        weighted_head("linear", "heavy")
    assert weighted_head("prototypes", "none").name == "prototypes"


def test_a_budget_buys_rounds_and_depths_before_anything_is_trained():
    size = {"rows": 10_000, "features": 784, "trees": 8}
    whole = boosting.planned(None, **size)
    assert [(one["depth"], one["rounds"]) for one in whole] == [(2, 100), (4, 100), (6, 100)]
    assert boosting.planned(1e6, **size) == whole
    bought = [boosting.planned(seconds, **size) for seconds in (0.01, 1, 3, 10, 30, 60)]
    work = [sum(one["rounds"] * one["depth"] for one in settings) for settings in bought]
    assert work == sorted(work) and work[0] == 2 and work[-1] < 1200
    for settings in bought:
        assert len(settings) == 1 or settings[0]["rounds"] >= boosting.FEWEST_ROUNDS
    # By hand: 100 trees of depth 2 on 1,000 rows of 10 numbers cost 0.001 + 100 * (10 * (1.2e-9 * 2000 + 2e-6)) s.
    assert [one["rounds"] for one in boosting.planned(0.0016 + 0.0022, 1000, 10, 1)][:1] == [50]


def test_the_same_budget_gives_the_same_trees_and_is_written_down(monkeypatch):
    X, y = ordered(n=400)
    made = []
    binning = xgboost.QuantileDMatrix
    monkeypatch.setattr(xgboost, "QuantileDMatrix", lambda *a, **k: made.append(1) or binning(*a, **k))
    asked = ((X[:200], y[:200]), (X[200:], y[200:]), "multi-class", 4)
    first, again = (
        list(boosting.BoostingHead(budget=0.02).candidates(*asked, seed=0, progress=SilentProgress())) for _ in range(2)
    )
    assert [one.settings for one in first] == [one.settings for one in again]
    assert all(one.settings["budget"] == 0.02 and one.settings["most_rounds"] <= 100 for one in first)
    assert all(np.array_equal(a.model.scores(X), b.model.scores(X)) for a, b in zip(first, again, strict=True))
    assert len(made) == 4, "train and val of each call are binned once for all depths"
    plain = list(boosting.BoostingHead().candidates(*asked, seed=0, progress=SilentProgress()))
    for one in plain:
        alone = boosting.BoostingProbe(depth=one.settings["depth"], rate=one.settings["rate"], n_classes=4)
        alone.fit(X[:200], y[:200], val=(X[200:], y[200:]))
        assert np.array_equal(alone.scores(X), one.model.scores(X)), "bins that are shared change nothing"


def test_a_budget_makes_another_run_and_a_head_without_rounds_has_none():
    assert head_identity("xgboost", 5.0) != head_identity("xgboost") != head_identity("xgboost", 6.0)
    assert head_identity("linear", 5.0) == head_identity("linear")
    assert [name for name in all_heads() if takes_budget(name)] == ["xgboost"]


@pytest.mark.parametrize("standardised", [False, True])
def test_neighbours_of_a_train_split_that_is_not_kept_are_the_same(monkeypatch, standardised):
    """Rows of length one are made block by block, and every block's best are merged."""
    X = np.random.default_rng(0).normal(size=(100, 6)).astype(np.float32) + 2
    X[60:80] = X[:20]  # equal ones in different blocks
    whole = knn.CosineIndex(X, standardised=standardised, most=9)
    monkeypatch.setattr(knn, "BLOCK_NUMBERS", 60)
    monkeypatch.setattr(knn, "row_blocks", lambda n: [slice(i, i + 7) for i in range(0, n, 7)])
    monkeypatch.setattr(knn, "BLOCK", 7)
    streamed = knn.CosineIndex(X, standardised=standardised, most=9)
    assert whole.rows is not None and streamed.rows is None
    for found, expected in zip(streamed.nearest(X[:50]), whole.nearest(X[:50]), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_equal_similarities_stand_in_the_order_of_train_also_at_the_border():
    """Twelve copies of one image, of which five are asked for: always the first five, and none of the others."""
    X = np.random.default_rng(1).normal(size=(400, 3)).astype(np.float32)
    copies = np.array([3, 17, 58, 90, 111, 160, 171, 200, 222, 301, 350, 399])
    X[copies] = [1.0, 2.0, -1.0]
    similarity, rows = knn.CosineIndex(X, standardised=False, most=5).nearest(X[copies[:1]])
    assert rows[0].tolist() == copies[:5].tolist()
    assert np.ptp(similarity[0]) == 0
    assert knn.largest(np.array([[1, 3, 3, 2, 3, 0]], np.float32), 2).tolist() == [[1, 2]]
    assert knn.largest(np.array([[1, 3, 3, 2, 3, 0]], np.float32), 9).tolist() == [[1, 2, 4, 3, 0, 5]]


def test_a_streamed_index_is_saved_with_its_rows_unless_they_are_too_many(monkeypatch, tmp_path):
    X, y = ordered()
    monkeypatch.setattr(knn, "BLOCK_NUMBERS", 100)
    probe = knn.NeighboursProbe(5, n_classes=4).fit(X, y)
    assert probe.index_.rows is None
    save_model(probe, tmp_path / "head")
    assert np.array_equal(load_model(tmp_path / "head").scores(X[:9].copy()), probe.scores(X[:9]))
    monkeypatch.setattr(knn, "MOST_SAVED", 10)
    with pytest.raises(DataError, match="300 x 4 numbers are more than the 10 that are saved"):
        save_model(probe, tmp_path / "large")
    assert not (tmp_path / "large").exists()
