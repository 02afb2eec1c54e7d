"""New labels for a store from a CSV."""

import numpy as np
import pytest

from medfeat.errors import DataError, MissingFileError
from medfeat.tasks import from_csv, gather, official, save_task, tasks_folder
from medfeat.types import SilentProgress, Task

from .stores import COUNTS, labels_of, vector, write_store

IDS = [f"{group}/{i}" for group, n in COUNTS.items() for i in range(n)]
OWN = [f"p{i // 2}/{i}.png" for i in range(40)]


@pytest.fixture
def store(cache_root):
    return write_store(cache_root)


@pytest.fixture
def own_store(cache_root):
    return write_store(cache_root, dataset="mine", groups={"all": OWN}, labels=False, task=None)


def written(tmp_path, header, rows, name="labels.csv", **options):
    text = "\n".join([header, *rows]) + "\n"
    (tmp_path / name).write_text(text, **options)
    return tmp_path / name


def test_labels_join_by_id_and_keep_the_official_split(tmp_path, store):
    order = np.random.default_rng(0).permutation(IDS)
    path = written(tmp_path, "id,label", [f"{name},{'ill' if name.endswith('3') else 'well'}" for name in order])
    task = from_csv(path, store)
    assert (task.name, task.task_type, task.classes) == ("labels", "binary-class", ("ill", "well"))
    assert all(name.startswith(split) for name, split in zip(task.ids, task.split, strict=True))
    test = gather(store, task).test
    np.testing.assert_array_equal(test.X, [vector(name) for name in test.ids])
    assert [name.endswith("3") for name in test.ids] == [label == 0 for label in test.y[:, 0]]
    assert task.origin == "labels of labels.csv, split of the dataset"


def test_whole_numbers_are_classes_unless_a_regression_is_asked_for(tmp_path, store):
    path = written(tmp_path, "id,grade", [f"{name},{i % 12}" for i, name in enumerate(IDS)])
    classes = from_csv(path, store)
    assert classes.classes == tuple(map(str, range(12)))
    numbers = from_csv(path, store, task_type="regression")
    assert numbers.classes == ("grade",)
    assert numbers.labels.dtype == np.float64
    np.testing.assert_array_equal(numbers.labels, classes.labels)
    assert from_csv(path, store, task_type="ordinal-regression").task_type == "ordinal-regression"


def test_fractions_are_a_regression(tmp_path, store):
    path = written(tmp_path, "id;age", [f"{name};{i + 0.5}" for i, name in enumerate(IDS)])
    assert from_csv(path, store).task_type == "regression"


def test_several_columns_are_several_labels_or_targets(tmp_path, store):
    both = written(tmp_path, "id,a,b", [f"{name},{i % 2},1" for i, name in enumerate(IDS)])
    assert (from_csv(both, store).task_type, from_csv(both, store).classes) == ("multi-label", ("a", "b"))
    rows = [f"{name},{i % 2},1,train" for i, name in enumerate(IDS[:10])]
    path = written(tmp_path, "id,mass,fluid,split", rows)
    targets = from_csv(path, store, task_type="regression", partial=True)
    assert targets.labels.shape == (10, 2)
    one = from_csv(path, store, columns=["mass"], partial=True)
    assert (one.task_type, one.classes) == ("binary-class", ("0", "1"))


def test_a_split_column_wins_and_patients_are_kept_apart(tmp_path, own_store):
    rows = [f"/data/scans/{name},{i % 2},{'Training' if i < 30 else 'test'},{name[:3]}" for i, name in enumerate(OWN)]
    task = from_csv(written(tmp_path, "path,label,split,patient", rows), own_store)
    assert (task.split == "train").sum() == 30
    assert task.group[0] == "p0/"
    np.testing.assert_array_equal(task.ids, OWN)
    crossing = [row.replace("test", "val") if i % 2 else row for i, row in enumerate(rows)]
    with pytest.raises(DataError, match=r"5 patients .*more than one split: p15, p16, p17, \.\.\."):
        from_csv(written(tmp_path, "path,label,split,patient", crossing), own_store)


