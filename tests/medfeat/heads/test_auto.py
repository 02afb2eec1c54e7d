"""All heads that suit a task as one: which stand, by a rule on the size of train, and means over their scores."""

import json

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medfeat.errors import DataError
from medfeat.heads import HEADS, auto, head_identity, svm
from medfeat.heads.auto import SMALL, AutoHead, QuickHead
from medfeat.heads.average import AverageProbe
from medfeat.heads.boosting import BoostingProbe
from medfeat.heads.knn import NeighboursProbe
from medfeat.heads.linear import LinearProbe
from medfeat.heads.mlp import PerceptronHead
from medfeat.heads.saving import load_model, save_model
from medfeat.heads.svm import SupportProbe
from medfeat.types import SilentProgress

ALL = ["prototypes", "linear", "knn", "svm", "xgboost", "mlp"]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5)).astype(np.float32)
Y = (X[:, :1] + RNG.normal(size=(60, 1)) * 0.5 > 0).astype(np.int64)


@pytest.mark.parametrize(
    ("asked", "stands", "says"),
    [
        (("binary-class", 546, 512, 2), ALL, []),
        (
            ("ordinal-regression", 1080, 1280, 5),
            ["prototypes", "linear", "ordinal", "knn", "svm", "xgboost", "mlp"],
            [],
        ),
        (("multi-label", 500, 64, 14), ALL, []),
        (("regression", 500, 64, 1), ["ridge", "knn", "xgboost", "mlp"], []),
        # 6,000 samples are a kernel that fits; 12,000 are not
        (("binary-class", 12_000, 100, 2), [one for one in ALL if one != "svm"], ["12,000 train samples are too many"]),
        # 3,000^2 x 14 labels are 1.3e8 numbers of kernels
        (("multi-label", 3_000, 64, 14), [one for one in ALL if one != "svm"], ["for 14 machines"]),
        # what twenty seconds of a core buy of trees
        (
            ("multi-class", 12_000, 2_048, 8),
            [one for one in ALL if one != "svm"],
            ["svm", "some of xgboost: 3 of 3 depths, at most 2"],
        ),
        (
            ("multi-class", 100_000, 2_048, 9),
            ["prototypes", "linear"],
            ["knn", "svm", "xgboost: 20 s of a core are fewer than 20 rounds", "mlp"],
        ),
    ],
)
def test_which_heads_stand_follows_from_the_size_of_train_and_the_rest_is_named(asked, stands, says):
    head = AutoHead()
    assert [one.name for one in head.standing(*asked) if one.head is not None] == stands
    lines = head.left_out(*asked)
    left = [one for one in lines if any(part in one for part in says)]
    assert left == lines and len(lines) == len({part for part in says if any(part in one for one in lines)})
    assert all(line.startswith("auto left out ") and "\n" not in line for line in lines)


def test_heads_without_weights_of_classes_do_not_stand_where_some_are_asked_for():
    head = AutoHead("balanced")
    assert [one.name for one in head.standing("binary-class", 100, 5, 2) if one.head is not None] == [
        "linear",
        "knn",
        "svm",
    ]
    assert "auto left out mlp: no class weights" in head.left_out("binary-class", 100, 5, 2)


def test_its_candidates_are_those_of_its_heads_each_named_and_in_order():
    asked = {"task_type": "binary-class", "n_classes": 2, "seed": 0, "progress": SilentProgress()}
    found = list(AutoHead().candidates((X, Y), (X[:30], Y[:30]), **asked))
    small = PerceptronHead(SMALL)
    alone = [
        (name, dict(one.settings))
        for name in ALL
        for one in (small if name == "mlp" else HEADS[name]()).candidates((X, Y), (X[:30], Y[:30]), **asked)
    ]
    assert [settings["hidden"] for name, settings in alone if name == "mlp"] == [64, 64]
    without_budget = [
        (one.head, {k: v for k, v in one.settings.items() if k not in ("head", "budget", "most_rounds")})
        for one in found
    ]
    assert without_budget == alone
    assert [one.settings["head"] for one in found] == [one.head for one in found]
    assert len({json.dumps(one.settings) for one in found}) == len(found)


