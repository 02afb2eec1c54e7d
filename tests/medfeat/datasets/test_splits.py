"""Splits drawn from a seed: stratified, by patient, and the same whatever the order of the images."""

import numpy as np
import pytest

from medfeat.datasets import source_task
from medfeat.datasets.splits.drawing import draw_split
from medfeat.datasets.splits.official_or_drawn import FRACTIONS
from medfeat.errors import DataError
from medfeat.types import OWN_GROUP, DatasetInfo


class Own:
    """A dataset of the user's own, without images."""

    def __init__(self, labels, task="multi-class", split=None, patients=None):
        self._labels = np.asarray(labels).reshape(len(labels), -1)
        self.split = None if split is None else np.array(split)
        self.patients = None if patients is None else np.array(patients)
        counts = {OWN_GROUP: len(labels)}
        self.info = DatasetInfo("own", 0, task, ("a", "b"), 0, 2, counts, "x:1", source="csv")

    def ids(self, group):
        return np.array([f"{i:04}.png" for i in range(len(self._labels))])

    def labels(self, group):
        return self._labels

    def batches(self, group, batch_size, rows=None):
        raise AssertionError("a split needs no image")


def share(split, part):
    return float((split == part).mean())


@pytest.mark.parametrize("count", [10, 97, 1000])
def test_every_class_is_split_70_10_20(count):
    strata = np.repeat([0, 1, 2], [count, 2 * count, count // 2])
    ids = np.array([f"{i}" for i in range(len(strata))])
    split = draw_split(ids, strata, FRACTIONS)
    for stratum in range(3):
        part = split[strata == stratum]
        for name, fraction in FRACTIONS.items():
            assert abs((part == name).sum() - fraction * len(part)) <= 1


def test_a_class_of_three_is_in_every_split_that_others_can_spare_a_place_of():
    ids = np.array([f"{i:03}" for i in range(100)])
    split = draw_split(ids, np.array([0] * 97 + [1] * 3), FRACTIONS)
    assert sorted(split[97:]) == ["test", "train", "val"]
    assert [(split == part).sum() for part in FRACTIONS] == [70, 10, 20]
    of_ten = draw_split(np.array(list("abcdefghij")), np.array([0] * 7 + [1] * 3), FRACTIONS)
    assert sorted(of_ten[7:]) == ["test", "train", "train"]  # val has one place, and the larger class needs it more


def test_the_order_of_images_does_not_matter_and_the_seed_does():
    rng = np.random.default_rng(0)
    ids, strata = np.array([f"{i}" for i in range(300)]), rng.integers(0, 4, 300)
    patients = np.array([f"p{i}" for i in rng.integers(0, 60, 300)])
    for known in (None, patients):
        split = draw_split(ids, strata, FRACTIONS, patients=known)
        order = rng.permutation(300)
        again = draw_split(ids[order], strata[order], FRACTIONS, patients=None if known is None else known[order])
        assert np.array_equal(again, split[order])
        assert not np.array_equal(draw_split(ids, strata, FRACTIONS, patients=known, seed=1), split)


def test_no_patient_is_in_two_splits_and_the_shares_still_hold():
    rng = np.random.default_rng(0)
    patients = np.array([f"p{i}" for i in np.sort(rng.integers(0, 120, 2000) ** 2 // 120)])
    strata = rng.integers(0, 3, 2000)
    task = source_task(Own(strata, patients=patients))
    for patient in np.unique(patients):
        assert len(set(task.split[patients == patient])) == 1
    for name, fraction in FRACTIONS.items():
        assert abs(share(task.split, name) - fraction) < 0.03
        for stratum in range(3):
            assert abs(share(task.split[strata == stratum], name) - fraction) < 0.06


def test_multi_label_and_regression_are_stratified_too():
    rng = np.random.default_rng(0)
    several = (rng.random((500, 3)) < 0.4).astype(np.int64)
    task = source_task(Own(several, "multi-label"))
    for column in range(3):
        assert abs(share(task.split[several[:, column] == 1], "test") - 0.2) < 0.03
    numbers = rng.random(500)
    task = source_task(Own(numbers, "regression"))
    assert task.labels.dtype == np.float64
    assert abs(np.median(numbers[task.split == "test"]) - np.median(numbers)) < 0.08


def test_a_given_split_is_kept_as_it_is():
    split = ["train", "test", "val", "train"]
    task = source_task(Own([0, 1, 0, 1], split=split))
    assert task.split.tolist() == split and task.origin == "own labels; split as given"


def test_a_part_that_is_missing_is_drawn_from_train():
    split = ["train"] * 90 + ["test"] * 10
    task = source_task(Own([0, 1] * 50, split=split))
    assert (task.split[90:] == "test").all() and 8 <= (task.split == "val").sum() <= 10
    only_train = source_task(Own([0, 1] * 50, split=["train"] * 100))
    assert (only_train.split == "test").sum() == 20 and "val and test drawn from train" in only_train.origin


def test_a_split_without_train_is_refused():
    with pytest.raises(DataError, match=r"no train part .1 val, 1 test.; train, val and test are needed: add one"):
        source_task(Own([0, 1], split=["val", "test"]))


def test_a_patient_in_two_given_splits_is_refused_by_name():
    with pytest.raises(DataError, match=r"1 patient .* such as p2 in test, train"):
        source_task(Own([0, 1, 0], split=["train", "train", "test"], patients=["p1", "p2", "p2"]))


def test_patients_are_the_groups_of_the_task():
    patients = ["p1", "p2", "p3", "p3"]
    assert source_task(Own([0, 1, 0, 1], patients=patients)).group.tolist() == patients
    assert source_task(Own([0, 1, 0, 1])).group is None