def test_a_column_of_splits_by_another_name_is_taken_and_said(tmp_path, own_store):
    rows = [f"{name},{i % 2},{'train' if i < 30 else 'test'}" for i, name in enumerate(OWN)]
    path, progress = written(tmp_path, "id,label,Set Type", rows), SilentProgress()
    task = from_csv(path, own_store, columns=["label"], progress=progress)
    assert (task.split == "train").sum() == 30 and (task.split == "test").sum() == 10
    assert progress.said == [f"{path}: the column Set Type is taken for the split"]
    twice = written(tmp_path, "id,label,tvt,role", [f"{row},{row.rpartition(',')[2]}" for row in rows])
    with pytest.raises(DataError, match="the columns tvt and role could both be the split; call one split"):
        from_csv(twice, own_store, columns=["label"])


@pytest.mark.parametrize("path", [OWN[1], f"/data/{OWN[1]}", f"C:\\x\\{OWN[1]}".replace("/", "\\")])
def test_a_row_whose_id_and_path_are_two_images_is_refused(tmp_path, own_store, path):
    rows = [f"{name},{path if i == 0 else f'/old/{name}'},{i % 2}" for i, name in enumerate(OWN)]
    with pytest.raises(DataError, match=r"id p0/0.png and path .*1.png of one row are two images of the store; mend"):
        from_csv(written(tmp_path, "id,path,label", rows), own_store)
    alike = [f"{name},{'elsewhere.png' if i == 0 else f'/old/{name}'},{i % 2}" for i, name in enumerate(OWN)]
    assert len(from_csv(written(tmp_path, "id,path,label", alike), own_store).ids) == len(OWN)


def test_a_row_without_a_patient_is_named(tmp_path, own_store):
    rows = [f"{name},{i % 2},{'' if i in (3, 7) else name[:3]}" for i, name in enumerate(OWN)]
    with pytest.raises(DataError, match=f"2 rows have no patient: {OWN[3]}, {OWN[7]}; name one in each"):
        from_csv(written(tmp_path, "id,label,patient", rows), own_store)


def test_without_any_split_one_is_drawn_by_patient(tmp_path, own_store):
    rows = [f"{name},{i % 4 // 2},{name.split('/')[0]}" for i, name in enumerate(OWN)]
    path = written(tmp_path, "id,label,patient", rows)
    task = from_csv(path, own_store, seed=3)
    assert {"train", "val", "test"} == set(task.split)
    np.testing.assert_array_equal(task.split, from_csv(path, own_store, seed=3).split)
    assert "split stratified 70/10/20 by patient from seed 3: " in task.origin
    numbers = written(tmp_path, "id,age", [f"{name},{i}.5" for i, name in enumerate(OWN)])
    assert set(from_csv(numbers, own_store).split) == {"train", "val", "test"}


def test_own_images_keep_the_split_and_patients_of_their_own_task(tmp_path, own_store):
    split = np.array((["train"] * 6 + ["val"] * 2 + ["test"] * 2) * 4)
    patients = np.array([name.split("/")[0] for name in OWN])
    own = Task("official", "binary-class", ("a", "b"), np.array(OWN), labels_of(OWN, 2), split, patients)
    save_task(own, tasks_folder(own_store))
    shuffled = OWN[::-1]
    task = from_csv(written(tmp_path, "id,label", [f"{name},{i % 3}" for i, name in enumerate(shuffled)]), own_store)
    np.testing.assert_array_equal(task.split, split[::-1])
    np.testing.assert_array_equal(task.group, patients[::-1])
    np.testing.assert_array_equal(official(own_store).split, split)


def test_samples_without_a_label_are_refused_unless_allowed_and_then_counted(tmp_path, store):
    path = written(tmp_path, "id,label", [f"{name},{'' if i < 4 else i % 3}" for i, name in enumerate(IDS)])
    with pytest.raises(
        DataError, match=r"4 of 60 stored ids have no label: train/0, train/1, train/2, \.\.\.; .*--partial"
    ):
        from_csv(path, store)
    task = from_csv(path, store, partial=True)
    assert len(task.ids) == 56
    assert "4 samples without a label left out" in task.origin


