"""Val selects, test is read once: each step of the protocol, and the order of events."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from medfeat.errors import DataError, UsageError
from medfeat.evaluation.judging.baselines import majority_scores
from medfeat.evaluation.judging.cross_validation import FOLDS, SMALL_VAL, choose_by, cross_validate, way_for
from medfeat.evaluation.judging.probe_store import Options, probe_store
from medfeat.evaluation.judging.protocol import choose, run_protocol, select
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.measures.official_scores import acc, auc
from medfeat.evaluation.runs.run import CHOICE_FILE, RunSpec, task_digest
from medfeat.heads import HEADS
from medfeat.tasks import Samples, gather, official
from medfeat.tasks.folds import draw_folds
from medfeat.types import Candidate
from medfeat_cache import FeatureStore


def candidate(scores, complexity, **settings):
    return Candidate(settings, SimpleNamespace(scores=lambda X: np.asarray(scores, float)), complexity)


Y = np.array([[0], [0], [1], [1]])
PERFECT = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.2, 0.8]]
RANKED = [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]]  # AUC 1, but ACC 0.5
POOR = [[0.1, 0.9], [0.9, 0.1], [0.8, 0.2], [0.2, 0.8]]


def test_the_best_auc_on_val_is_chosen():
    choice = select([candidate(POOR, 0, C=1), candidate(RANKED, 1, C=2)], None, Y, "binary-class")
    assert choice.chosen.settings == {"C": 2}
    assert [tried.settings["C"] for tried in choice.tried] == [1, 2]


def test_a_tie_in_auc_goes_to_the_better_acc_even_if_more_complex():
    choice = select([candidate(RANKED, 0, C=1), candidate(PERFECT, 5, C=2)], None, Y, "binary-class")
    assert choice.chosen.settings == {"C": 2}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_full_tie_goes_to_the_simpler_model_whatever_the_order(order):
    both = [candidate(PERFECT, 3, C=3), candidate(PERFECT, 1, C=1)]
    assert select([both[i] for i in order], None, Y, "binary-class").chosen.settings == {"C": 1}


def test_a_difference_below_a_billionth_is_a_tie():
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, (50, 1)), rng.random(50)
    jitter = [candidate(np.column_stack([1 - p, p]) * f, c, c=c) for f, c in ((1.0, 2), (1 - 1e-13, 1))]
    assert select(jitter, None, y, "binary-class").chosen.settings == {"c": 1}


def test_val_without_a_class_is_judged_by_the_classes_it_has():
    y = np.array([[0], [1], [0], [1]])  # class 2 never occurs
    good = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]] * 2
    bad = good[::-1]
    choice = select([candidate(bad, 0, C=1), candidate(good, 1, C=2)], None, y, "multi-class")
    assert choice.chosen.settings == {"C": 2} and choice.chosen.first == 1.0
    json.dumps(choice.to_dict(), allow_nan=False)


def test_regression_is_chosen_by_r2():
    y = np.arange(6.0)[:, None]
    choice = select([candidate(y * 0, 0, a=0), candidate(y * 0.9, 1, a=1)], None, y, "regression")
    assert choice.chosen.settings == {"a": 1} and "R2" in choice.rule


def test_a_regression_with_the_better_mae_and_the_worse_r2_is_not_chosen():
    """By hand: off by 50 once of six is MAE 8.3 and squares 2500; off by 10 each time is MAE 10 and squares 600."""
    y = np.array([0.0, 10, 20, 30, 40, 200])[:, None]
    once, always = y.copy(), y + 10
    once[-1] -= 50
    choice = select([candidate(once, 0, a="once"), candidate(always, 1, a="always")], None, y, "regression")
    assert choice.chosen.settings == {"a": "always"}
    assert choice.chosen.second == pytest.approx(-10) and choice.tried[0].second == pytest.approx(-50 / 6)
    assert choice.chosen.first == pytest.approx(1 - 600 / ((y - y.mean()) ** 2).sum())


def test_a_head_without_candidates_is_refused():
    with pytest.raises(DataError, match="no candidate"):
        select([], None, Y, "binary-class")


@pytest.fixture
def store(make_store):
    with FeatureStore(make_store(signal=0.4)) as opened:
        yield opened


def poisoned(task):
    """The same task with every test label wrong."""
    labels = task.labels.copy()
    test = task.split == "test"
    labels[test] = (labels[test] + 1) % 4
    return replace(task, labels=labels)


@pytest.mark.parametrize("choosing", [choose, cross_validate])
def test_poisoned_test_labels_do_not_change_the_selection_but_the_score(store, choosing):
    task, written = official(store), []
    scored = [
        run_protocol(gather(store, t), HEADS["linear"](), write_down=written.append, choosing=choosing)
        for t in (task, poisoned(task))
    ]
    assert scored[0].choice.to_dict() == scored[1].choice.to_dict()
    np.testing.assert_array_equal(scored[0].test_scores, scored[1].test_scores)
    scores = [auc(LabelledScores.of(s.test.y, s.test_scores, "multi-class")) for s in scored]
    assert scores[0] > 0.7 > scores[1]


def test_the_labels_of_test_are_handed_out_only_after_the_choice_is_written_down(store, cache_root, monkeypatch):
    events = []
    plain_split = Samples.split

    def watched(self, name):
        found = sorted(cache_root.glob(f"runs/*/.*/{CHOICE_FILE}"))
        events.append((name, bool(found)))
        return plain_split(self, name)

    monkeypatch.setattr(Samples, "split", watched)
    probe_store(store, official(store), cache_root, Options(resamples=20))
    assert [name for name, _ in events] == ["train", "val", "test"]
    assert dict(events) == {"train": False, "val": False, "test": True}


def test_choosing_alone_never_opens_test(store):
    samples = gather(store, official(store))
    choose(samples, HEADS["linear"]())
    assert samples.opened == ["train", "val"]


def test_cross_validating_never_opens_test_and_says_what_it_did(store, cache_root):
    samples = gather(store, official(store))
    choice = choose_by("cv", samples, HEADS["linear"]())
    assert samples.opened == ["train", "val"]
    assert choice.rule.startswith("official AUC in 5 folds of train+val") and "fitted on train+val" in choice.rule
    assert choice.val_scores.shape == (len(samples.val.y), 4)
    run = probe_store(store, official(store), cache_root, Options(resamples=20, choose="cv"))
    assert run.protocol["choose"] == "cv" and run.choice["rule"] == choice.rule
    assert run.key != probe_store(store, official(store), cache_root, Options(resamples=20)).key


def test_cross_validated_scores_are_those_of_scikit_learn(store):
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import PredefinedSplit, cross_val_predict, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    samples = gather(store, official(store))
    choice = cross_validate(samples, HEADS["linear"]())
    train, val = samples.train, samples.val
    X, y = np.concatenate([train.X, val.X]).astype(float), np.concatenate([train.y, val.y])
    fold = draw_folds(y, np.concatenate([train.ids, val.ids]), None, folds=FOLDS, seed=0)
    for number in range(FOLDS):  # each class is spread evenly
        assert np.ptp([np.sum((fold == number) & (y[:, 0] == c)) - np.sum(y == c) / FOLDS for c in range(4)]) <= 2
    C = choice.chosen.settings["C"]
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=C, tol=1e-9, max_iter=5000))
    asked = {"cv": PredefinedSplit(fold)}
    auc_of_folds = cross_val_score(theirs, X, y[:, 0], scoring="roc_auc_ovr", **asked)
    assert choice.chosen.first == pytest.approx(auc_of_folds.mean(), abs=1e-4)
    out_of_fold = cross_val_predict(theirs, X, y[:, 0], method="predict_proba", **asked)
    np.testing.assert_allclose(choice.val_scores, out_of_fold[len(train.y) :], atol=1e-4)
    np.testing.assert_allclose(choice.left_out.scores, out_of_fold[: len(train.y)], atol=1e-4)
    assert (choice.left_out.ids == train.ids).all() and (choice.left_out.labels == train.y).all()
    np.testing.assert_allclose(choice.model.scores(X), theirs.fit(X, y[:, 0]).predict_proba(X), atol=1e-4)


def test_patients_are_not_parted_by_folds():
    patient = np.repeat(np.arange(30), 4).astype(str)
    labels = (np.arange(120) // 4 % 3)[:, None]
    fold = draw_folds(labels, np.arange(120).astype(str), patient, folds=FOLDS, seed=1)
    assert all(len(set(fold[patient == one])) == 1 for one in set(patient)) and set(fold) == set(range(FOLDS))


def test_auto_cross_validates_where_val_is_small():
    assert (way_for("auto", SMALL_VAL - 1), way_for("auto", SMALL_VAL), way_for("val", 1)) == ("cv", "val", "val")
    with pytest.raises(UsageError, match="--choose must be val, cv or auto, got 'test'"):
        Options(choose="test")


def test_what_cannot_be_folded_is_left_to_val_by_auto_alone(make_store):
    class OfAllOfTrain:
        name = "whole"

        def candidates(self, train, val, task_type, n_classes, *, seed, progress):
            if len(train[1]) == 40:  # in folds there are others
                yield candidate(np.full((len(val[1]), n_classes), 0.25), 0)

    with FeatureStore(make_store(n=(40, 20, 4))) as opened:
        samples = gather(opened, official(opened))
        with pytest.raises(DataError, match="too few to be cross-validated"):
            choose_by("cv", samples, OfAllOfTrain())
        assert "on val" in choose_by("auto", samples, OfAllOfTrain()).rule


@pytest.mark.parametrize("head", ["knn", "svm", "prototypes", "xgboost", "mlp"])
def test_every_head_can_be_cross_validated(store, head):
    scored = run_protocol(
        gather(store, official(store)), HEADS[head](), write_down=lambda _: None, choosing=cross_validate
    )
    assert auc(LabelledScores.of(scored.test.y, scored.test_scores, "multi-class")) > 0.6


def test_a_refit_trains_on_val_too_and_says_so(store):
    task = official(store)
    plain, refit = (
        run_protocol(gather(store, task), HEADS["linear"](), write_down=lambda _: None, refit=flag)
        for flag in (False, True)
    )
    assert refit.choice.rule.endswith("refitted on train+val") and "refit" not in plain.choice.rule
    assert refit.choice.chosen.settings == plain.choice.chosen.settings
    np.testing.assert_array_equal(refit.choice.val_scores, plain.choice.val_scores)
    assert not np.allclose(refit.test_scores, plain.test_scores)


@pytest.mark.parametrize("head", ["linear", "knn", "svm", "prototypes", "xgboost", "mlp"])
def test_every_head_can_be_refitted_at_what_val_chose(store, head):
    scored = run_protocol(gather(store, official(store)), HEADS[head](), write_down=lambda _: None, refit=True)
    assert auc(LabelledScores.of(scored.test.y, scored.test_scores, "multi-class")) > 0.6


def test_a_model_that_is_no_estimator_cannot_be_refitted(store):
    class Foreign:
        name = "foreign"

        def candidates(self, train, val, task_type, n_classes, *, seed, progress):
            yield candidate(np.full((len(val[1]), n_classes), 0.25), 0)

    for asked in ({"refit": True}, {"choosing": cross_validate}):
        with pytest.raises(UsageError, match="cannot be refitted"):
            run_protocol(gather(store, official(store)), Foreign(), write_down=lambda _: None, **asked)


@pytest.mark.parametrize("group", ["val", "test"])
def test_nan_features_are_refused_in_one_line(make_store, cache_root, group):
    path = make_store()
    with FeatureStore(path) as opened:
        features = opened.embeddings

        def spoiled(name):
            X = np.array(features(name))
            if name == group:
                X[3, 2] = np.nan
            return X

        opened.embeddings = spoiled
        with pytest.raises(DataError, match=f"{group} features of 1 sample are NaN or infinite .first at row 3"):
            probe_store(opened, official(opened), cache_root, Options(resamples=20))
    assert not list(cache_root.glob("runs/*/*")), "nothing half-written is left"


def test_the_majority_class_has_an_auc_of_a_half_and_the_accuracy_of_its_share():
    train, test = np.array([[0], [0], [1], [2]]), np.array([[0], [1], [2], [0], [0]])
    scores = majority_scores(train, 5, "multi-class", 3)
    assert auc(LabelledScores.of(test, scores, "multi-class")) == 0.5
    assert acc(LabelledScores.of(test, scores, "multi-class")) == 0.6
    np.testing.assert_allclose(majority_scores(np.array([[1.0], [3.0]]), 2, "regression", 1), [[2.0], [2.0]])


def test_a_key_changes_with_everything_that_changes_a_result(store):
    task = official(store)
    base = RunSpec("s", task_digest(task), "linear", 0, False, 2000)
    others = [
        replace(base, store_digest="t"), replace(base, head="knn"), replace(base, seed=1), replace(base, refit=True),
        replace(base, resamples=200), replace(base, protocol=1), replace(base, choose="cv"),
        replace(base, class_weight="balanced"), replace(base, task_digest=task_digest(poisoned(task))),
    ]  # fmt: skip
    assert len({spec.key for spec in (base, *others)}) == len(others) + 1


def test_the_digest_of_a_task_does_not_depend_on_the_order_of_its_samples(store):
    task = official(store)
    order = np.random.default_rng(0).permutation(len(task.ids))
    shuffled = replace(task, ids=task.ids[order], labels=task.labels[order], split=task.split[order])
    assert task_digest(shuffled) == task_digest(task)
