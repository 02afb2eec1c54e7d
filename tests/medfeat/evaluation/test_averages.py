"""Means over heads' scores stand beside the heads, chosen on val or in folds like everything else, never by test."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from medfeat.evaluation.judging.cross_validation import cross_validate
from medfeat.evaluation.judging.few_shot import CurveOptions, learning_points
from medfeat.evaluation.judging.probe_store import Options, probe_store
from medfeat.evaluation.judging.protocol import choose, run_protocol, select
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.measures.official_scores import auc
from medfeat.evaluation.runs.wording import chosen, training
from medfeat.heads import HEADS, auto
from medfeat.heads.auto import AutoHead
from medfeat.tasks import gather, official
from medfeat.types import Candidate
from medfeat_cache import FeatureStore

from .test_protocol import poisoned

Y = np.array([[0], [0], [1], [1]])


def of(head, positive, complexity=0.0, **settings):
    """A candidate of a head that gives class 1 these scores."""
    scores = np.column_stack([1 - np.asarray(positive), positive])
    return Candidate({"head": head, **settings}, SimpleNamespace(scores=lambda X: scores), complexity, head)


def chosen_among(*candidates):
    return select(iter(candidates), np.zeros((4, 1)), Y, "binary-class")


def test_a_mean_is_chosen_where_it_is_better_than_each_of_its_heads():
    # each takes one pair the wrong way round: AUC 3/4; their means take none
    first, second = of("a", [0.1, 0.6, 0.5, 0.9], k=1), of("b", [0.4, 0.2, 0.9, 0.3], k=2)
    found = chosen_among(first, second)
    assert found.chosen.settings == {"head": "a + b", "a": {"k": 1}, "b": {"k": 2}}
    assert found.chosen.first == 1
    np.testing.assert_allclose(found.val_scores[:, 1], [0.25, 0.4, 0.7, 0.6])
    np.testing.assert_allclose(found.model.scores(np.zeros((4, 1)))[:, 1], [0.25, 0.4, 0.7, 0.6])


def test_a_mean_that_is_no_better_is_refused_for_the_simpler_head():
    simple, other = of("a", [0.1, 0.2, 0.8, 0.9]), of("b", [0.2, 0.1, 0.9, 0.8], complexity=1.0)
    found = chosen_among(other, simple)
    assert found.chosen.settings == {"head": "a"}
    assert [one.settings["head"] for one in found.tried] == ["b", "a", "b + a"]


def test_the_best_of_each_head_is_averaged_every_two_and_every_three_and_no_more():
    poor, good = [0.9, 0.8, 0.2, 0.1], [0.1, 0.2, 0.8, 0.9]
    heads = [of(name, scores, setting=i) for name in "abcd" for i, scores in enumerate((poor, good))]
    tried = chosen_among(*heads).tried
    means = [one.settings for one in tried if " + " in one.settings["head"]]
    assert len(tried) == 8 + 6 + 4
    assert {one["head"] for one in means} == {
        "a + b", "a + c", "a + d", "b + c", "b + d", "c + d", "a + b + c", "a + b + d", "a + c + d", "b + c + d",
    }  # fmt: skip
    assert all(part == {"setting": 1} for one in means for name, part in one.items() if name != "head")


def test_a_head_that_stands_alone_is_averaged_with_nothing():
    alone = [Candidate({"C": C}, SimpleNamespace(scores=lambda X: np.eye(2)[Y[:, 0]]), C) for C in (1.0, 2.0)]
    assert [one.settings for one in chosen_among(*alone).tried] == [{"C": 1.0}, {"C": 2.0}]


@pytest.fixture
def store(make_store):
    with FeatureStore(make_store(signal=0.4)) as opened:
        yield opened


@pytest.mark.parametrize(("choosing", "weights"), [(choose, "none"), (cross_validate, "balanced")])
def test_poisoned_test_labels_change_no_choice_of_auto(store, choosing, weights):
    task, written = official(store), []
    scored = [
        run_protocol(gather(store, t), AutoHead(weights), write_down=written.append, choosing=choosing)
        for t in (task, poisoned(task))
    ]
    assert scored[0].choice.to_dict() == scored[1].choice.to_dict()
    np.testing.assert_array_equal(scored[0].test_scores, scored[1].test_scores)
    scores = [auc(LabelledScores.of(s.test.y, s.test_scores, "multi-class")) for s in scored]
    assert scores[0] > 0.7 > scores[1]


def test_auto_is_at_least_as_good_on_val_as_each_head(store):
    samples = gather(store, official(store))
    best = choose(samples, HEADS["auto"]()).chosen.first
    assert all(best >= choose(samples, HEADS[name]()).chosen.first for name in ("linear", "knn", "svm", "prototypes"))


def test_cross_validation_judges_a_mean_by_the_mean_over_folds_of_its_own_scores(store, monkeypatch):
    samples = gather(store, official(store))
    monkeypatch.setattr(auto, "_RULES", {name: auto._RULES[name] for name in ("linear", "knn", "xgboost")})
    found = cross_validate(samples, AutoHead())
    heads = {one.settings["head"] for one in found.tried}
    assert {"linear", "knn + xgboost", "linear + knn + xgboost"} <= heads
    assert found.chosen.first == max(one.first for one in found.tried)
    trees = next(one for one in found.tried if one.settings["head"] == "linear + xgboost").settings["xgboost"]
    assert isinstance(trees["rounds"], int)


def test_a_run_names_what_was_chosen_and_what_was_left_out(store, cache_root):
    options = Options(head="auto", resamples=20, class_weight="balanced")
    run = probe_store(store, official(store), cache_root, options)
    assert any(note == "auto left out mlp: no class weights" for note in run.notes)
    head = run.choice["settings"]["head"]
    assert run.protocol["training"] == training("auto", run.choice["settings"])
    assert all(name in chosen(run.choice["settings"]) for name in head.split(" + "))
    again = probe_store(store, official(store), cache_root, options)
    assert again.reused and again.notes == run.notes


def test_few_labels_take_auto_too(store):
    options = CurveOptions(("5",), draws=1, resamples=20)
    (point,) = learning_points(store, official(store), "auto", options)
    assert 0.4 < point.values["auc"].value < 1
