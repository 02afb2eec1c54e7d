"""What an audit says by its parts: which rows are copies, which leak, and which labels are doubted first."""

import tracemalloc

import numpy as np
import pytest

from medfeat.evaluation.audit.duplicates import Pair, exact_pairs, leaked, same_pixels
from medfeat.evaluation.audit.label_errors import cross_scores, find_label_errors
from medfeat.types import Task
from medfeat_cache import FeatureStore, GroupSpec, StoreWriter, recipe_digest, store_path


def task_of(labels, classes=("a", "b", "c"), task_type="multi-class"):
    labels = np.asarray(labels).reshape(len(labels), -1)
    ids = np.array([f"i{row}" for row in range(len(labels))])
    return Task("t", task_type, classes, ids, labels, np.array(["train"] * len(labels)))


def pair(first, second):
    return Pair(first, second, first.split("/")[0], second.split("/")[0], "exact", 1.0, 1.0, True)


def test_rows_without_a_hash_are_copies_of_nothing(tmp_path):
    """Features that were imported know no image: zeros stand where a hash would."""
    recipe = {"dataset": "toy", "backbone": "net", "size": 28}
    hashes = np.zeros((6, 16), np.uint8)
    hashes[[1, 4]] = 7
    path = store_path(tmp_path, "toy", "net", recipe_digest(recipe))
    with StoreWriter.open(path, recipe=recipe, info={}, settings={}) as writer:
        writer.groups({"train": GroupSpec(np.array(list("abcdef")), None)})
        writer.write_rows("train", range(6), np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32), hashes)
        writer.publish()
    with FeatureStore(path) as store:
        first, second = exact_pairs(store)
    assert (first.tolist(), second.tolist()) == ([1], [4])
    assert [part.tolist() for part in same_pixels(np.zeros((5, 16), np.uint8))] == [[], []]


def test_copies_inside_one_split_are_no_leak():
    pairs = [pair("test/1", "test/2"), pair("train/1", "train/2"), pair("train/3", "test/3"), pair("test/4", "val/4")]
    assert leaked(pairs) == {"test/3", "test/4"}
    assert leaked(pairs[:2]) == set()
    assert leaked(pairs, into="val") == {"val/4"}


def test_the_likeliest_label_errors_come_first_and_what_the_head_itself_believes_is_none():
    """Three samples of each class whose labels are believed, and three labelled a that look like b, more and more."""
    good = [[0.8, 0.1, 0.1]] * 3 + [[0.1, 0.8, 0.1]] * 3 + [[0.1, 0.1, 0.8]] * 3
    doubted = [[0.20, 0.75, 0.05], [0.02, 0.93, 0.05], [0.10, 0.85, 0.05]]
    preferred = [[0.55, 0.44, 0.01]]  # its own label is below the usual 0.8, but no other is likelier
    task = task_of([0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0])
    found = find_label_errors(task, np.array([*good, [0.18, 0.82, 0.0], [0.02, 0.98, 0], [0.1, 0.9, 0], *preferred]))
    assert [one.id for one in found] == ["i10", "i11", "i9"]
    assert [one.suggested for one in found] == ["b", "b", "b"]
    assert [one.margin for one in found] == pytest.approx([0.96, 0.8, 0.64])
    assert [one.probability for one in found] == pytest.approx([0.02, 0.1, 0.18])
    assert len(find_label_errors(task, np.array(good + doubted + preferred))) == 2, "0.75 is less than b usually gets"


def test_a_class_that_is_claimed_and_yet_less_likely_than_the_label_is_no_error():
    """b usually gets 0.3, so 0.4 claims it; a usually gets 0.83, is not claimed at 0.6, and is yet the likelier."""
    scores = np.array([[0.9, 0.1], [1.0, 0.0], [0.6, 0.4], [0.7, 0.3], [0.7, 0.3]])
    assert [one.id for one in find_label_errors(task_of([0, 0, 0, 1, 1], ("a", "b"), "binary-class"), scores)] == []