def test_quick_is_auto_without_what_trains_in_rounds():
    asked = {"task_type": "binary-class", "n_classes": 2, "seed": 0, "progress": SilentProgress()}
    whole, quick = (list(head.candidates((X, Y), (X[:30], Y[:30]), **asked)) for head in (AutoHead(), QuickHead()))
    left = [one for one in whole if one.head not in ("xgboost", "mlp")]
    assert [one.settings for one in quick] == [one.settings for one in left] and len(left) < len(whole)
    for ours, theirs in zip(quick, left, strict=True):
        np.testing.assert_array_equal(ours.model.scores(X), theirs.model.scores(X))
    assert (
        QuickHead()
        .left_out("multi-class", 100_000, 2_048, 9)[0]
        .startswith("quick left out knn: 100,000 train samples")
    )


@pytest.fixture(scope="module")
def members():
    facts = {"task_type": "binary-class", "n_classes": 2}
    linear = LinearProbe(0.1, **facts).fit(X, Y)
    near = NeighboursProbe(7, temperature=np.inf, **facts).fit(X, Y)
    return [linear, near, BoostingProbe(rounds=5, **facts).fit(X, Y), SupportProbe(**facts).fit(X, Y)]


def test_the_mean_of_linear_and_neighbours_is_that_of_scikit_learn_s(members):
    new = RNG.normal(size=(20, 5)).astype(np.float32)
    theirs = [
        make_pipeline(StandardScaler(), LogisticRegression(C=0.1, tol=1e-10, max_iter=1000)),
        KNeighborsClassifier(7, metric="cosine"),
    ]
    expected = sum(one.fit(X, Y[:, 0]).predict_proba(new) for one in theirs) / 2
    np.testing.assert_allclose(AverageProbe(members[:2]).scores(new), expected, atol=2e-4)


def test_a_mean_is_saved_and_loaded_whatever_its_members_are(tmp_path, members):
    model = AverageProbe(members)
    save_model(model, tmp_path / "head")
    assert sorted(path.name for path in (tmp_path / "head").iterdir()) == [
        "head.0.skops", "head.1.skops", "head.2.ubj", "head.3.skops", "head.json",
    ]  # fmt: skip
    np.testing.assert_array_equal(load_model(tmp_path / "head").scores(X), model.scores(X))


def test_a_mean_is_fitted_again_member_by_member(members):
    again = clone(AverageProbe(members)).fit(X[:40], Y[:40])
    expected = np.mean([clone(one).fit(X[:40], Y[:40]).scores(X) for one in members], axis=0)
    np.testing.assert_allclose(again.scores(X), expected, atol=1e-12)
    assert again.predict(X).tolist() == expected.argmax(axis=1).tolist()


@pytest.mark.parametrize(
    "change",
    [
        {"members": []},
        {"members": [{"kind": "medfeat.heads.linear.LinearProbe"}] * 17},
        {"members": "all"},
        {"members": [None, None, None]},
        {"members": [{"kind": "medfeat.heads.boosting.BoostingProbe", "parameters": {}, "features": []}]},
        {"kind": "medfeat.heads.average.Other"},
    ],
)
def test_a_saved_mean_that_does_not_say_what_it_is_made_of_is_refused_in_one_line(tmp_path, members, change):
    save_model(AverageProbe(members[:2]), tmp_path)
    facts = json.loads((tmp_path / "head.json").read_text())
    (tmp_path / "head.json").write_text(json.dumps(facts | change))
    with pytest.raises((DataError, FileNotFoundError)) as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("module", "name", "value"), [(svm, "WIDTHS", (0.5,)), (auto, "TREES", 5.0)])
def test_another_grid_of_a_member_or_another_bound_is_another_head(monkeypatch, module, name, value):
    before, linear = head_identity("auto"), head_identity("linear")
    monkeypatch.setattr(module, name, value)
    assert head_identity("auto") != before
    assert head_identity("linear") == linear
