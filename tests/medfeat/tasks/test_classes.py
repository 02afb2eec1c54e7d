"""Merging, keeping and ordering classes; drawing a few shots of each."""

from dataclasses import replace

import numpy as np
import pytest

from medfeat.errors import DataError, UsageError
from medfeat.tasks import align, drop, few_shot, keep, relabel
from medfeat.types import Task


def four_classes(n=120, task_type="multi-class", **changes):
    split = np.array((["train"] * 3 + ["val"] * 2 + ["test"]) * n)[:n]
    labels = (np.arange(n) // 6 % 4)[:, None]
    ids = np.array([f"img/{i}" for i in range(n)])
    return replace(Task("official", task_type, ("cnv", "dme", "drusen", "normal"), ids, labels, split), **changes)


def three_labels(n=120):
    labels = np.stack([np.arange(n) % 2, np.arange(n) % 5 == 0, np.zeros(n)], axis=1).astype(np.int64)
    return four_classes(n, task_type="multi-label", classes=("a", "b", "c"), labels=labels)


@pytest.mark.parametrize("rule", ["0,1,2=abnormal;3=normal", " CNV, dme,2 = abnormal ; normal=normal;"])
def test_classes_are_merged_by_number_or_name(rule):
    task = relabel(four_classes(), rule)
    assert task.classes == ("abnormal", "normal")
    assert task.task_type == "binary-class"
    np.testing.assert_array_equal(task.labels, four_classes().labels == 3)
    assert task.name == "official-abnormal-normal"
    assert "relabelled" in task.origin


def test_new_classes_have_the_order_of_the_rule():
    task = relabel(four_classes(), "3=healthy;0,1=wet;2=dry", name="wet")
    assert task.classes == ("healthy", "wet", "dry")
    np.testing.assert_array_equal(task.labels[:24:6, 0], [1, 1, 2, 0])
    assert (task.name, task.task_type) == ("wet", "multi-class")


def test_merged_grades_stay_ordinal_only_in_their_order():
    grades = four_classes(task_type="ordinal-regression")
    assert relabel(grades, "0=none;1,2=some;3=much").task_type == "ordinal-regression"
    assert relabel(grades, "1,2=some;0=none;3=much").task_type == "multi-class"
    assert keep(grades, "0,2,3").task_type == "ordinal-regression"


def test_a_merged_label_is_there_when_one_of_its_own_is():
    task = relabel(three_labels(), "a,b=any;c=other")
    np.testing.assert_array_equal(task.labels[:, 0], three_labels().labels[:, :2].max(axis=1))
    assert task.task_type == "multi-label"


def test_a_class_whose_name_holds_commas_is_found_whole():
    task = four_classes(classes=("heart, left", "dme", "drusen", "normal"))
    assert relabel(task, "heart, left=x;1,2,3=y").classes == ("x", "y")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("0,1,2", "must be like"),
        ("0,1,2,3=all", "must be like"),
        ("0,1=;2,3=b", "must be like"),
        ("0,1=a;2,3=a", "each new class may be given once, got a, a"),
        ("0,1=a;1,2,3=b", "named once in a relabelling, got dme twice"),
        ("0,1=a;2=b", "leaves out normal: name every class, or drop"),
        ("0,1,7=a;2,3=b", "unknown class '7' .*it has 0 cnv, 1 dme"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_one_clear_line(rule, said):
    with pytest.raises(UsageError, match=said):
        relabel(four_classes(), rule)


def test_keeping_and_dropping_are_counterparts():
    kept, dropped = keep(four_classes(), "normal,0,cnv"), drop(four_classes(), "dme,drusen")
    assert kept.classes == dropped.classes == ("cnv", "normal")
    assert kept.task_type == "binary-class"
    np.testing.assert_array_equal(kept.ids, dropped.ids)
    source = dict(zip(four_classes().ids, four_classes().labels[:, 0], strict=True))
    assert [source[name] for name in kept.ids] == [{0: 0, 1: 3}[label] for label in kept.labels[:, 0]]


def test_keeping_labels_keeps_every_sample():
    task = keep(three_labels(), "b")
    assert task.labels.shape == (120, 1)
    np.testing.assert_array_equal(task.labels[:, 0], three_labels().labels[:, 1])


def test_one_class_left_is_too_few():
    with pytest.raises(UsageError, match=r"too few classes would be left .*\(dme\)"):
        keep(four_classes(), "dme")


def test_aligned_classes_keep_their_samples():
    task = align(four_classes(), ("normal", "cnv", "drusen", "dme"))
    names = [task.classes[i] for i in task.labels[:, 0]]
    assert names == [four_classes().classes[i] for i in four_classes().labels[:, 0]]
    labels = align(three_labels(), ("c", "b", "a")).labels
    np.testing.assert_array_equal(labels, three_labels().labels[:, ::-1])
    with pytest.raises(UsageError, match="classes differ: cnv, dme, drusen, normal here, x, y there"):
        align(four_classes(), ("x", "y"))
    with pytest.raises(UsageError, match="here, malignant; normal, benign there"):
        align(four_classes(), ("malignant", "normal, benign"))


def counts(task, split):
    return np.bincount(task.labels[task.split == split, 0], minlength=len(task.classes)).tolist()


@pytest.mark.parametrize("shots", [1, 2, 5])
def test_shots_are_drawn_a_class_from_train_and_val_and_test_is_whole(shots):
    draw = few_shot(four_classes(), shots, draw=3)
    assert counts(draw.task, "train") == counts(draw.task, "val") == [shots] * 4
    np.testing.assert_array_equal(draw.task.ids[draw.task.split == "test"], four_classes().ids[5::6])


def test_draws_differ_repeat_and_are_nested():
    def train(shots, **options):
        task = few_shot(four_classes(), shots, **options).task
        return set(task.ids[task.split == "train"])

    assert train(5, draw=1) == train(5, draw=1)
    assert train(5, draw=1) != train(5, draw=2)
    assert train(5, draw=1) != train(5, draw=1, seed=1)
    assert train(1) < train(2) < train(5)


def test_below_five_shots_the_labelled_samples_are_cross_validated():
    assert few_shot(four_classes(), 5).folds == ()
    for shots, folds in [(1, 2), (2, 4), (3, 5), (4, 5)]:
        draw = few_shot(four_classes(), shots)
        assert len(draw.folds) == folds
        labelled = draw.task.ids[draw.task.split != "test"]
        held = np.concatenate([fold.ids[fold.split == "val"] for fold in draw.folds])
        assert sorted(held) == sorted(labelled)
        for fold in draw.folds:
            assert not (fold.split == "test").any()
            assert min(counts(fold, "val")) >= 1
            assert min(counts(fold, "train")) >= 1


def test_a_patient_stays_in_one_fold():
    task = four_classes()
    # Two images a patient, both in the same split and class.
    patients = np.array([f"{i // 6}{split}" for i, split in enumerate(task.split)])
    for fold in few_shot(replace(task, group=patients), 4).folds:
        assert not set(fold.group[fold.split == "val"]) & set(fold.group[fold.split == "train"])


def test_each_label_gets_its_shots_and_so_does_having_none():
    draw = few_shot(three_labels(), 5)
    train = draw.task.labels[draw.task.split == "train"]
    assert (train[:, :2].sum(axis=0) >= 5).all()
    assert (train.sum(axis=1) == 0).sum() == 5
    assert "all there are of c" in draw.task.origin


def test_a_rare_class_gives_all_it_has_and_the_origin_says_so():
    task = keep(four_classes(30), "cnv,normal")
    draw = few_shot(task, 20)
    assert "all there are of cnv, normal" in draw.task.origin
    assert counts(draw.task, "train") == counts(task, "train")


def test_no_shots_and_regressions_are_refused():
    with pytest.raises(UsageError, match="1 or more a class"):
        few_shot(four_classes(), 0)
    numbers = four_classes(task_type="regression", classes=("age",), labels=np.ones((120, 1)))
    for ask in (lambda: few_shot(numbers, 5), lambda: relabel(numbers, "0=a;1=b")):
        with pytest.raises(UsageError, match="is a regression"):
            ask()


def test_nothing_left_is_said():
    task = four_classes(6)
    with pytest.raises(DataError, match="no samples left"):
        keep(task, "dme,drusen")
