"""A CSV of own images: what it may say, and the line of what it may not."""

import numpy as np
import pytest

from medfeat.datasets import open_dataset, source_task
from medfeat.errors import DataError
from medfeat.types import SilentProgress


@pytest.fixture
def images(tmp_path, write_png):
    for name in "abcdef":
        write_png(tmp_path / "img" / f"{name}.png")
    return tmp_path


@pytest.fixture
def table(images):
    def write(text, name="labels.csv", encoding="utf-8"):
        path = images / name
        path.write_bytes(text.encode(encoding))
        return path

    return write


def labels(dataset):
    return dict(zip(dataset.ids("all").tolist(), dataset.labels("all").tolist(), strict=True))


def test_paths_and_labels(table, read_all):
    dataset = open_dataset(table("path,label\nimg/b.png,sick\nimg/a.png,well\n"))
    assert dataset.info.classes == ("sick", "well") and dataset.info.task == "binary-class"
    assert labels(dataset) == {"img/a.png": [1], "img/b.png": [0]}
    assert list(read_all(dataset, "all")) == ["img/a.png", "img/b.png"]
    assert dataset.info.name == "labels"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("path,label\nimg/a.png,x\nimg/b.png,y\n", "utf-8-sig"),
        ("path;label\nimg/a.png;x\nimg/b.png;y\n", "utf-8"),
        ("path\tlabel\r\nimg/a.png\tx\r\nimg/b.png\ty\r\n", "utf-8"),
        ('path,label\n"img/a.png", x\n\nimg/./b.png,y', "utf-8"),
        ("path,label\nimg\\a.png,x\nimg\\b.png,y\n", "utf-8"),
        ("path,label,,\nimg/a.png,x,,\nimg/b.png,y\n,,,\n", "utf-8"),
        ("path,,label,,\nimg/a.png,,x,,\nimg/b.png,,y,,\n", "utf-8"),
        ("sep=;\r\npath;label\r\nimg/a.png;x\r\nimg/b.png;y\r\n", "utf-8-sig"),
        ("Path,LABEL\nimg/a.png,x\nimg/b.png,y\n", "utf-8"),
    ],
    ids=["bom", "semicolon", "tab", "loose", "windows", "trailing", "empty columns", "sep", "capitals"],
)
def test_csv_as_other_programs_write_it(table, text, encoding):
    assert labels(open_dataset(table(text, encoding=encoding))) == {"img/a.png": [0], "img/b.png": [1]}


def test_columns_are_chosen_and_paths_start_where_one_says(table, images):
    path = table("file,age,who,part\na.png,3.5,p1,train\nb.png,4,p2,test\n")
    dataset = open_dataset(
        path,
        data_root=images / "img",
        path_column="file",
        label_column="age",
        patient_column="who",
        split_column="part",
    )
    assert (dataset.info.task, dataset.info.classes) == ("regression", ("age",))
    assert labels(dataset) == {"a.png": [3.5], "b.png": [4.0]}
    assert dataset.patients.tolist() == ["p1", "p2"] and dataset.split.tolist() == ["train", "test"]


def test_several_label_columns_are_a_multi_label_set(table):
    path = table("path,edema,mass\nimg/a.png,1,0\nimg/b.png,0,0\n")
    dataset = open_dataset(path, label_column="edema,mass")
    assert (dataset.info.task, dataset.info.classes) == ("multi-label", ("edema", "mass"))
    assert labels(dataset) == {"img/a.png": [1, 0], "img/b.png": [0, 0]}


def test_labels_between_bars_are_a_multi_label_set(table):
    dataset = open_dataset(table("path,label\nimg/a.png,mass|edema\nimg/b.png,|\nimg/c.png,mass\n"))
    assert (dataset.info.task, dataset.info.classes) == ("multi-label", ("edema", "mass"))
    assert labels(dataset) == {"img/a.png": [1, 1], "img/b.png": [0, 0], "img/c.png": [0, 1]}


@pytest.mark.parametrize(
    ("values", "asked", "task", "classes"),
    [
        (("0", "1", "2"), None, "multi-class", ("0", "1", "2")),
        (("0", "1", "2"), "ordinal-regression", "ordinal-regression", ("0", "1", "2")),
        (("10", "9", "9"), None, "binary-class", ("9", "10")),
        (("1.5", "2", "3"), None, "regression", ("label",)),
        (("1", "2", "3"), "regression", "regression", ("label",)),
        (("a", "b", "b"), "multi-label", "multi-label", ("a", "b")),
    ],
)
def test_what_labels_mean_is_told_from_them_or_declared(table, values, asked, task, classes):
    rows = "".join(f"img/{name}.png,{value}\n" for name, value in zip("abc", values, strict=True))
    info = open_dataset(table(f"path,label\n{rows}"), task=asked).info
    assert (info.task, info.classes) == (task, classes)


