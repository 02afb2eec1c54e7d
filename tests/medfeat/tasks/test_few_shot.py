"""A few labels a class: how many, from where, and how they are chosen by."""

from __future__ import annotations

import numpy as np
import pytest

from medfeat.tasks import few_shot
from medfeat.types import Task


def task_of(labels, task_type, classes, **more):
    """A hundred samples, in turn train, train, val and test."""
    split = np.array(["train", "train", "val", "test"] * 25)
    return Task("t", task_type, classes, np.array([f"{i:03}" for i in range(100)]), labels, split, **more)


@pytest.mark.parametrize(("shots", "folds"), [(1, 2), (2, 4), (3, 5), (4, 5), (5, 0)])
def test_below_five_shots_all_labelled_samples_are_chosen_by_in_turn(shots, folds):
    drawn = few_shot(task_of(np.arange(100)[:, None] % 5, "multi-class", tuple("abcde")), shots)
    few = drawn.task
    for part in ("train", "val"):
        assert np.bincount(few.labels[few.split == part, 0]).tolist() == [shots] * 5
    assert (few.split == "test").sum() == 25
    assert len(drawn.folds) == folds
    tried = sorted(name for fold in drawn.folds for name in fold.ids[fold.split == "val"].tolist())
    assert tried == (sorted(few.ids[few.split != "test"].tolist()) if folds else [])
    assert all(np.isin(fold.split, ("train", "val")).all() for fold in drawn.folds)


def test_a_rare_label_is_drawn_first_and_what_it_carries_counts():
    labels = np.zeros((100, 2), np.int64)
    labels[::4] = [1, 0]  # 25 in train with the first alone
    labels[[1, 5]] = [1, 1]  # the second never comes alone
    few = few_shot(task_of(labels, "multi-label", ("common", "rare")), 2).task
    train = few.labels[few.split == "train"]
    assert sorted(map(tuple, train.tolist())) == [(0, 0), (0, 0), (1, 1), (1, 1)]
    assert "(all there are of rare)" not in few.origin
    three = few_shot(task_of(labels, "multi-label", ("common", "rare")), 3).task
    assert "3 shots a class, draw 0 of seed 0 (all there are of rare)" in three.origin
    assert sorted(map(tuple, three.labels[three.split == "train"].tolist())) == [(0, 0)] * 3 + [(1, 0)] + [(1, 1)] * 2
