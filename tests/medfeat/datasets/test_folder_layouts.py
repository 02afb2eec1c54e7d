"""Folders as people have them: where splits, classes and leavings lie."""

import inspect
import itertools
import os
import sys

import pytest

from medfeat.datasets.splits.split_names import split_word
from medfeat.errors import DataError

from .folders import kinds, listed


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"), ("TRAIN", "train"), ("Training", "train"), ("train_data", "train"),
        ("training_set", "train"), ("TrainingSet", "train"), ("trainset", "train"), ("01_train", "train"),
        ("train images", "train"),
        ("imagesTr", "train"), ("val", "val"), ("valid", "val"), ("Validation", "val"), ("validation-data", "val"),
        ("dev", "val"), ("valset", "val"), ("Test", "test"), ("TESTING", "test"), ("test_data", "test"),
        ("holdout", "test"), ("hold-out", "test"), ("Hold_Out set", "test"), ("imagesTs", "test"), ("eval", "eval"),
        ("evaluation_set", "eval"), ("benign", None), ("control", None), ("contest", None), ("trained", None),
        ("data", None), ("images", None), ("tr", None), ("ts", None), ("1", None), ("latest", None), ("", None),
    ],
)  # fmt: skip
def test_names_of_splits(name, split):
    assert split_word(name) == split


SPLIT_OF_CLASSES = sorted(itertools.product(("train", "test"), "ab"))


@pytest.mark.parametrize(
    "pattern",
    [
        "{train|test}/{a|b}/1.png",
        "{a|b}/{train|test}/1.png",
        "{a|b}/{TRAIN|Test}/1.png",
        "data/{train|test}/{a|b}/1.png",
        "data/data/{train_data|test_data}/{a|b}/1.png",
        "images/{train|test}/{a|b}/1.png",
        "{train|test}/images/{a|b}/1.png",
        "{training_set|holdout}/{a|b}/1.png",
        "{train|test}/{a|b}/{p1|p2}/1.png",
        "{train|test}_{a|b}/1.png",
        "data/{a|b}-{Train|Test}/1.png",
        "{a|b}{Train|Test}/1.png",
        "{seg_train|seg_test}/{a|b}/1.png",
        "{seg_train/seg_train|seg_test/seg_test}/{a|b}/1.png",
        "{train/train|test/test}_{a|b}/1.png",
        "{trainval|test}/{a|b}/1.png",
        "{train|test}/{a|b}/fold_{1|2}/1.png",
    ],
)
def test_splits_are_found_outside_and_inside_classes_and_below_what_holds_everything(tree, pattern):
    assert kinds(tree(pattern)) == sorted(((s, c) for s, c in SPLIT_OF_CLASSES), key=str)


def test_patients_below_splits_inside_classes_are_no_classes(tree):
    root = tree("a/{train|test}/{p1|p2}/1.png", "b/{train|test}/{p3|p4}/1.png")
    assert kinds(root) == sorted(SPLIT_OF_CLASSES, key=str)


def test_a_folder_doubled_by_unpacking_is_one(tree):
    assert kinds(tree("train/train/{a|b}/1.png", "test/test/{a|b}/1.png")) == sorted(SPLIT_OF_CLASSES, key=str)


def test_val_and_test_alone_are_splits_and_no_classes(tree):
    assert kinds(tree("{val|test}/{a|b}/1.png")) == sorted(itertools.product(("val", "test"), "ab"), key=str)


def test_a_folder_train_that_holds_everything_is_the_split_of_everything(tree):
    assert kinds(tree("train/{a|b}/1.png")) == [("train", "a"), ("train", "b")]


def test_tables_and_notes_beside_splits_change_nothing(tree):
    root = tree("{train|test}/{a|b}/1.png", "README.md", "train.csv", "notes/read.me")
    assert kinds(root) == sorted(SPLIT_OF_CLASSES, key=str)
    assert listed(root)[1] == ["3 files are no images and are left out, such as README.md"]


@pytest.mark.parametrize(
    ("pattern", "splits"),
    [("images/{train|val}/1.png", ("train", "val")), ("{train|test}/1.png", ("test", "train")),
     ("images{Tr|Ts}/1.png", ("test", "train"))],
)  # fmt: skip
def test_splits_without_classes_have_no_labels(tree, pattern, splits):
    assert kinds(tree(pattern, "labels/train/1.txt")) == [(split, None) for split in splits]


def test_other_names_of_splits_are_said(tree):
    root = tree("{training_set|dev|eval}/{a|b}/1.png")
    assert listed(root)[1] == ["folders are taken for splits: dev as val, eval as test, training_set as train"]
    assert ("eval/a/1.png", "test", "a") in listed(root)[0]