def test_no_label_column_means_no_labels(table):
    assert open_dataset(table("path\nimg/a.png\n")).labels("all") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("path,label\n", "no rows"),
        ("file,label\nimg/a.png,x\n", "line 1: no column 'path'; it has file, label"),
        ("path,label,label\nimg/a.png,x,y\n", "line 1: the column 'label' is there twice"),
        ("path,label\nimg/a.png,x\nimg/b.png\n", "line 3: 1 cell where the header has 2"),
        ("path,label\nimg/a.png,x\nimg/b.png,y\nimg/a.png,x\n", "line 4: img/a.png is named in line 2 already"),
        ("path,label\nimg/a.png,x\nimg/../img/a.png,x\n", "line 3: img/../img/a.png is named in line 2 already"),
        ("path,label\nimg/a.png,x\n,y\n", "line 3: the path is empty"),
        ("path,label\nimg/a.png,x\nimg/b.png,\n", "line 3: the label in column 'label' is empty"),
        ("path,label\nimg/a.png,x\n../secret.png,y\n", "line 3: ../secret.png lies outside"),
        ("path,label\n/etc/passwd,x\n", "line 2: /etc/passwd lies outside"),
        (
            "path,label,split\nimg/a.png,x,train\nimg/b.png,y,later\n",
            "line 3: split must be train, val or test, got 'l",
        ),
        ("path,label,split\nimg/a.png,x,train\nimg/b.png,y,\n", "line 3: split must be train, val or test, got ''"),
        ("path,label,patient\nimg/a.png,x,p\nimg/b.png,y,\n", "line 3: patient is empty"),
        ("path,label,Patient\nimg/a.png,x,p\nimg/b.png,y, \n", "line 3: Patient is empty"),
        ('path,label\n"img/a.png,x\n', "line 2: "),
        (
            "path,label,Label\nimg/a.png,x,y\n",
            "line 1: label and Label could both be the label; name one with --label-",
        ),
        ("Path,path\nimg/a.png,img/b.png\n", "line 1: Path and path could both be the path; name one with --path-"),
        ("path,Group\nimg/a.png,train\nimg/b.png,test\nimg/c.png,\n", "line 4: Group must be train, val or test, got"),
        ("path,split\nimg/a.png,train\nimg/b.png,trainval\n", "'trainval' is train and val together and would repeat"),
        (
            "path,Label,LABEL\nimg/a.png,x,y\n",
            "line 1: Label and LABEL could both be the label; name one with --label-",
        ),
        ("path,label,,\nimg/a.png,x,,\nimg/b.png\n", "line 3: 1 cell where the header has 4"),
        ("path,label,,\nimg/a.png,x,y,z\n", "line 1: the column '' is there twice"),
        ("sep=;\nfile;label\nimg/a.png;x\n", "line 2: no column 'path'"),
        ("sep=;\npath;label\nimg/a.png;\n", "line 3: the label in column 'label' is empty"),
        (
            "path,label,Split,Patient\nimg/a.png,x,Train,p1\nimg/b.png,y,Test,p1\n",
            "line 3: patient p1 is in test here and in train in line 2",
        ),
        (
            "path,label,split,patient\nimg/a.png,x,train,p1\nimg/b.png,y,val,p2\nimg/c.png,y,test,p1\n",
            "line 4: patient p1 is in test here and in train in line 2",
        ),
    ],
)
def test_every_problem_names_its_line(table, text, problem):
    path = table(text)
    with pytest.raises(DataError) as error:
        open_dataset(path)
    assert problem in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"label_column": "grade"}, "line 1: no column 'grade'; it has path, a, b"),
        ({"split_column": "part"}, "line 1: no column 'part'"),
        ({"patient_column": "who"}, "line 1: no column 'who'"),
        ({"label_column": "a,b"}, "line 3: column 'b' must be 0 or 1, as each of several label columns, got '7'"),
        ({"label_column": "c", "task": "regression"}, "no column 'c'"),
    ],
)
def test_a_column_that_is_not_there_or_not_binary_is_told(table, options, problem):
    path = table("path,a,b\nimg/a.png,1,0\nimg/b.png,0,7\n")
    with pytest.raises(DataError) as error:
        open_dataset(path, **options)
    assert problem in str(error.value)


def test_a_regression_label_that_is_no_number_names_its_line(table):
    with pytest.raises(DataError, match="line 3: column 'label' must be a number, got 'tall'"):
        open_dataset(table("path,label\nimg/a.png,1.5\nimg/b.png,tall\n"), task="regression")


