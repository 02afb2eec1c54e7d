"""Patients as samples: whole in their splits, a label each, all images in their bags."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medfeat.errors import DataError, UsageError
from medfeat.tasks import gather
from medfeat.tasks.bags import PatientBags, blocks, joined, present_in
from medfeat.tasks.patients import by_patient
from medfeat.types import Task

NUMBERS = {"a": 3, "b": 1, "c": 4, "d": 2}


class Images:
    """A store in memory: image i has the vector (i, i squared)."""

    path, groups, dim, digest = None, ("all",), 2, "digest"

    def __init__(self, count):
        self.info, self.recipe = {}, {"dataset": "mine", "backbone": "none"}
        self._ids = np.array([f"image{i}" for i in range(count)])

    def ids(self, group):
        return self._ids

    def labels(self, group):
        return None

    def take(self, ids):
        numbers = np.array([float(str(name).removeprefix("image")) for name in ids])
        return np.column_stack([numbers, numbers**2]).astype(np.float32)

    def embeddings(self, group):
        return self.take(self._ids)


@pytest.fixture
def asked():
    """Ten images of four patients, shuffled; the store, the task, and whose each image is."""
    owner = np.random.default_rng(0).permutation(np.repeat(list(NUMBERS), list(NUMBERS.values())))
    labels = np.array([{"a": 0, "b": 1, "c": 1, "d": 0}[name] for name in owner])[:, None]
    split = np.array([{"a": "train", "b": "train", "c": "val", "d": "test"}[name] for name in owner])
    store = Images(len(owner))
    task = Task("mine", "binary-class", ("no", "yes"), store.ids("all"), labels, split, group=owner)
    return store, task, owner


def test_each_patient_is_one_sample_in_one_split_with_all_images(asked):
    store, task, owner = asked
    patients, by = by_patient(store, task)
    assert by.ids.tolist() == list(NUMBERS) and by.labels[:, 0].tolist() == [0, 1, 1, 0]
    assert by.split.tolist() == ["train", "train", "val", "test"] and by.group is None
    samples = gather(patients, by, bags=True)
    X = samples.X("train")
    assert X.shape == (2, 3, 2) and X.present.tolist() == [[True] * 3, [True, False, False]]
    for name, bag, present in zip("ab", np.asarray(X), X.present, strict=True):
        np.testing.assert_array_equal(bag[present], store.take(task.ids[owner == name]))
        assert (bag[~present] == 0).all()
    means = gather(patients, by).X("val")
    np.testing.assert_allclose(means, store.take(task.ids[owner == "c"]).mean(axis=0, keepdims=True))


def test_bags_are_cut_joined_and_read_in_blocks_without_reading_others(asked, monkeypatch):
    patients, by = by_patient(*asked[:2])
    bags = patients.bags(by.ids)
    np.testing.assert_array_equal(np.asarray(bags[[3, 1]]), np.asarray(bags)[[3, 1], :2])
    np.testing.assert_array_equal(np.asarray(joined(bags[:1], bags[2:])), np.asarray(bags)[[0, 2, 3]])
    monkeypatch.setattr("medfeat.tasks.bags._BLOCK_BYTES", 4 * 4 * 2)  # one patient of four images
    read = [(some.start, vectors.shape) for some, vectors in blocks(bags)]
    assert read == [(0, (1, 3, 2)), (1, (1, 1, 2)), (2, (1, 4, 2)), (3, (1, 2, 2))]
    assert present_in(bags).sum() == 10 and bags.size == 20 and len(bags[bags.present.sum(axis=1) > 2]) == 2


def test_other_owners_of_the_same_images_are_another_store(asked):
    store, task, owner = asked
    swapped = owner.copy()
    first, second = np.flatnonzero(owner == "a")[0], np.flatnonzero(owner == "d")[0]
    swapped[[first, second]] = swapped[[second, first]]
    split = np.array([{"a": "train", "b": "train", "c": "val", "d": "test"}[name] for name in swapped])
    found = {by_patient(store, one)[0].digest for one in (task, replace(task, group=swapped, split=split), task)}
    assert len(found) == 2


def test_images_without_patients_and_patients_of_two_labels_are_one_clear_line(asked):
    store, task, owner = asked
    with pytest.raises(UsageError, match="names no patients: give --labels with the columns id, label and patient"):
        by_patient(store, replace(task, group=None))
    labels = task.labels.copy()
    labels[np.flatnonzero(owner == "c")[0]] = 0
    with pytest.raises(DataError, match="images of 1 patient have different labels, such as those of c: a patient"):
        by_patient(store, replace(task, labels=labels))


def test_empty_bags_are_arrays_too():
    assert np.asarray(PatientBags(Images(1), [])).shape == (0, 0, 2)
