"""New questions to stores that exist: nothing is embedded, what is asked is saved by name, nonsense is one line."""

from __future__ import annotations

import numpy as np
import pytest

from medfeat.errors import DataError, MissingFileError, UsageError
from medfeat.tasks.retype import retype
from medfeat.workflows.asking.question import Question
from medfeat.workflows.probe import probe
from medfeat_cache import FeatureStore

from .embedded import QUICK, embed, plant

COUNTS = {"train": 90, "val": 45, "test": 60}


def write_labels(path, store_path, rule, *, header="id,label", skip=0):
    with FeatureStore(store_path) as store:
        ids = [name for group in store.groups for name in store.ids(group).tolist()]
    path.write_text("\n".join([header, *(f"{name},{rule(i)}" for i, name in enumerate(ids[skip:]))]))
    return path


@pytest.mark.parametrize(
    ("asked", "kind", "classes"),
    [
        ({"relabel": "0,1=low;2=high"}, "binary-class", ("low", "high")),
        ({"keep": "c0,c2"}, "binary-class", ("c0", "c2")),
        ({"drop": "1"}, "binary-class", ("c0", "c2")),
        ({"task": "ordinal-regression"}, "ordinal-regression", ("c0", "c1", "c2")),
    ],
)
def test_classes_can_be_merged_left_out_or_read_in_another_way(cache_root, asked, kind, classes):
    plant(cache_root, counts=COUNTS)
    run = probe("planted", cache_dir=cache_root, **asked, **QUICK).runs[0]
    assert (run.task["type"], tuple(run.task["classes"])) == (kind, classes)
    assert run.test.auc.value > 0.8


def test_no_stored_image_is_embedded_again_whatever_is_asked(counting, cache_root, tmp_path):
    path = embed(cache_root)
    before = counting.images
    labels = write_labels(tmp_path / "new.csv", path, lambda i: ("a", "b", "c")[i % 3])
    for asked in (
        {"labels": labels},
        {"relabel": "0=x;1=y"},
        {"task": "regression"},
        {"labels": labels, "keep": "a,c"},
    ):
        assert probe("synthetic-binary", cache_dir=cache_root, **asked, **QUICK).runs
    assert counting.images == before


def test_a_named_task_is_found_again_and_its_run_reused(cache_root, tmp_path):
    path = plant(cache_root, counts=COUNTS)
    labels = write_labels(tmp_path / "grades.csv", path, lambda i: "ill" if i % 3 else "well")
    first = probe("planted", labels=labels, name="illness", head="linear", cache_dir=cache_root, **QUICK).runs[0]
    labels.unlink()
    report = probe("planted", task="illness", head="linear", cache_dir=cache_root, **QUICK)
    assert report.reused == 1
    assert report.runs[0].key == first.key
    assert report.runs[0].task["name"] == "illness"


def test_numbers_are_a_regression_with_its_own_heads_and_metrics(cache_root, tmp_path):
    path = plant(cache_root, counts=COUNTS)
    labels = write_labels(tmp_path / "ages.csv", path, lambda i: 40.5 + 10 * (i % 3), header="id,age")
    report = probe("planted", labels=labels, task="regression", cache_dir=cache_root, **QUICK)
    assert {run.head for run in report.runs} == {"ridge", "xgboost"}
    for run in report.runs:
        for name in ("r2", "mae", "rmse", "spearman"):
            interval = run.test.values[name]
            assert interval.low <= interval.value <= interval.high
        assert run.test.values["r2"].value > 0.3
    assert any("test RMSE" in note and "Spearman" in note for note in report.tables()[0].notes)


def test_grades_are_read_as_numbers_without_another_file(cache_root):
    plant(cache_root, counts=COUNTS)
    report = probe("planted", task="ordinal-regression", name="grades", head="linear", cache_dir=cache_root, **QUICK)
    assert report.runs[0].task["type"] == "ordinal-regression"
    with pytest.raises(UsageError, match="multi-class, which can be read as"):
        probe("planted", task="regression", cache_dir=cache_root, **QUICK)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,label\ntrain/0,a\ntrain/1,b\n", "193 of 195 stored ids have no label"),
        ("id,label\nnonesuch,a\n", "1 of 1 ids are not in the store: nonesuch"),
        ("id,label\ntrain/0,a\ntrain/0,b\n", "given more than once: train/0"),
        ("name,label\ntrain/0,a\n", "columns must be id"),
    ],
)
def test_labels_that_do_not_fit_the_store_are_one_line(cache_root, tmp_path, content, said):
    plant(cache_root, counts=COUNTS)
    path = tmp_path / "labels.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=said) as caught:
        probe("planted", labels=path, head="linear", cache_dir=cache_root, **QUICK)
    assert "\n" not in str(caught.value)


