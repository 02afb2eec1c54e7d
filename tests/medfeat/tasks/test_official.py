"""A dataset's own question, joined to a store by id."""

from dataclasses import replace

import numpy as np
import pytest

from medfeat.errors import DataError, MissingFileError, UsageError
from medfeat.tasks import (
    check_task,
    dataset_tasks,
    fuse,
    gather,
    load_task,
    official,
    save_task,
    task_names,
    tasks_folder,
)
from medfeat.types import Task
from medfeat_cache import FeatureStore

from .stores import COUNTS, labels_of, vector, write_store

OWN_IDS = [f"images/{i}.png" for i in range(20)]


def own_task(ids, **changes):
    split = np.array((["train"] * 5 + ["val", "test"]) * 9)[: len(ids)]
    task = Task("official", "binary-class", ("ill", "well"), np.array(ids), labels_of(ids, 2), split, origin="folders")
    return replace(task, **changes)


def assert_same(one, other):
    for name in ("name", "task_type", "classes", "origin"):
        assert getattr(one, name) == getattr(other, name)
    for name in ("ids", "labels", "split", "group"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_an_official_set_keeps_its_splits_and_labels(cache_root):
    task = official(write_store(cache_root))
    assert {split: int((task.split == split).sum()) for split in COUNTS} == COUNTS
    assert (task.task_type, task.classes) == ("multi-class", ("a", "b", "c"))
    np.testing.assert_array_equal(task.labels, labels_of(task.ids))


def test_gathered_rows_belong_to_their_ids_whatever_the_order_in_the_store(cache_root):
    rng = np.random.default_rng(0)
    orders = {group: rng.permutation([f"{group}/{i}" for i in range(n)]).tolist() for group, n in COUNTS.items()}
    shuffled = write_store(cache_root, backbone="shuffled", groups=orders)
    task = official(write_store(cache_root))
    for split in COUNTS:
        found = gather(shuffled, task).split(split)
        np.testing.assert_array_equal(found.ids, [f"{split}/{i}" for i in range(COUNTS[split])])
        np.testing.assert_array_equal(found.X, [vector(name) for name in found.ids])
        np.testing.assert_array_equal(found.y, labels_of(found.ids))


def test_a_split_that_lines_up_with_a_group_is_mapped_and_not_copied(cache_root, monkeypatch):
    store = write_store(cache_root)
    samples = gather(store, official(store))
    monkeypatch.setattr(FeatureStore, "take", lambda *_: pytest.fail("rows were copied"))
    assert not samples.train.X.flags.writeable


def test_samples_may_change_their_split(cache_root):
    store = write_store(cache_root)
    task = official(store)
    moved = replace(task, split=np.where(task.ids == "test/3", "train", task.split))
    train = gather(store, moved).train
    assert train.ids[-1] == "test/3"
    np.testing.assert_array_equal(train.X[-1], vector("test/3"))


def test_labels_are_handed_out_a_split_at_a_time(cache_root):
    store = write_store(cache_root)
    samples = gather(store, official(store))
    assert samples.X("test").shape == (18, 4)
    assert samples.opened == []
    assert samples.train.y.shape == (30, 1)
    assert samples.val is samples.val
    assert samples.opened == ["train", "val"]


def test_half_precision_embeddings_are_gathered_as_float32(cache_root):
    store = write_store(cache_root, dtype=np.float16)
    assert gather(store, official(store)).train.X.dtype == np.float32


def test_ids_that_the_store_lacks_are_counted_and_named(cache_root):
    task = official(write_store(cache_root))
    small = write_store(cache_root, backbone="small", groups={group: [f"{group}/0"] for group in COUNTS})
    with pytest.raises(DataError, match=r"57 of 60 ids are not in .*: train/1, train/2, train/3, \.\.\.;"):
        gather(small, task)


def test_a_store_without_labels_says_how_to_give_them(cache_root):
    with pytest.raises(DataError, match=r"blobs has no labels in .*--labels"):
        official(write_store(cache_root, labels=False, task=None))


def test_own_images_have_the_task_that_was_saved_beside_the_store(cache_root):
    store = write_store(cache_root, dataset="mine", groups={"all": OWN_IDS}, labels=False, task=None)
    with pytest.raises(DataError, match="mine has no labels of its own"):
        official(store)
    save_task(own_task(OWN_IDS, group=np.array(OWN_IDS)), dataset_tasks(cache_root, "mine"))
    assert tasks_folder(store) == dataset_tasks(cache_root, "mine")
    assert_same(official(store), own_task(OWN_IDS, group=np.array(OWN_IDS)))
    np.testing.assert_array_equal(
        gather(store, official(store)).val.X, [vector(OWN_IDS[5]), vector(OWN_IDS[12]), vector(OWN_IDS[19])]
    )


def test_an_unreadable_image_is_left_out_of_its_task_and_counted(cache_root):
    store = write_store(cache_root, dataset="mine", groups={"all": OWN_IDS}, labels=False, task=None)
    save_task(own_task([*OWN_IDS, "images/20.png"]), tasks_folder(store))
    task = official(store)
    assert len(task.ids) == 20
    assert "1 labelled images are not in this store" in task.origin


@pytest.mark.parametrize("task_type", ["multi-label", "regression"])
def test_a_saved_task_comes_back_as_it_was(tmp_path, task_type):
    labels = np.arange(40).reshape(20, 2) % 2 if task_type == "multi-label" else np.linspace(0, 1, 40).reshape(20, 2)
    task = own_task(OWN_IDS, name="my-task.v2", task_type=task_type, labels=labels)
    assert save_task(task, tmp_path / "tasks").name == "my-task.v2.json"
    assert_same(load_task("my-task.v2", tmp_path / "tasks"), task)
    assert task_names(tmp_path / "tasks") == ["my-task.v2"]


def test_a_task_name_may_have_eighty_letters(tmp_path):
    save_task(own_task(OWN_IDS, name="x" * 80), tmp_path)
    assert task_names(tmp_path) == ["x" * 80]


@pytest.mark.parametrize("name", ["../evil", "a/b", "..", "", ".hidden", "a..b", "x" * 81, "a\n"])
def test_a_task_name_is_a_plain_file_name(tmp_path, name):
    with pytest.raises(UsageError, match="task name must be"):
        save_task(own_task(OWN_IDS, name=name), tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read as a task"),
        ("[]", "is not a medfeat task"),
        ('{"format": "other"}', "is not a medfeat task"),
        ('{"format": "medfeat-task", "version": 2}', "version 2, this medfeat reads 1: update"),
        ('{"format": "medfeat-task", "version": 1}', "no field 'task_type'"),
        ('{"format": "medfeat-task", "version": 1, "task_type": "multi-class", "labels": [{}]}', "is damaged"),
        (
            '{"format": "medfeat-task", "version": 1, "task_type": "binary-class", "labels": [[0]], "name": "x",'
            ' "classes": ["a", "b"], "ids": [{"py/object": 1}], "split": ["train"], "group": null, "origin": ""}',
            "lists of text",
        ),
    ],
)
def test_a_file_that_is_no_task_is_refused_in_one_line(tmp_path, content, said):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(DataError, match=said) as caught:
        load_task("x", tmp_path)
    assert "\n" not in str(caught.value)


