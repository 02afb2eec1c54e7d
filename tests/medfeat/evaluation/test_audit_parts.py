"""What an audit says by its parts: which rows are copies, which leak, and which labels are doubted first."""

import numpy as np
import pytest

from medfeat.evaluation.audit.duplicates import Pair, exact_pairs, leaked, same_pixels
from medfeat.evaluation.audit.label_errors import find_label_errors
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