@pytest.mark.parametrize(
    ("patterns", "problem"),
    [
        (["{train|eval}/{a|b}/1.png"], "'eval' may be val or test, and eval, train do not tell which"),
        (["train/{a|b}/{train|test}/1.png"], "train/a/test/1.png lies in two splits, test and train; rename one"),
        (["{s1|s2}/{train|test}/{a|b}/1.png"], "above the splits (s1, s2) and below them (a, b) could each be the cl"),
        (["a/{train|test}/1.png", "b/1.png"], "b/1.png lies beside the splits test, train; move it away"),
        (["{train|test}/{a|b}/1.png", "plot.png"], "plot.png lies beside the splits test, train; move it away"),
        (["{train|test}/{a|b}/1.png", "c/{a|b}/1.png"], "the folder c lies beside the splits test, train; move it aw"),
        (["train/{a|b}/1.png", "test/1.png"], "test/1.png lies beside the folder a; put every image into a class"),
        (["fold_{1|2|3}/{a|b}/1.png"], "fold_1, fold_2, fold_3 are folds and no classes; name folders train, val"),
        (["{a|b}/fold_{1|2|3}/1.png"], "fold_1, fold_2, fold_3 are folds and no classes; name folders train, val"),
        (["data/{a|b}/{cv1|cv2|test}/1.png"], "cv1, cv2 are folds and no classes"),
        (["{train_a|train_b|test}/1.png"], "the folder train_a names a split and something else, and test beside it"),
        (["{train_a|test_a|c}/1.png"], "the folder test_a names a split and something else, and c beside it does not"),
        (["{s1|s2}_{train|test}/{a|b}/1.png"], "above the splits (s1, s2) and below them (a, b) could each be the cl"),
        (
            ["{train|val|trainval|test}/{a|b}/1.png"],
            "'trainval' is train and val together and would repeat train and v",
        ),
        (["{val|train-val}/{a|b}/1.png"], "'train-val' is train and val together and would repeat val; leave 'train-v"),
    ],
)
def test_mixtures_are_refused_with_what_was_found(tree, patterns, problem):
    root = tree(*patterns)
    with pytest.raises(DataError) as error:
        listed(root)
    assert problem in str(error.value) and str(root) in str(error.value) and "\n" not in str(error.value)


def test_folders_that_join_split_and_class_are_said(tree):
    images, said = listed(tree("{train|test}_{a|b}/1.png"))
    assert ("test_a/1.png", "test", "a") in images
    assert said == ["folders are taken for a split and a class each, such as test_a for test and a"]


def test_a_class_that_joins_split_and_class_and_holds_no_image_is_an_error(tree):
    with pytest.raises(DataError, match=r"not one file of the folder test_b is an image that is read"):
        listed(tree("{train|test}_a/1.png", "train_b/1.png", "test_b/1.heic"))


@pytest.mark.parametrize(
    "classes",
    [
        {"test_positive", "test_negative"}, {"stress_test", "rest"}, {"valid", "invalid"}, {"0", "1", "10"},
        {"07", "8"}, {"grade 1", "grade 2"}, {"class_0", "class_1"}, {"a1", "b2"}, {"fold", "flat"},
        {"trained", "tested"},
    ],
)  # fmt: skip
def test_ordinary_classes_stay_without_a_word(tree, classes):
    images, said = listed(tree(*(f"{name}/1.png" for name in classes)))
    assert {image[1:] for image in images} == {(None, name) for name in classes}
    assert [line for line in said if "classes than half" not in line and "valid is taken for a class" not in line] == []


@pytest.mark.parametrize(
    "folders", ["P{001|002}", "images_{1|2}", "{0001|0002}", "Patient {7|8}", "TCGA-02-{0001|0003}", "train/sub-{01|2}"]
)
def test_numbered_folders_as_classes_are_said(tree, folders):
    _, said = listed(tree(f"{folders}/{{1|2}}.png"))
    (line,) = (line for line in said if line.startswith("numbered folders ("))
    assert "are taken for classes; check that they are no patients and no parts of an archive" in line


@pytest.mark.parametrize(
    ("patterns", "said"),
    [
        (
            ["{a|b}/{train|test}_1.png"],
            "names of images speak of splits (test, train), such as a/test_1.png, and are no",
        ),
        (["{control|test}/1.png"], "the folder test is taken for a class and not for a split"),
        (["{a|b}/1.png", "a/test/2.png"], "the folder a/test is taken for a part of its class and not for a split"),
        (["data/{a|b}/1.png"], "all images lie in the folder data, so they have no labels; where its folders (a, b)"),
    ],
)
def test_what_could_be_meant_otherwise_is_said(tree, patterns, said):
    (line,) = listed(tree(*patterns))[1]
    assert line.startswith(said)


