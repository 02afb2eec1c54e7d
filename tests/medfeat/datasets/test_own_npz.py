"""An .npz in MedMNIST's form, made by the user."""

import numpy as np
import pytest

from medfeat.datasets import open_dataset, source_task
from medfeat.errors import DataError
from medfeat.types import SilentProgress

RNG = np.random.default_rng(0)


def images(*shape, dtype=np.uint8, high=256):
    return RNG.integers(0, high, shape).astype(dtype)


@pytest.fixture
def save(tmp_path):
    def write(**arrays):
        np.savez_compressed(tmp_path / "mine.npz", **arrays)
        return tmp_path / "mine.npz"

    return write


def three_groups(**labels):
    groups = {"train": 6, "val": 2, "test": 3}
    arrays = {f"{group}_images": images(n, 8, 8) for group, n in groups.items()}
    return arrays | {f"{group}_labels": np.arange(n) % 2 for group, n in groups.items()} | labels


def test_its_groups_are_its_split(save, read_all):
    arrays = three_groups()
    dataset = open_dataset(save(**arrays))
    assert dict(dataset.info.counts) == {"train": 6, "val": 2, "test": 3}
    assert (dataset.info.size, dataset.info.channels, dataset.info.source) == (8, 1, "npz")
    assert dataset.info.task == "binary-class" and dataset.info.fingerprint.startswith("md5:")
    assert np.array_equal(np.stack(list(read_all(dataset, "train").values())), arrays["train_images"])
    task = source_task(dataset)
    assert (task.name, task.origin) == ("official", "own labels; split as given")
    assert task.split[task.ids == "val/1"] == ["val"]


def test_images_alone_are_one_group_and_a_split_is_drawn(save):
    dataset = open_dataset(save(images=images(40, 6, 9, 3), labels=np.arange(40) % 4))
    assert dict(dataset.info.counts) == {"all": 40} and dataset.ids("all")[39] == "all/39"
    assert (dataset.info.size, dataset.info.channels, dataset.info.task) == (0, 3, "multi-class")
    task = source_task(dataset)
    assert sorted(set(task.split)) == ["test", "train", "val"] and task.labels.shape == (40, 1)


def test_a_missing_val_is_drawn_from_train(save):
    arrays = {k: v for k, v in three_groups().items() if not k.startswith("val")}
    task = source_task(open_dataset(save(**arrays)))
    assert (task.split[np.char.startswith(task.ids, "test/")] == "test").all()
    assert "val" in task.split[np.char.startswith(task.ids, "train/")]
    assert "val drawn from train" in task.origin


@pytest.mark.parametrize(
    ("shape", "ndim", "channels", "one"),
    [
        ((3, 8, 8), 2, 1, (8, 8)),
        ((3, 8, 8, 1), 2, 1, (8, 8)),
        ((3, 8, 8, 3), 2, 3, (8, 8, 3)),
        ((3, 8, 8, 8), 3, 1, (8, 8, 8)),
        ((3, 5, 8, 8, 1), 3, 1, (5, 8, 8)),
    ],
)
def test_shapes_are_told_apart(save, shape, ndim, channels, one):
    dataset = open_dataset(save(images=images(*shape)))
    assert (dataset.info.ndim, dataset.info.channels) == (ndim, channels)
    assert next(dataset.batches("all", 2)).images.shape == (2, *one)
    assert dataset.labels("all") is None


@pytest.mark.parametrize(
    ("labels", "asked", "task", "classes"),
    [
        (np.array([[0], [4], [1]], np.uint8), None, "multi-class", ("0", "1", "2", "3", "4")),
        (np.array([0, 2, 1]), "ordinal-regression", "ordinal-regression", ("0", "1", "2")),
        (np.array([[0, 1], [1, 1], [0, 0]]), None, "multi-label", ("0", "1")),
        (np.array([0.5, 1, 2]), None, "regression", ("0",)),
        (np.array([1, 2, 30]), "regression", "regression", ("0",)),
        (np.array([True, False, True]), None, "binary-class", ("0", "1")),
        (np.array([0.0, 2.0, 1.0], np.float32), None, "multi-class", ("0", "1", "2")),
        (np.array([0.0, 2.0, 1.0]), "regression", "regression", ("0",)),
        (np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]), None, "multi-label", ("0", "1")),
        (np.eye(3, dtype=np.uint8), "multi-class", "multi-class", ("0", "1", "2")),
        (np.eye(3), "ordinal-regression", "ordinal-regression", ("0", "1", "2")),
        (np.array([1, 2, 3]), "regression", "regression", ("0",)),
    ],
)
def test_what_labels_mean(save, labels, asked, task, classes):
    dataset = open_dataset(save(images=images(3, 4, 4), labels=labels), task=asked)
    assert (dataset.info.task, dataset.info.classes) == (task, classes)
    assert dataset.labels("all").shape[0] == 3


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"x": images(3, 4)}, "holds x; an .npz of images needs train_images"),
        ({"images": images(3, 4)}, "holds no images"),
        ({"images": images(3, 3, 9, 9)}, "channels first"),
        ({"images": images(3, 1, 9, 9)}, "one channel in front; drop it: images[:, 0]"),
        ({"images": images(3, 1, 5, 9, 9)}, "one channel in front; drop it: images[:, 0]"),
        ({"images": images(0, 9, 9), "labels": np.arange(0)}, "(0, 9, 9) holds no images"),
        (
            {"images": images(3, 9, 9), "labels": np.array([1, 2, 3])},
            "labels 1..3 and none is 0; number classes from 0",
        ),
        (
            {"train_images": images(3, 9, 9), "test_images": images(2, 9, 9, 3)},
            "train_images of shape (3, 9, 9) holds grey images and test_images of shape (2, 9, 9, 3) colour images",
        ),
        (
            three_groups(test_labels=np.zeros((3, 2), np.int64)),
            "not as many labels an image in every group (train 1, val 1, test 2)",
        ),
        ({"images": images(3, 9, 9, 4)}, "4 channels"),
        ({"images": images(3, 9, 9), "labels": np.arange(4)}, "(4,) for 3 images"),
        ({"images": images(3, 9, 9), "labels": np.array(["a", "", "c"])}, "all labels, row 1: the label in column"),
        ({"images": images(3, 9, 9), "labels": np.array([0.5, np.nan, 1])}, "no number in row 1"),
        ({"images": images(3, 9, 9), "labels": np.array([0, -1, 1])}, "a label -1"),
        ({"images": images(3, 9, 9), "labels": np.array([[0, 2], [0, 1], [0, 1]])}, "each is 0 or 1"),
        ({"images": np.array(["a", "b", "c"]).reshape(3, 1, 1)}, "dtype <U1"),
        ({"images": images(3, 9, 9, dtype=np.uint16)}, "uint16 and no intensity is declared"),
        (
            {"train_images": images(3, 9, 9), "train_labels": np.arange(3), "test_images": images(2, 9, 9)},
            "some groups",
        ),
    ],
)
def test_what_is_not_in_the_form_is_refused(save, arrays, problem):
    path = save(**arrays)
    with pytest.raises(DataError) as error:
        source_task(open_dataset(path))
    assert problem in str(error.value) and "\n" not in str(error.value)