def test_the_line_of_likely_errors_is_where_half_of_the_doubted_would_be_wrong():
    """Forty labels of which a head is sure, twenty that it gets wrong by 0.3, and one that is wrong by 0.9."""
    p = np.concatenate([np.tile([[0.9, 0.1], [0.1, 0.9]], (20, 1)), np.tile([[0.35, 0.65], [0.65, 0.35]], (10, 1))])
    labels = np.concatenate([np.tile([0, 1], 30), [0]])
    # A class usually gets (20 x 0.9 + 10 x 0.35 + 0.05) / 31 = 0.70, the other 0.72: 0.65 claims nothing.
    found = find_label_errors(task_of(labels, ("a", "b"), "binary-class"), np.concatenate([p, [[0.05, 0.95]]]))
    assert [(one.id, one.likely) for one in found] == [("i60", True)]
    # With twelve such sure ones a class usually gets 0.53 and 0.56, and all twenty are doubted. Of 33 labels the one at
    # 0.9 is likely: 12 wrong ones in 33 would be doubted by more than 0.3, and 0.05 x 12 > 0.5 x 1. The twenty are not:
    # no more wrong ones would be doubted at all, and 0.05 x 12 < 0.5 x 21.
    some = np.concatenate([p[28:], [[0.05, 0.95]]])
    found = find_label_errors(task_of(labels[28:], ("a", "b"), "binary-class"), some)
    assert len(found) == 21 and [one.id for one in found if one.likely] == ["i32"]


def test_a_head_that_cannot_tell_makes_no_claim_of_errors():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(4, 2.0), 400)
    found = find_label_errors(task_of(rng.integers(0, 4, 400), tuple("abcd")), p)
    assert len(found) > 150, "it doubts, as it guesses"
    assert not any(one.likely for one in found)


def test_of_planted_errors_those_called_likely_are_mostly_errors_and_the_line_is_that_of_a_plain_count():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 3000)
    logits = 1.6 * np.eye(3)[truth] + rng.normal(size=(3000, 3))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y = truth.copy()
    wrong = rng.choice(3000, 150, replace=False)
    y[wrong] = (y[wrong] + rng.integers(1, 3, 150)) % 3
    found = find_label_errors(task_of(y, tuple("abc")), p)
    likely = {int(one.id[1:]) for one in found if one.likely}
    assert len(likely & set(wrong.tolist())) / len(likely) > 0.4
    assert len(found) > 1.5 * len(likely)
    # The line again, label by label and class by class.
    usual = [p[y == k, k].mean() for k in range(3)]
    margins, planted = [], []
    for i in range(3000):
        claims = [k for k in range(3) if p[i, k] >= usual[k]]
        top = max(claims, key=lambda k: p[i, k], default=None)
        own = 0.0 if top is None else p[i, top] - p[i, y[i]]
        margins.append(own)
        others = [k for k in range(3) if k != y[i]]
        shares = np.array([p[y == y[i], k].mean() for k in others])
        planted += [
            (0.0 if top is None else p[i, top] - p[i, k], s / shares.sum()) for k, s in zip(others, shares, strict=True)
        ]
    line = next(
        t
        for t in sorted({m for m in [*margins, *(m for m, _ in planted)] if m > 0})
        if 0.05 * sum(s for m, s in planted if m >= t) / 3000 >= 0.5 * sum(m >= t for m in margins) / 3000
    )
    assert {one.id for one in found if one.likely} == {f"i{i}" for i in range(3000) if margins[i] >= line}


class Rows:
    """A store of (n, d) rows whose ids are their numbers; what is taken is new memory, as of a file."""

    def __init__(self, n, d):
        self.X = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)

    def take(self, ids):
        return self.X[np.array([int(name[1:]) for name in ids.tolist()])]


def test_labels_are_cross_validated_beside_the_rows_of_one_fold_and_not_beside_all_rows_again():
    task, store = task_of(np.arange(2000) % 3), Rows(2000, 512)
    cross_scores(store, task, "majority")  # whatever is loaded once
    tracemalloc.start()
    try:
        found = cross_scores(store, task, "majority")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.shape == (2000, 3) and np.allclose(found, 1 / 3, atol=0.01)
    assert peak < 1.3 * store.X.nbytes
