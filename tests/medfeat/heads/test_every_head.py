"""What holds for each registered head; a new one is tested on arrival."""

import functools
import json

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from medfeat.errors import DataError, UsageError
from medfeat.heads import HEADS, describe
from medfeat.heads.saving import load_model, save_model
from medfeat.types import TASK_TYPES, SilentProgress

CLASSES = {"binary-class", "multi-class", "multi-label", "ordinal-regression"}
LEARNS = {
    "linear": CLASSES,
    "svm": CLASSES,
    "prototypes": CLASSES,
    "lp++": CLASSES,
    "ordinal": {"binary-class", "ordinal-regression"},
    "ridge": {"regression"},
    "zero-shot": set(),  # these two compare with texts: tests/medfeat/workflows/test_texts.py
    "text-linear": set(),
}
PAIRS = [(name, task) for name in HEADS for task in TASK_TYPES if task in LEARNS.get(name, TASK_TYPES)]


def question(task_type, *, n=150, seed=0):
    """Features and labels that a head can learn, and the number of classes, labels or targets."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6)).astype(np.float32)
    signal = X[:, :3] + rng.normal(size=(n, 3)) * 0.3
    if task_type == "regression":
        return X, (signal[:, :2] * [3, 200] + [10, -50]).astype(np.float64), 2
    if task_type == "multi-label":
        return X, (signal > 0.5).astype(np.int64), 3
    n_classes = 2 if task_type == "binary-class" else 4
    cuts = np.quantile(signal[:, 0], np.linspace(0, 1, n_classes + 1)[1:-1])
    return X, np.searchsorted(cuts, signal[:, :1]).astype(np.int64), n_classes


class Counting(SilentProgress):
    def start(self, total, label, unit="images"):
        self.said.append((total, label))

    def advance(self, count):
        self.said.append(count)


@functools.cache
def trained(name, task_type):
    """One head's candidates on one task, trained once, and what the progress was told."""
    X, y, n_classes = question(task_type)
    progress = Counting()
    val = question(task_type, n=60, seed=1)[:2]
    candidates = HEADS[name]().candidates((X, y), val, task_type, n_classes, seed=0, progress=progress)
    return list(candidates), progress.said


@pytest.mark.parametrize(("name", "task_type"), PAIRS)
def test_candidates_come_simplest_first_with_plain_settings_and_progress(name, task_type):
    candidates, said = trained(name, task_type)
    assert [c.complexity for c in candidates] == sorted(c.complexity for c in candidates)
    settings = [json.dumps(c.settings, allow_nan=False) for c in candidates]
    assert len(set(settings)) == len(candidates)
    if name not in ("auto", "quick"):  # their heads speak for themselves
        assert said[0] == (len(candidates), name)
    assert sum(one for one in said if isinstance(one, int)) == len(candidates)


@pytest.mark.parametrize(("name", "task_type"), PAIRS)
def test_scores_are_probabilities_or_numbers_of_the_official_shape(name, task_type):
    X, _, n_classes = question(task_type, n=40, seed=2)
    for candidate in trained(name, task_type)[0]:
        scores = candidate.model.scores(X)
        assert scores.shape == (40, n_classes)
        assert np.isfinite(scores).all()
        if task_type == "regression":
            continue
        assert scores.min() >= 0
        assert scores.max() <= 1
        if task_type != "multi-label":
            np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(("name", "task_type"), [pair for pair in PAIRS if pair[0] != "majority"])
def test_the_best_candidate_has_learnt(name, task_type):
    X, y, n_classes = question(task_type, n=200, seed=2)
    scores = [c.model.scores(X) for c in trained(name, task_type)[0]]
    if task_type == "regression":
        best = max(np.corrcoef(s[:, 1], y[:, 1])[0, 1] for s in scores)
    elif task_type == "multi-label":
        best = max(roc_auc_score(y, s, average="macro") for s in scores)
    else:
        best = max(np.mean([roc_auc_score(y[:, 0] == k, s[:, k]) for k in range(n_classes)]) for s in scores)
    assert best > 0.75


@pytest.mark.parametrize(("name", "task_type"), PAIRS)
def test_a_saved_head_gives_the_same_scores(tmp_path, name, task_type):
    X = question(task_type, n=30, seed=3)[0]
    model = trained(name, task_type)[0][-1].model
    model.scores(X)
    save_model(model, tmp_path / "head")
    np.testing.assert_array_equal(load_model(tmp_path / "head").scores(X), model.scores(X))


@pytest.mark.parametrize(("name", "task_type"), PAIRS)
def test_a_head_can_be_fitted_again_with_what_was_chosen(name, task_type):
    X, y, n_classes = question(task_type)
    model = trained(name, task_type)[0][0].model
    again = clone(model).fit(X, y)
    assert again.get_params() == model.get_params()
    assert again.predict(X[:5]).shape[0] == 5
    assert again.scores(X).shape == (len(X), n_classes)


@pytest.mark.parametrize("name", ["knn", "xgboost", "mlp"])
def test_the_same_seed_gives_the_same_scores(name):
    X, y, n_classes = question("multi-class")
    val = question("multi-class", n=60, seed=1)[:2]
    first = trained(name, "multi-class")[0][0].model
    again = HEADS[name]().candidates((X, y), val, "multi-class", n_classes, seed=0, progress=SilentProgress())
    np.testing.assert_array_equal(next(again).model.scores(X), first.scores(X))


FAULTS = ("NaN or infinite", "one", "empty")  # a constant target ("one") can be learnt by a regression


@pytest.mark.parametrize(
    ("name", "task_type", "fault"),
    [(*pair, fault) for pair in PAIRS for fault in FAULTS if (pair[1], fault) != ("regression", "one")],
)
def test_what_cannot_be_learnt_from_is_one_clear_line(name, task_type, fault):
    X, y, n_classes = question(task_type)
    if fault == "NaN or infinite":
        X[7, 2] = np.nan
    elif fault == "one":
        y = np.zeros_like(y)
    else:
        X, y = X[:0], y[:0]
    with pytest.raises(DataError, match=fault) as caught:
        list(HEADS[name]().candidates((X, y), (X, y), task_type, n_classes, seed=0, progress=SilentProgress()))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in HEADS if LEARNS.get(name, TASK_TYPES)])
def test_a_class_absent_from_train_does_not_stop_a_head(name):
    task_type = "regression" if name == "ridge" else "ordinal-regression"
    X, y, n_classes = question(task_type)
    if task_type == "ordinal-regression":
        y = np.array([0, 1, 3, 3])[y]
    for candidate in HEADS[name]().candidates((X, y), (X, y), task_type, n_classes, seed=0, progress=SilentProgress()):
        assert candidate.model.scores(X).shape == (len(X), n_classes)


@pytest.mark.parametrize(("name", "task_type"), [("ridge", "multi-class"), ("ordinal", "multi-class")])
def test_a_task_that_a_head_does_not_learn_is_refused(name, task_type):
    X, y, n_classes = question(task_type)
    with pytest.raises(DataError, match=rf"the {name} head learns .*this task is {task_type}"):
        next(HEADS[name]().candidates((X, y), (X, y), task_type, n_classes, seed=0, progress=SilentProgress()))


def test_every_head_describes_itself_in_a_line_and_a_mistyped_name_gets_the_close_one():
    assert all(len(describe(name)) > 10 for name in HEADS)
    with pytest.raises(UsageError, match="did you mean linear"):
        HEADS["linaer"]