def test_labels_of_one_class_an_image_come_as_its_number_when_that_is_declared(save):
    path = save(images=images(4, 4, 4), labels=np.eye(3)[[2, 0, 1, 1]])
    assert open_dataset(path, task="multi-class").labels("all").tolist() == [[2], [0], [1], [1]]
    progress = SilentProgress()
    dataset = open_dataset(path, progress=progress)
    assert dataset.info.task == "multi-label" and dataset.labels("all").dtype == np.int64
    assert [line for line in progress.said if "exactly one of 3 labels" in line and "--task multi-class" in line]


@pytest.mark.parametrize(
    ("labels", "task", "problem"),
    [
        (np.array([[1, 1], [0, 1], [1, 0]]), "multi-class", "an image with 2 of 2 labels, and multi-class takes"),
        (np.array([0.0, 0.5, 1.0]), "multi-class", "a label 0.5, and multi-class takes whole numbers"),
    ],
)
def test_labels_that_do_not_fit_the_declared_task_are_refused(save, labels, task, problem):
    with pytest.raises(DataError, match=problem):
        open_dataset(save(images=images(3, 4, 4), labels=labels), task=task)


def test_16_bit_images_follow_a_declared_range_and_the_others_are_reported(save, read_all):
    stored = np.array([[[0, 4095]], [[0, 5000]], [[7, 8]]], np.uint16)
    path = save(images=stored)
    dataset = open_dataset(path, intensity="uint16:0..4095")
    found = read_all(dataset, "all", batch_size=2)
    assert found["all/0"].tolist() == [[0, 255]] and found["all/2"].tolist() == [[0, 0]]
    assert found["all/1"] == "values 0..5000 lie outside the declared uint16:0..4095"
    assert dataset.info.fingerprint != open_dataset(path, intensity="minmax").info.fingerprint


@pytest.mark.parametrize(
    ("images_of", "labels_of"),
    [
        (("train_images", "valid_images", "test_images"), ("train_labels", "valid_labels", "test_labels")),
        (("x_train", "x_val", "x_test"), ("y_train", "y_val", "y_test")),
        (("X_train", "X_valid", "X_test"), ("Y_train", "Y_valid", "Y_test")),
        (("training_images", "Validation_images", "testing_images"), ("training_labels", "valset_labels", "test_y")),
        (("images_train", "images_dev", "images_test"), ("labels_train", "labels_dev", "labels_test")),
        (("trainX", "valX", "testX"), ("trainY", "valY", "testY")),
        (("train_data", "eval_data", "holdout_data"), ("train_targets", "eval_targets", "holdout_targets")),
    ],
)  # fmt: skip
def test_groups_by_the_names_people_use(save, images_of, labels_of):
    arrays = {name: images(n, 4, 4) for name, n in zip(images_of, (6, 2, 3), strict=True)}
    arrays |= {name: np.arange(n) % 2 for name, n in zip(labels_of, (6, 2, 3), strict=True)}
    dataset = open_dataset(save(**arrays))
    assert dict(dataset.info.counts) == {"train": 6, "val": 2, "test": 3}
    assert dataset.labels("val").tolist() == [[0], [1]] and dataset.ids("val").tolist() == ["val/0", "val/1"]


def test_arrays_that_are_not_used_are_named(save):
    progress = SilentProgress()
    open_dataset(save(**three_groups(), train_masks=images(6, 8, 8), patients=np.arange(11)), progress=progress)
    (line,) = [line for line in progress.said if "not used" in line]
    assert line.endswith("not used: train_masks, patients")


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        ({"valid_images": images(2, 8, 8)}, "val_images and valid_images could both be the val images"),
        ({"eval_images": images(2, 8, 8)}, "'eval' may be val or test"),
    ],
)
def test_arrays_that_could_be_either_are_refused(save, extra, problem):
    with pytest.raises(DataError, match=problem):
        open_dataset(save(**three_groups(), **extra))