@pytest.mark.parametrize(
    ("header", "rows", "said"),
    [
        ("id,label", ["train/0,1", "nobody,0"], "1 of 2 ids are not in the store: nobody; ids there look like train/0"),
        ("id,label", ["train/0,1", "train/0,0", "val/1,1"], "1 id is given more than once: train/0; keep one"),
        ("path,label", ["train/0,1", "x/train/0,0"], "1 id is given more than once: train/0"),
        (
            "name,label",
            ["train/0,1"],
            "columns must be id .or path. and label.s., each once; its header is name, label",
        ),
        ("id", ["train/0"], "its header is id"),
        ("id,label,label", ["train/0,1,1"], "each once"),
        ("id,label", [], "no rows"),
        ("id,label", ["train/0"], "1 row has not 2 cells, first train/0"),
        ("id,label", ['train/0,"1'], "check the quotes of this line"),
        ("", [], "its header is empty"),
        ("id,label", ["train/0,"], "every label is empty in label"),
        ("id,a,b", ["train/0,1,2"], "id train/0: column 'b' must be 0 or 1"),
        ("id,label,split", ["train/0,1,later", "train/1,0,train"], "split must be train, val or test, got 'later'"),
    ],
)
def test_a_file_that_cannot_be_meant_is_one_clear_line(tmp_path, store, header, rows, said):
    with pytest.raises(DataError, match=said) as caught:
        from_csv(written(tmp_path, header, rows), store, partial=True)
    assert "\n" not in str(caught.value)


def test_columns_and_types_that_do_not_fit_are_refused(tmp_path, store):
    path = written(tmp_path, "id,label", [f"{name},{i % 3}" for i, name in enumerate(IDS)])
    with pytest.raises(DataError, match="no column 'age'; its header is id, label"):
        from_csv(path, store, columns=["age"])
    with pytest.raises(DataError, match=r"has 3 classes \(0, 1, 2\), a binary one has 2"):
        from_csv(path, store, task_type="binary-class")
    words = written(tmp_path, "id,label", [f"{name},tall" for name in IDS])
    with pytest.raises(DataError, match="must be a number, got 'tall'"):
        from_csv(words, store, task_type="regression")


def test_a_missing_or_foreign_file_is_named(tmp_path, store):
    with pytest.raises(MissingFileError, match=r"there is no file .*none.csv"):
        from_csv(tmp_path / "none.csv", store)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00id")
    with pytest.raises(DataError, match="no UTF-16 text"):
        from_csv(tmp_path / "binary.csv", store)


def test_cells_may_hold_anything_that_is_quoted(tmp_path, store):
    rows = [f'"{name}","{"one, or" if i % 2 else "two"}\u2028\nmore"' for i, name in enumerate(IDS)]
    task = from_csv(written(tmp_path, "id,label", rows, encoding="utf-8"), store)
    assert task.classes == ("one, or\u2028\nmore", "two\u2028\nmore")


def test_a_label_that_says_there_is_none_is_missing_with_its_line(tmp_path, store):
    rows = [f"{name},{'nan' if i == 2 else 'ab'[i % 2]}" for i, name in enumerate(IDS)]
    path = written(tmp_path, "id,label", rows)
    with pytest.raises(DataError, match=r"1 of 60 stored ids have no label: train/2 \(line 4 says 'nan'\); .*partial"):
        from_csv(path, store)
    task = from_csv(path, store, partial=True)
    assert (task.classes, len(task.ids)) == (("a", "b"), 59)


def test_a_word_that_may_be_a_class_is_refused_until_classes_say_it(tmp_path, store):
    words = ("none", "mild", "severe")
    path = written(tmp_path, "id,label", [f"{name},{words[i % 3]}" for i, name in enumerate(IDS)])
    with pytest.raises(DataError, match="line 2: the label 'none' may be a class"):
        from_csv(path, store, partial=True)
    grades = from_csv(path, store, task_type="ordinal-regression", classes="none,mild,severe")
    assert (grades.classes, grades.labels[:3, 0].tolist()) == (words, [0, 1, 2])
    assert len(from_csv(path, store, classes="mild,severe", partial=True).ids) == 40


def test_one_hot_columns_are_classes_when_asked_for(tmp_path, store):
    path = written(tmp_path, "id,a,b", [f"{name},{i % 2},{1 - i % 2}" for i, name in enumerate(IDS)])
    task = from_csv(path, store, task_type="multi-class")
    assert (task.task_type, task.classes, task.labels[:2, 0].tolist()) == ("multi-class", ("a", "b"), [1, 0])