def test_roles_in_capitals_are_used(table):
    dataset = open_dataset(table("path,Label,Split,Patient\nimg/a.png,x,Train,p1\nimg/b.png,y,Test,p2\n"))
    assert dataset.patients.tolist() == ["p1", "p2"] and dataset.split.tolist() == ["train", "test"]
    assert dataset.info.classes == ("x", "y")


@pytest.mark.parametrize("column", ["patient_id", "PatientID", "subject", "Subject ID"])
def test_a_column_that_looks_like_patients_and_is_not_used_is_told(table, column):
    path = table(f"path,label,{column}\nimg/a.png,x,p1\nimg/b.png,y,p2\n")
    progress = SilentProgress()
    assert open_dataset(path, progress=progress).patients is None
    (line,) = progress.said
    assert f"the column {column} is not used" in line and f"--patient-column {column}" in line
    progress = SilentProgress()
    assert open_dataset(path, patient_column=column, progress=progress).patients.tolist() == ["p1", "p2"]
    open_dataset(path, label_column=column, progress=progress)
    assert progress.said == []


def test_another_encoding_is_told(table):
    progress = SilentProgress()
    dataset = open_dataset(table("path,label\nimg/a.png,straße\nimg/b.png,weg\n", encoding="cp1252"), progress=progress)
    assert dataset.info.classes == ("straße", "weg")
    assert any("read as Windows-1252" in line and "'straße'" in line for line in progress.said)


def test_what_is_text_in_no_encoding_is_refused(table, tmp_path):
    (tmp_path / "labels.csv").write_bytes(b"path,label\nimg/a.png,\x81\x8d\n")
    with pytest.raises(DataError, match="no UTF-8 text"):
        open_dataset(tmp_path / "labels.csv")


def test_a_missing_image_is_bad_with_its_line_and_the_others_go_on(table, read_all):
    dataset = open_dataset(table("path,label\nimg/a.png,x\nimg/gone.png,y\nimg/b.png,y\n"))
    found = read_all(dataset, "all")
    assert found["img/gone.png"] == "missing file (line 3 of labels.csv)"
    assert isinstance(found["img/a.png"], np.ndarray) and isinstance(found["img/b.png"], np.ndarray)


def test_rows_in_another_order_and_other_labels_are_the_same_images(table):
    one = open_dataset(table("path,label\nimg/a.png,x\nimg/b.png,y\n"))
    two = open_dataset(table("path,label,split\nimg/b.png,q,train\nimg/a.png,r,test\n", name="other.csv"))
    assert one.ids("all").tolist() == two.ids("all").tolist()
    assert one.info.fingerprint == two.info.fingerprint


def test_patients_are_in_one_split_each(images, write_png, table):
    rows = []
    for patient in range(30):
        for view in range(1 + patient % 4):
            name = f"img/p{patient}_{view}.png"
            write_png(images / name, (4, 4))
            rows.append(f"{name},{'sick' if patient % 3 else 'well'},patient {patient}")
    task = source_task(open_dataset(table("path,label,patient\n" + "\n".join(rows))))
    for patient in np.unique(task.group):
        assert len(set(task.split[task.group == patient])) == 1
    assert set(task.split) == {"train", "val", "test"}
    assert "by patient from seed 0" in task.origin


def split_of(dataset):
    return dict(zip(dataset.ids("all").tolist(), dataset.split.tolist(), strict=True))


@pytest.mark.parametrize(
    ("header", "values", "option"),
    [
        ("split", ("Train ", "VALID", " Testing"), None),
        ("split", ("train_data", "dev", "hold-out"), None),
        ("set", ("train", "val", "test"), None),
        ("Subset", ("Training", "Validation", "Test"), None),
        ("phase", ("train", "eval", "test"), None),
        ("dataset", ("train", "valid", "test"), None),
        ("fold", ("train", "val", "test"), None),
        ("Set Type", ("Train", "Validation", "Test"), None),
        ("Train/Val", ("train", "val", "test"), None),
        ("anything", ("train", "val", "test"), None),
        ("fold", ("0", "1", "2"), "fold:val=1,test=2"),
        ("fold", ("0", "1", "2"), "fold:train=0,val=1,test=2"),
        ("train,val,test", ("1,0,0", "0,1,0", "0,0,1"), None),
        ("is_train,is_test", ("1,0", "0,0", "0,1"), None),
    ],
)
def test_columns_that_tell_the_split(table, header, values, option):
    rows = "".join(f"img/{name}.png,x{name},{value}\n" for name, value in zip("abc", values, strict=True))
    progress = SilentProgress()
    dataset = open_dataset(table(f"path,label,{header}\n{rows}"), split_column=option, progress=progress)
    assert split_of(dataset) == {"img/a.png": "train", "img/b.png": "val", "img/c.png": "test"}
    told = [line for line in progress.said if "taken for the split" in line]
    assert bool(told) == (header != "split" and option is None), progress.said