def test_an_unknown_task_names_those_that_are_saved(tmp_path):
    save_task(own_task(OWN_IDS, name="first"), tmp_path)
    with pytest.raises(MissingFileError, match=r"no task 'second' .*saved there: first"):
        load_task("second", tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ids": np.array([OWN_IDS[0]] * 20)}, "1 id is given more than once: images/0.png"),
        ({"split": np.array(["learn"] * 20)}, "one of train, val, test, got learn"),
        ({"labels": np.full((20, 1), 2)}, r"whole numbers 0..1, got 2..2"),
        ({"labels": np.zeros((20, 2), int)}, r"need labels \(20, 1\)"),
        ({"group": np.array(["patient"] * 20)}, "1 patient .*: patient;"),
        ({"task_type": "regression", "labels": np.full((20, 2), np.nan)}, "20 targets are NaN"),
        ({"task_type": "guess"}, "task type must be one of"),
    ],
)
def test_a_task_that_cannot_be_trusted_is_refused(changes, said):
    with pytest.raises(DataError, match=said):
        check_task(replace(own_task(OWN_IDS), **changes))


def test_fused_stores_line_up_by_id_though_one_is_shuffled(cache_root):
    rng = np.random.default_rng(1)
    orders = {group: rng.permutation([f"{group}/{i}" for i in range(n)]).tolist() for group, n in COUNTS.items()}
    plain = write_store(cache_root, backbone="one")
    shuffled = write_store(cache_root, backbone="two", groups=orders, dim=3, scale=5)
    fused = fuse([plain, shuffled])
    train = gather(fused, official(fused)).train
    assert fused.dim == 7
    np.testing.assert_array_equal(train.X[:, fused.blocks[0]], [vector(name) for name in train.ids])
    np.testing.assert_array_equal(train.X[:, fused.blocks[1]], [vector(name, 3, 5) for name in train.ids])


def test_fused_stores_have_the_groups_of_the_first(cache_root):
    ids = [f"{group}/{i}" for group, n in COUNTS.items() for i in range(n)]
    split, whole = write_store(cache_root), write_store(cache_root, backbone="two", groups={"all": ids})
    assert fuse([split]).groups == fuse([split, whole]).groups == tuple(COUNTS)
    both = fuse([whole, split])
    assert both.groups == ("all",) and both.n("all") == 60 and both.embeddings("all").shape == (60, 8)


def test_stores_of_other_images_are_not_fused(cache_root):
    other = {"train": ["train/0", "new/0"], "val": ["val/0"], "test": ["test/0"]}
    stores = [write_store(cache_root), write_store(cache_root, backbone="two", groups=other)]
    with pytest.raises(DataError, match=r"lacks 57 ids of .* and has 1 others"):
        fuse(stores)
    with pytest.raises(DataError, match="at least one"):
        fuse([])
