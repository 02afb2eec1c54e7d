"""What labels mean as people write them: what is missing, a number, one class, an order."""

import unicodedata

import numpy as np
import pytest

from medfeat.datasets import open_dataset
from medfeat.datasets.labels.class_spelling import BadLabel, class_list, tell_classes
from medfeat.datasets.labels.labelling import one_column, several_columns
from medfeat.errors import DataError, UsageError
from medfeat.types import SilentProgress

WORDS = ("none", "mild", "moderate", "severe")


def read(*texts, task=None, wanted=()):
    found = one_column(texts, "label", task, wanted)
    return found.task, found.classes, found.values[:, 0].tolist()


@pytest.fixture
def opened(tmp_path, write_png):
    """Open labels as a folder, a CSV or an npz of pictures, each label twice; what was said is in the second value."""

    def open_as(kind, labels, **options):
        progress, labels = SilentProgress(), [*labels, *labels]
        if kind == "npz":
            np.savez(tmp_path / "own.npz", images=np.zeros((len(labels), 4, 4), np.uint8), labels=np.array(labels))
            return open_dataset(tmp_path / "own.npz", progress=progress, **options), progress.said
        for i, label in enumerate(labels):
            write_png(tmp_path / "set" / (str(label) if kind == "folder" else "") / f"{i}.png", (4, 4))
        if kind == "folder":
            return open_dataset(tmp_path / "set", progress=progress, **options), progress.said
        rows = "".join(f"{i}.png,{label}\n" for i, label in enumerate(labels))
        (tmp_path / "set" / "own.csv").write_text(f"path,label\n{rows}", encoding="utf-8")
        return open_dataset(tmp_path / "set" / "own.csv", progress=progress, **options), progress.said

    return open_as


@pytest.mark.parametrize("word", ["nan", "NaN", "NA", "N/A", "None", "null", "-", "#N/A", "?", "unknown", "", ".", " "])
@pytest.mark.parametrize("others", [("benign", "malignant"), ("1.5", "0.25"), ("0", "1")])
def test_a_missing_label_is_named_and_never_a_class(word, others):
    with pytest.raises(BadLabel) as error:
        read(*others, word, *others, word)
    assert error.value.rows == (2, 5)
    assert "line 4" in error.value.told("own.csv", [f"line {row + 2}" for row in range(6)])
    assert "line 7" in error.value.told("own.csv", [f"line {row + 2}" for row in range(6)])


def test_a_word_for_nothing_is_a_class_when_classes_name_it():
    assert read(*WORDS, wanted=WORDS) == ("multi-class", WORDS, [0, 1, 2, 3])
    assert read("Unknown", "cyst", wanted=("cyst", "Unknown")) == ("binary-class", ("cyst", "Unknown"), [1, 0])


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (("3,5", "4", "0,25"), [3.5, 4, 0.25]),
        (("1.000,5", "2,5"), [1000.5, 2.5]),
        (("1,000.5", "2.5"), [1000.5, 2.5]),
        (("12,345", "1.5"), [12345, 1.5]),
        (("0,123", "1,234"), [0.123, 1.234]),
        (("1e3", "2.5"), [1000, 2.5]),
        (("45.5%", "50 %"), [45.5, 50]),
        (("\u22121.5", "2"), [-1.5, 2]),
        (("1\u00a0000,5", "2"), [1000.5, 2]),
    ],
)
def test_numbers_are_read_as_they_are_written(texts, values):
    assert read(*texts) == ("regression", ("label",), values)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (("1,234", "2,500"), "may be 1.234 or 1234"),
        (("1.5", "2,5"), "decimal comma"),
        (("1.5", "tall", "2"), "'tall' in column 'label' is no number"),
        (("inf", "1.5"), "'inf'"),
        (("inf", "1", "2"), "no finite number"),
        (("-1", "0", "1"), "below class 0"),
    ],
)
def test_what_is_half_a_number_is_refused(texts, said):
    with pytest.raises(BadLabel, match=said):
        read(*texts)


@pytest.mark.parametrize(
    ("texts", "classes"),
    [
        (("0", "0.0", "1"), ("0", "1")),
        (("1", "01", "2"), ("1", "2")),
        (("a b", "a\u00a0b", "x"), ("a b", "x")),
        (("a", "a\u200b", "x"), ("a", "x")),
        ((unicodedata.normalize("NFD", "é"), "é", "x"), ("x", "é")),
    ],
)
def test_spellings_that_look_alike_are_one_class_and_said(texts, classes):
    found = one_column(texts, "label")
    assert found.classes == classes
    assert found.values[0] == found.values[1] != found.values[2]
    assert any("one class" in line for line in found.said)


def test_capitals_are_refused_until_classes_say_what_is_meant():
    with pytest.raises(BadLabel, match="in capitals alone"):
        read("Benign", "x", "benign")
    assert read("Benign", "x", "benign", wanted=("benign", "x"))[2] == [0, 1, 0]
    assert read("Benign", "x", "benign", wanted=("Benign", "benign", "x"))[2] == [0, 2, 1]


@pytest.mark.parametrize(
    ("texts", "order"),
    [
        (("10", "9", "2"), ("2", "9", "10")),
        (("grade10", "grade2", "grade1"), ("grade1", "grade2", "grade10")),
        (("T2", "T1b", "T1a"), ("T1a", "T1b", "T2")),
        (("stage IV", "stage I", "stage IX", "stage V"), ("stage I", "stage IV", "stage V", "stage IX")),
        (("V", "I", "IV"), ("I", "IV", "V")),
    ],
)
def test_names_that_hold_an_order_are_grades_in_it(texts, order):
    found = one_column(texts, "label", "ordinal-regression")
    assert found.classes == order
    assert [found.classes[i] for i in found.values[:, 0]] == list(texts)
    assert found.said[-1] == f"grades from least to most: {' < '.join(order)}"