@pytest.mark.parametrize(
    ("column", "values", "split"),
    [
        ("is_train", ("1", "0", "1"), ["train", "test", "train"]),
        ("is_training_image", ("1", "0", "1"), ["train", "test", "train"]),
        ("is_test", ("True", "False", "False"), ["test", "train", "train"]),
        ("is_valid", ("FALSE", "TRUE", "FALSE"), ["train", "val", "train"]),
    ],
)
def test_a_column_of_yes_and_no_tells_two_splits_and_is_said(table, column, values, split):
    rows = "".join(f"img/{name}.png,x{name},{value}\n" for name, value in zip("abc", values, strict=True))
    progress = SilentProgress()
    assert open_dataset(table(f"path,label,{column}\n{rows}"), progress=progress).split.tolist() == split
    assert any(column in line and "taken for the split" in line for line in progress.said)


@pytest.mark.parametrize(
    ("column", "values", "problem"),
    [
        ("fold", ("0", "1", "2"), "line 1: the column fold (0, 1, 2) tells parts; say which values are val and test"),
        ("partition", ("0", "1", "2"), "such as --split-column partition:val=1,test=2 (the others train), or --split"),
        ("test", ("0", "1", "0"), "test may tell the split, and not one for each image; say which values are which"),
        ("set", ("train", "test", "later"), "the column set has 'train' and 'later'; call each value train, val or"),
        ("split", ("train", "eval", "train"), "'eval' may be val or test, and eval, train do not tell which"),
        ("split", ("0", "1", "2"), "split must be train, val or test, got '0'"),
    ],
)
def test_a_column_of_parts_that_are_not_known_is_refused_with_the_way_to_say_them(table, column, values, problem):
    rows = "".join(f"img/{name}.png,x{name},{value}\n" for name, value in zip("abc", values, strict=True))
    path = table(f"path,label,{column}\n{rows}")
    with pytest.raises(DataError) as error:
        open_dataset(path)
    assert problem in str(error.value) and "\n" not in str(error.value)
    if column != "split":
        assert open_dataset(path, split_column="none").split is None
        assert open_dataset(path, label_column=column).info.classes  # named as the label, it is no split


def test_other_columns_of_such_names_are_no_splits(table):
    path = table(
        "path,label,dataset,test,age,ok\nimg/a.png,x,CheXpert,PCR,1,valid\nimg/b.png,test,MIMIC,none,0,valid\n"
    )
    assert open_dataset(path).split is None


def test_labels_that_are_called_like_splits_are_labels(table):
    dataset = open_dataset(table("path,label\nimg/a.png,train\nimg/b.png,test\n"))
    assert dataset.split is None and dataset.info.classes == ("test", "train")


@pytest.mark.parametrize(("option", "told"), [(None, True), ("none", False)])
def test_paths_that_speak_of_splits_are_said(table, images, write_png, option, told):
    for split in ("train", "test"):
        write_png(images / split / "1.png")
    progress = SilentProgress()
    path = table("path,label\ntrain/1.png,x\ntest/1.png,y\n")
    assert open_dataset(path, split_column=option, progress=progress).split is None
    assert told == any("paths speak of splits (test, train), such as train/1.png, and no" in x for x in progress.said)


def test_two_columns_that_tell_different_splits_are_refused(table):
    with pytest.raises(DataError, match="the columns set and tvt tell different splits; say which one with"):
        open_dataset(table("path,label,set,tvt\nimg/a.png,x,train,test\nimg/b.png,y,test,train\n"))


@pytest.mark.parametrize(
    ("header", "values", "advice"),
    [
        ("subset", ("tr", "va", "te"), "subset:val=va,test=te"),
        ("set", ("T", "V", "E"), "set:val=WHICH,test=WHICH"),
        ("cohort", ("inner", "outer", "External test group"), "cohort:val=WHICH,test=External test group"),
        ("aufteilung", ("Lernen", "Pruefung", "Test"), "aufteilung:val=WHICH,test=Test"),
    ],
)
def test_a_column_that_may_tell_the_split_and_is_not_used_is_said(table, header, values, advice):
    rows = "".join(f"img/{name}.png,x{i % 2},{values[i % 3]}\n" for i, name in enumerate("abc"))
    progress = SilentProgress()
    open_dataset(table(f"path,label,{header}\n{rows}"), progress=progress)
    [line] = [line for line in progress.said if "is not used" in line]
    assert f"--split-column {advice} " in line


def test_the_advice_for_a_split_of_shortened_names_trains_on_the_train_part(table):
    rows = "".join(f"img/{name}.png,x,{part}\n" for name, part in zip("abc", ("tr", "va", "te"), strict=True))
    with pytest.raises(DataError, match="split:val=va,test=te"):
        open_dataset(table(f"path,label,split\n{rows}"))
