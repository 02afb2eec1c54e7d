"""Folders as people have them: where splits, classes, masks and leavings lie."""

import inspect
import itertools
import os
import re
import sys

import pytest

from medfeat.datasets.folder import list_folder
from medfeat.datasets.splitnames import split_word
from medfeat.errors import DataError
from medfeat.types import SilentProgress


def spelled(*patterns):
    """Spell ``{a|b}/1.png`` out: one name for each choice."""
    for pattern in patterns:
        parts = re.split(r"\{(.*?)\}", pattern)
        choices = [part.split("|") if i % 2 else [part] for i, part in enumerate(parts)]
        yield from ("".join(choice) for choice in itertools.product(*choices))


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "set"

    def write(*patterns, links=()):
        for name in spelled(*patterns):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(b"x")
        for link, target in dict(links).items():
            (root / link).symlink_to(root / target)
        return root

    return write


def listed(root):
    """(image, split, class) of each image, and what was said, with the root left out."""
    progress = SilentProgress()
    found = list_folder(root, "set", task=None, progress=progress)
    count = len(found.ids)
    split = found.split or (None,) * count
    labelling = found.labelling
    names = [labelling.classes[i] for i in labelling.values[:, 0]] if labelling else [None] * count
    return list(zip(found.ids, split, names, strict=True)), [line.removeprefix(f"{root}: ") for line in progress.said]


def kinds(root):
    return sorted({image[1:] for image in listed(root)[0]}, key=str)


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
    ],
)
def test_mixtures_are_refused_with_what_was_found(tree, patterns, problem):
    root = tree(*patterns)
    with pytest.raises(DataError) as error:
        listed(root)
    assert problem in str(error.value) and str(root) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("patterns", "said"),
    [
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
    assert said[0].startswith("1 files are no images") and said[1].startswith("a/up is a link to the folder itself")


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


@pytest.mark.parametrize(
    "mask",
    [
        "x_mask.png", "x_mask_1.png", "x_Mask.PNG", "x-mask.png", "x mask.png", "x_seg.png", "x_segmentation.png",
        "x_Segmentation.nii.gz", "x_gt.png", "x_annotation.png", "x_label.png", "mask_x.png", "x_manual1.tif",
        "masks/x.png", "mask/x.png", "segmentation/x.png", "segmentations/x_seg.png", "GT/x.png", "annotations/x.png",
        "labels/x.png", "Masks/x_mask.jpg", "masks/2/../x.png", "thumbnails/x.png", "x_thumb.jpg",
    ],
)  # fmt: skip
def test_masks_beside_their_images_are_passed_over_aloud(tree, mask):
    mask = os.path.normpath(mask)
    images, said = listed(tree("{a|b}/x.png", f"a/{mask}"))
    assert [image[0] for image in images] == ["a/x.png", "b/x.png"]
    assert said == [f"1 masks or thumbnails lie beside their images and are passed over, such as a/{mask}"]


@pytest.mark.parametrize(
    "pattern", ["{a|b}/{images|masks}/1.png", "{train|test}/{a|b}/{img|mask}/1.png", "{train|test}/{a|b}/1{|_mask}.png"]
)
def test_masks_are_known_inside_classes_and_splits(tree, pattern):
    images, _ = listed(tree(pattern))
    assert {image[2] for image in images} == {"a", "b"} and not [image for image in images if "mask" in image[0]]


@pytest.mark.parametrize(
    ("patterns", "classes"),
    [
        (["{mask|no_mask}/{1|2}.png"], {"mask", "no_mask"}),
        (["{with_mask|without_mask}/{1|2}.png"], {"with_mask", "without_mask"}),
        (["mask/1.png", "bare/2.png"], {"mask", "bare"}),
        (["{a|b}/1_mask.png"], {"a", "b"}),
        (["masks/{1|2}.png"], {None}),
        (["{a|b}/{scan_1|scan_2|segment}.png"], {"a", "b"}),
    ],
)
def test_masks_without_their_images_are_images(tree, patterns, classes):
    root = tree(*patterns)
    images, _ = listed(root)
    assert len(images) == len(list(spelled(*patterns))) and {image[2] for image in images} == classes


def test_a_folder_of_masks_beside_class_folders_is_refused(tree):
    with pytest.raises(DataError, match=r"each file of the folder masks has the name of an image elsewhere, such as m"):
        listed(tree("a/1.png", "b/2.png", "masks/{1|2}.png"))


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
    with pytest.raises(DataError, match=rf"none of the \d files of the folder {folder} is an image that is read"):
        listed(tree(*patterns))


def test_suffixes_in_capitals_are_known(tree):
    assert len(listed(tree("a/1.PNG", "a/2.JPG", "b/3.WebP", "b/4.JP2", "b/5.Tiff"))[0]) == 5


def test_a_folder_of_other_files_alone_names_their_kinds(tree):
    with pytest.raises(DataError, match=r"holds no image but 3 other files \(.heic, .csv\); looked for"):
        listed(tree("{1|2}.heic", "labels.csv"))