def test_samples_without_a_label_may_be_left_out_when_allowed(cache_root, tmp_path):
    path = plant(cache_root, counts=COUNTS)
    labels = write_labels(tmp_path / "some.csv", path, lambda i: "ab"[i % 2], skip=15)
    run = probe("planted", labels=labels, partial=True, head="linear", cache_dir=cache_root, **QUICK).runs[0]
    assert "15 samples without a label left out" in run.task["origin"]


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"relabel": "0,1=x"}, UsageError, "must be like"),
        ({"relabel": "0=x;9=y"}, UsageError, "unknown class '9'"),
        ({"task": "nonesuch"}, MissingFileError, "there is no task 'nonesuch'"),
        ({"task": "saved", "labels": "x.csv"}, UsageError, "exclude each other"),
        ({"name": "official"}, UsageError, "has a meaning of its own"),
        ({"name": "../x"}, UsageError, "task name must be"),
    ],
)
def test_questions_that_cannot_be_meant_are_one_line(cache_root, asked, error, said):
    plant(cache_root, counts=COUNTS)
    plant(cache_root, counts=COUNTS, backbone="second")
    with pytest.raises(error, match=said) as caught:
        probe("planted", backbone="fake", cache_dir=cache_root, **asked, **QUICK)
    assert "\n" not in str(caught.value)


def test_patients_never_cross_splits_whatever_the_labels(cache_root, tmp_path):
    path = plant(cache_root, counts=COUNTS)
    with FeatureStore(path) as store:
        ids = [name for group in store.groups for name in store.ids(group).tolist()]
        rows = [f"{name},{'ab'[i % 2]},p{i % 40}" for i, name in enumerate(ids)]
        (tmp_path / "p.csv").write_text("\n".join(["id,label,patient", *rows]))
        with pytest.raises(DataError, match=r"patients .* are in more than one split"):
            Question(labels=tmp_path / "p.csv").of(store)
        rows = [f"{name},{'ab'[i % 2]},p{i},{name.split('/')[0]}" for i, name in enumerate(ids)]
        (tmp_path / "p.csv").write_text("\n".join(["id,label,patient,split", *rows]))
        task = Question(labels=tmp_path / "p.csv").of(store)
    pairs = {(patient, split) for patient, split in zip(task.group.tolist(), task.split.tolist(), strict=True)}
    assert len(pairs) == len(np.unique(task.group))


def test_words_are_grades_only_in_an_order_that_was_said(cache_root, tmp_path):
    path = plant(cache_root, counts=COUNTS)
    labels = write_labels(tmp_path / "severity.csv", path, lambda i: ("mild", "low", "severe")[i % 3])
    with FeatureStore(path) as store:
        with pytest.raises(DataError, match="--classes"):
            Question("ordinal-regression", labels).of(store)
        task = Question("ordinal-regression", labels, classes="low,mild,severe").of(store)
        assert (task.classes, task.labels[:3, 0].tolist()) == (("low", "mild", "severe"), [1, 0, 2])
        words = Question(relabel="0=severe;1=low;2=mild", name="words").of(store)
        with pytest.raises(UsageError, match="tell no order"):
            retype(words, "ordinal-regression")
        assert retype(words, "multi-class").classes == ("severe", "low", "mild")
        grades = Question(relabel="0=0;1=1;2=2", name="grades").of(store)
        assert retype(grades, "ordinal-regression").name == "grades-ordinal-regression"
        assert retype(grades, "ordinal-regression", name="mine").name == "mine"


def test_a_class_that_train_never_shows_is_said_beside_the_score(cache_root, tmp_path):
    path = plant(cache_root, counts=COUNTS)
    with FeatureStore(path) as store:
        rows = [f"{name},{'rare' if name.startswith('test') and i % 5 == 0 else 'ab'[i % 2]}"
                for group in store.groups for i, name in enumerate(store.ids(group).tolist())]  # fmt: skip
    (tmp_path / "rare.csv").write_text("\n".join(["id,label", *rows]))
    report = probe("planted", labels=tmp_path / "rare.csv", head="linear", cache_dir=cache_root, **QUICK)
    said = "train never shows rare, which is in test"
    assert said in report.runs[0].cautions
    assert said in report.to_dict()["runs"][0]["cautions"]
    assert any(said in cell for row in report.tables()[0].rows for cell in row)