def test_linked_split_folders_are_read(tree, tmp_path):
    root = tree("train/{a|b}/1.png")
    (tmp_path / "elsewhere").mkdir()
    for name in "ab":
        (tmp_path / "elsewhere" / name).mkdir()
        (tmp_path / "elsewhere" / name / "2.png").write_bytes(b"x")
    (root / "test").symlink_to(tmp_path / "elsewhere")
    assert kinds(root) == sorted(SPLIT_OF_CLASSES, key=str)


@pytest.mark.parametrize(
    ("patterns", "link", "target"),
    [
        (["{train|test}/{a|b}/1.png"], "val", "test"),
        (["{train|data}/{a|b}/1.png"], "test", "data"),
        (["{a|b}/1.png"], "c", "a"),
        (["store/p/1.png", "b/1.png"], "a", "store/p"),
    ],
)
def test_a_split_or_class_that_is_a_link_to_another_is_refused(tree, patterns, link, target):
    with pytest.raises(DataError, match=f"the folder {link} is a link to {target}, and an image cannot be in both"):
        listed(tree(*patterns, links={link: target}))


def test_links_that_loop_end_and_are_said(tree):
    root = tree("{a|b}/1.png")
    (root / "a" / "up").symlink_to(root)
    (root / "b" / "self").symlink_to(root / "b" / "self")
    images, said = listed(root)
    assert [image[0] for image in images] == ["a/1.png", "b/1.png"]
    assert said[0].startswith("1 file is no image") and said[1].startswith("a/up is a link to the folder itself")


def test_trees_deeper_than_python_recurses_are_read(tree):
    deep = "/".join(["d"] * 300)  # no deeper, or pytest could not remove it
    root = tree("a/1.png", "b/1.png", f"a/{deep}/2.png")
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 150)
    try:
        images = listed(root)[0]
    finally:
        sys.setrecursionlimit(usual)
    assert len(images) == 3


def test_a_folder_that_cannot_be_read_is_not_passed_over(tree, monkeypatch):
    root, plain = tree("{a|b}/1.png"), os.scandir

    def scan(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path)

    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(DataError, match=r"the folder b cannot be read .Permission denied."):
        listed(root)


def test_what_systems_leave_is_passed_over_and_counted_aloud(tree):
    root = tree(
        "{a|b}/1.png", "@eaDir/1.png", "a/@eaDir/1.png/SYNOPHOTO_THUMB_M.png", "a/.thumbnails/1.png", "#recycle/9.png",
        "$RECYCLE.BIN/9.png", "__MACOSX/a/._1.png", "a/._1.png", "Thumbs.db", "a/desktop.ini", "b/.DS_Store",
        ".ipynb_checkpoints/1.png",
    )  # fmt: skip
    images, said = listed(root)
    assert images == [("a/1.png", None, "a"), ("b/1.png", None, "b")]
    (line,) = said
    assert line.startswith("11 hidden or system files and folders are passed over (") and line.endswith("#recycle")


def test_what_downloads_and_archives_leave_is_counted_by_its_kind(tree):
    (line,) = listed(tree("{a|b}/1.png", "a/{2|3}.png.part", "b/4.jpg.crdownload", "all.zip"))[1]
    assert "4 files are pictures or archives of a kind that is not read (.part, .zip, .crdownload)" in line


@pytest.mark.parametrize(
    ("patterns", "folder"),
    [
        (["a/1.png", "b/{1|2}.heic"], "b"),
        (["a/1.png", "b/deep/{1|2}.gif"], "b"),
        (["{train|val}/{a|b}/1.png", "test/{a|b}/1.gif"], "test"),
        (["train/{a|b}/1.png", "test/a/1.png", "test/b/1.svg"], "test/b"),
        (["a/{train|test}/1.png", "b/{train|test}/1.psd"], "b"),
        (["a/1.png", "b/1.png.part"], "b"),
    ],
)
def test_a_class_or_split_without_an_image_that_is_read_is_an_error(tree, patterns, folder):
    with pytest.raises(
        DataError, match=rf"(none of the 2 files|not one file) of the folder {folder} is an image that is read"
    ):
        listed(tree(*patterns))


def test_suffixes_in_capitals_are_known(tree):
    assert len(listed(tree("a/1.PNG", "a/2.JPG", "b/3.WebP", "b/4.JP2", "b/5.Tiff"))[0]) == 5


def test_a_folder_of_other_files_alone_names_their_kinds(tree):
    with pytest.raises(DataError, match=r"holds no image but 3 other files \(.heic, .csv\); looked for"):
        listed(tree("{1|2}.heic", "labels.csv"))


def test_images_made_of_others_are_counted_aloud(tree):
    said = listed(tree("a/{1|2}.png", "a/1_overlay.png", "b/{3|3 - Copy}.png", "b/4_5.png"))[1]
    [line] = [line for line in said if "called like another" in line]
    assert "2 images" in line and "a/1_overlay.png" in line