@pytest.mark.parametrize("kind", ["folder", "csv", "npz"])
def test_words_are_no_grades_until_their_order_is_said(opened, kind):
    with pytest.raises(DataError, match="--classes"):
        opened(kind, ["mild", "moderate", "low", "severe"], task="ordinal-regression")


@pytest.mark.parametrize("kind", ["folder", "csv", "npz"])
def test_classes_are_the_scale_and_it_is_said(opened, kind):
    dataset, said = opened(kind, ["severe", *WORDS[:3]], task="ordinal-regression", classes=",".join(WORDS))
    assert (dataset.info.task, dataset.info.classes) == ("ordinal-regression", WORDS)
    assert sorted(dataset.labels("all")[:, 0].tolist()) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert any("none < mild < moderate < severe" in line for line in said)


@pytest.mark.parametrize("kind", ["folder", "csv", "npz"])
def test_classes_must_be_exactly_those_there_are(opened, kind):
    with pytest.raises(UsageError, match="not there: grave; not named: moderate"):
        opened(kind, ["mild", "moderate", "severe"], classes="mild,severe,grave")


@pytest.mark.parametrize("kind", ["folder", "csv", "npz"])
@pytest.mark.parametrize(
    ("labels", "task", "said"),
    [
        (["a", "b", "c"], "binary-class", r"has 3 classes \(a, b, c\), a binary one has 2"),
        (["a", "b"], "regression", "must be a number, got 'a'"),
    ],
)
def test_a_type_that_labels_cannot_be_is_refused(opened, kind, labels, task, said):
    with pytest.raises(DataError, match=said):
        opened(kind, labels, task=task)


@pytest.mark.parametrize("kind", ["csv", "npz"])
@pytest.mark.parametrize("task", ["binary-class", "multi-class", "ordinal-regression"])
def test_one_class_is_no_task_and_without_one_no_label(opened, kind, task):
    with pytest.raises(DataError, match=r"has 1 class \(1\)|has 1 class \(a\)"):
        opened(kind, ["a"], task=task)
    dataset, said = opened(kind, ["a"])
    assert dataset.info.task is None and dataset.labels("all") is None
    assert any("one class asks nothing" in line for line in said)


def test_a_folder_named_after_nothing_is_a_class_and_said(opened):
    dataset, said = opened("folder", ["unknown", "cyst"])
    assert dataset.info.classes == ("cyst", "unknown")
    assert any("'unknown' is taken for a class" in line for line in said)


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_more_classes_than_half_the_images_are_said(opened, kind):
    _, said = opened(kind, ["a", "b"])
    assert said == []
    _, said = opened(kind, [1, 2, 0, 3])
    assert said == []
    found = one_column([f"p{i}" for i in range(9)], "label")
    assert "9 classes in 9 labels" in found.said[0]


def test_one_hot_columns_are_classes_when_that_is_asked_and_hinted_at_otherwise():
    columns, names = [["1.0", "0", "False"], ["0", "1", "0"], ["0", "0", "TRUE"]], ("MEL", "NV", "BCC")
    found = several_columns(columns, names, "multi-class")
    assert (found.task, found.classes, found.values.tolist()) == ("multi-class", names, [[0], [1], [2]])
    plain = several_columns(columns, names)
    assert plain.task == "multi-label" and "--task multi-class" in plain.said[0]
    with pytest.raises(BadLabel) as error:
        several_columns([["1", "1", "0"], ["0", "1", "0"]], ("a", "b"), "multi-class")
    assert error.value.rows == (1, 2)


def test_classes_are_read_between_commas_or_as_a_sequence():
    assert class_list('mild, "left, upper",severe') == ("mild", "left, upper", "severe")
    assert class_list(["a, b", "c"]) == ("a, b", "c")
    for wrong in ("a,,b", "a,a", ""):
        with pytest.raises(UsageError, match="each class once"):
            class_list(wrong)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["12 mm", "9.5 mm", "10 mm"], "'10 mm' is taken for a class; drop the unit"),
        (["5%", "10mm", "x"], ""),
        (["1e3", "2e3", "1500"], "numbers such as 1e3 are taken for classes"),
        (["-1", "-2", "3"], "numbers such as -2 are taken for classes"),
        (["1a", "1b", "2a"], ""),
        (["1", "2", "3"], ""),
    ],
)
def test_measurements_that_are_taken_for_classes_are_said(labels, said):
    told = [line for line in tell_classes(labels * 3).said if "taken for" in line and "class" in line]
    assert bool(told) == bool(said)
    assert not said or told[0].startswith(said)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["0", "1", "999"], "999 is a class; empty these cells"),
        (["0", "50", "99"], ""),
        (["TRUE", "FALSE", "1"], "'FALSE' and '1' are different classes"),
        (["COPD", "\u0421OPD"], "mixes CYRILLIC and LATIN letters"),
        (['"benign"', "benign"], "stands in quotes"),
        (["benign", "malignant"], ""),
    ],
)
def test_names_that_look_like_others_are_said(labels, said):
    told = " ".join(tell_classes(labels * 4).said)
    assert said in told and bool(told) == bool(said)


def test_several_labels_in_a_cell_are_no_class(opened):
    with pytest.raises(DataError, match=r"'a\|b' names several labels, and multi-class takes one"):
        opened("csv", ["a|b", "a", "b"], task="multi-class")
    assert opened("csv", ["a|b", "a", "b"], task="multi-class", classes="a,b,a|b")[0].info.classes == ("a", "b", "a|b")
