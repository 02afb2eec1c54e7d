"""What a program holds is read like files: same pixels, ids and labels, or one line that says why not."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import IterableDataset, TensorDataset

from medfeat.datasets import dataset_from, open_dataset, source_task
from medfeat.datasets.decoding.bad_file import BadFile
from medfeat.datasets.objects.object_images import stored_image
from medfeat.errors import DataError, UsageError
from medfeat.types import SilentProgress

GREY = np.random.default_rng(0).integers(0, 256, (12, 9, 11), np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (12, 9, 11, 3), np.uint8)
LABELS = np.arange(12) % 3


class Pairs(torch.utils.data.Dataset):
    """A torch dataset of whatever pairs it was given."""

    def __init__(self, images, labels, classes=()):
        self.images, self.labels, self.classes = images, labels, list(classes)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, row):
        return self.images[row], self.labels[row]


def pixels(dataset, group="all"):
    return np.concatenate([np.stack(list(batch.images)) for batch in dataset.batches(group, 5)])


@pytest.mark.parametrize(
    "images",
    [
        GREY,
        list(GREY),
        [Image.fromarray(one) for one in GREY],
        torch.from_numpy(GREY),
        torch.from_numpy(GREY)[:, None],
        GREY[..., None],
        GREY[:, None],
        Pairs(list(GREY), LABELS),
        Pairs([Image.fromarray(one) for one in GREY], LABELS),
        Pairs(list(torch.from_numpy(GREY)[:, None]), torch.from_numpy(LABELS)),
        [(one, int(label)) for one, label in zip(GREY, LABELS, strict=True)],
        [{"image": one, "label": i % 2} for i, one in enumerate(GREY)],
        TensorDataset(torch.from_numpy(GREY), torch.from_numpy(LABELS)),
    ],
    ids=lambda images: f"{type(images).__name__}",
)
def test_grey_images_are_the_same_pixels_however_they_are_held(images):
    dataset = dataset_from(images, name="same")
    np.testing.assert_array_equal(pixels(dataset), GREY)
    assert dataset.info.fingerprint == dataset_from(GREY, name="other").info.fingerprint
    assert (dataset.info.channels, dataset.info.ndim, dataset.info.source) == (1, 2, "object")


@pytest.mark.parametrize(
    "images",
    [RGB, list(map(Image.fromarray, RGB)), torch.from_numpy(RGB), torch.from_numpy(RGB.transpose(0, 3, 1, 2).copy())],
    ids=["array", "pictures", "tensor, channels last", "tensor, channels first"],
)
def test_colour_images_are_the_same_pixels_however_they_are_held(images):
    np.testing.assert_array_equal(pixels(dataset_from(images, name="same")), RGB)


def test_volumes_are_volumes():
    dataset = dataset_from(np.zeros((4, 6, 6, 6), np.uint8), name="v")
    assert (dataset.info.ndim, dataset.info.size) == (3, 6)
    assert dataset_from(torch.zeros(4, 1, 6, 6, 6, dtype=torch.uint8), name="v").info.ndim == 3


def test_images_of_unequal_sizes_are_images_all_the_same():
    dataset = dataset_from([GREY[0], GREY[1][:5, :5], RGB[0]], name="mixed")
    assert (dataset.info.size, dataset.info.channels) == (0, 0)
    shapes = [image.shape for batch in dataset.batches("all", 8) for image in batch.images]
    assert shapes == [(9, 11), (5, 5), (9, 11, 3)]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.zeros((3, 9, 9), np.uint8), "channels first"),
        (np.zeros((9, 9, 4), np.uint8), "4 channels"),
        (torch.zeros(2, 9, 9, dtype=torch.uint8), "2 channels or slices"),
        (np.zeros((2, 3, 9, 9, 3), np.uint8), "no image"),
        (np.zeros((9, 9), bool), "type bool"),
        (object(), "a object is no image"),
    ],
)
def test_what_can_be_meant_in_two_ways_is_not_guessed(value, said):
    with pytest.raises(BadFile, match=said):
        stored_image(value)


def test_floats_are_refused_in_one_line_and_taken_by_a_stated_contract():
    scaled = torch.from_numpy(GREY).float().div(255)[:, None]
    with pytest.raises(DataError, match=r"all/0 of tensor: it holds float32 values .* without the transform") as caught:
        dataset_from(scaled)
    assert "\n" not in str(caught.value)
    exact = dataset_from(scaled, intensity="range:0..1")
    np.testing.assert_array_equal(pixels(exact), GREY)
    with pytest.raises(DataError, match=r'it holds int64 values .*range:0\.\.255.*\.astype\("uint8"\)'):
        dataset_from(GREY.astype(np.int64))
    with pytest.raises(DataError, match=r"declared: uint16:0\.\.4095, .* without the transform"):
        dataset_from(GREY.astype(np.uint16) * 16)


def test_the_same_content_is_the_same_identity_and_nothing_else_is():
    one = dataset_from(Pairs(list(GREY), LABELS)).info.fingerprint
    assert dataset_from(Pairs(list(GREY), LABELS[::-1].copy())).info.fingerprint == one, "labels are no content"
    changed = GREY.copy()
    changed[7, 3, 3] ^= 1
    assert dataset_from(changed).info.fingerprint != one
    assert dataset_from(GREY[::-1]).info.fingerprint != one
    assert dataset_from(GREY, ids=[f"i{i}" for i in range(12)]).info.fingerprint != one


def test_a_random_transform_is_noticed():
    class Noisy(Pairs):
        def __getitem__(self, row):
            return np.random.default_rng().integers(0, 256, (4, 4), np.uint8), 0

    dataset = dataset_from(Noisy(list(GREY), LABELS))
    with pytest.raises(DataError, match="all/0 of noisy is another image each time it is read"):
        list(dataset.batches("all", 4))


def test_an_image_that_cannot_be_read_is_reported_and_the_others_stay():
    class Torn(Pairs):
        def __getitem__(self, row):
            if row == 2:
                raise OSError("truncated\nfile")
            return super().__getitem__(row)

    dataset = dataset_from(Torn(list(GREY), LABELS))
    batches = list(dataset.batches("all", 5))
    assert next(one for batch in batches for one in batch.bad).reason == "cannot be read (truncated)"
    assert np.concatenate([batch.rows for batch in batches]).tolist() == [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    labels = dataset.labels("all")
    assert labels[[1, 3], 0].tolist() == [1, 0]
    with pytest.raises(DataError, match="none of the 3 images of torn can be read, such as all/0"):
        dataset_from(Torn([None] * 3, LABELS), name="torn")


@pytest.mark.parametrize(
    ("labels", "task", "classes", "first"),
    [
        ([0, 1, 2] * 4, "multi-class", ("0", "1", "2"), [0]),
        (["b", "a"] * 6, "binary-class", ("a", "b"), [1]),
        ([[1, 0], [1, 1]] * 6, "multi-label", ("0", "1"), [1, 0]),
        ([0.5, 1.25] * 6, "regression", ("0",), [0.5]),
        ([torch.tensor(1), torch.tensor(0)] * 6, "binary-class", ("0", "1"), [1]),
        ([np.array([1]), np.array([0])] * 6, "binary-class", ("0", "1"), [1]),
        ([None] * 12, None, (), None),
    ],
)
def test_labels_are_told_from_what_they_are(labels, task, classes, first):
    dataset = dataset_from(Pairs(list(GREY), labels))
    assert (dataset.info.task, dataset.info.classes) == (task, classes)
    assert (None if first is None else first) == (None if first is None else dataset.labels("all")[0].tolist())


def test_class_names_that_the_object_knows_are_kept():
    dataset = dataset_from(Pairs(list(GREY), LABELS % 2, ["cyst", "stone", "tumour"]))
    assert (dataset.info.task, dataset.info.classes) == ("multi-class", ("cyst", "stone", "tumour"))
    given = dataset_from(GREY, labels=LABELS, classes=("x", "y", "z"))
    assert given.info.classes == ("x", "y", "z") and given.labels("all")[:, 0].tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, None] * 6, "some images of pairs have a label and others none"),
        ([[1], [1, 2]] * 6, "not alike"),
        ([-1, 0] * 6, "-1"),
        ([float("nan"), 1.5] * 6, "no number"),
    ],
)
def test_labels_that_cannot_be_meant_are_one_line(labels, said):
    with pytest.raises(DataError, match=said):
        dataset_from(Pairs(list(GREY), labels))


@pytest.mark.parametrize(
    ("labels", "options", "said"),
    [
        (None, {"classes": "a,b"}, "grey has no labels, and --classes is said of them"),
        (None, {"task": "multi-class"}, "grey has no labels, and --task multi-class is said of them"),
        (LABELS, {"task": "binary-class"}, "grey has 3 classes"),
        (LABELS, {"classes": "a,b"}, "grey has 3 classes or labels by its numbers, and 2 names"),
        (["a", "c"] * 6, {"classes": "a,b"}, "grey has the label 'c', and the classes are a, b"),
        (["kim", "lee"] * 6, {"task": "ordinal-regression"}, "whose names tell no order"),
    ],
)
def test_what_is_said_of_labels_must_fit_them(labels, options, said):
    with pytest.raises(DataError, match=said):
        dataset_from(GREY, name="grey", labels=labels, **options)


def test_the_order_of_classes_is_the_one_that_is_said():
    dataset = dataset_from(GREY, labels=["mild", "grave"] * 6, classes="mild,grave", task="ordinal-regression")
    assert dataset.info.classes == ("mild", "grave") and dataset.labels("all")[:2, 0].tolist() == [0, 1]


def test_labels_of_one_class_ask_nothing():
    progress = SilentProgress()
    assert dataset_from(GREY, labels=[0] * 12, progress=progress).labels("all") is None
    assert any("one class asks nothing" in line for line in progress.said)


def test_a_class_of_which_no_image_can_be_read_is_refused():
    images = [np.zeros((4, 4), bool) if label == 2 else image for image, label in zip(GREY, LABELS, strict=True)]
    with pytest.raises(DataError, match="none of the 4 images of the class 2 in list can be read, such as all/2"):
        dataset_from(images, labels=LABELS)


def test_a_dict_has_splits_by_any_of_their_names():
    dataset = dataset_from(
        {"test": Pairs(list(GREY[8:]), LABELS[8:]), "train": Pairs(list(GREY[:6]), LABELS[:6]),
         "validation": Pairs(list(GREY[6:8]), LABELS[6:8])},
        name="parts",
    )  # fmt: skip
    assert dict(dataset.info.counts) == {"train": 6, "val": 2, "test": 4}
    task = source_task(dataset)
    assert task.origin == "own labels; split as given" and task.ids[6] == "val/0"


def test_without_splits_one_is_drawn_as_for_folders():
    task = source_task(dataset_from(Pairs([np.full((4, 4), i, np.uint8) for i in range(30)], np.arange(30) % 2)))
    assert task.origin.startswith("own labels; split stratified 70/10/20 from seed 0: 21 train")


@pytest.mark.parametrize(
    ("data", "options", "said"),
    [
        ({"fit": GREY}, {}, "has the keys train, val, test"),
        ({"train": GREY, "training": GREY}, {}, "each once"),
        ({}, {}, "is empty"),
        (GREY[0], {}, "first axis of samples"),
        (Image.fromarray(GREY[0]), {}, "none of what can be embedded"),
        (iter(GREY), {}, "none of what can be embedded"),
        (3, {}, "none of what can be embedded"),
        (GREY, {"ids": ["a"]}, "got 1 for 12"),
        (GREY, {"ids": ["a"] * 12}, "ids must differ, got 'a' twice"),
        (GREY, {"labels": [1]}, "got 1 for 12"),
        (GREY, {"name": "bloodmnist"}, "that of a registered dataset"),
        (GREY, {"name": "a/b"}, "name must be"),
        (GREY, {"label_column": "x"}, "a .csv or a Hugging Face dataset"),
    ],
)
def test_what_cannot_be_meant_is_one_line(data, options, said):
    with pytest.raises(UsageError, match=said):
        dataset_from(data, **options)


def test_a_stream_without_a_length_is_refused():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(GREY)

    with pytest.raises((UsageError), match="Stream"):
        dataset_from(Stream())
    with pytest.raises(DataError, match="empty"):
        dataset_from([])


def test_the_name_is_the_class_s_in_lower_case():
    assert [dataset_from(one).info.name for one in (GREY, list(GREY), Pairs(list(GREY), LABELS))] == [
        "ndarray",
        "list",
        "pairs",
    ]


def test_one_image_is_held_at_a_time():
    class Large(torch.utils.data.Dataset):
        def __len__(self):
            return 60

        def __getitem__(self, row):
            return np.full((1000, 1000), row, np.uint8), row % 2

    tracemalloc.start()
    dataset = dataset_from(Large())
    for batch in dataset.batches("all", 4):
        del batch
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def test_rows_are_read_as_they_are_asked_for():
    dataset = dataset_from(GREY)
    batches = list(dataset.batches("all", 2, np.array([1, 4, 7])))
    assert [batch.rows.tolist() for batch in batches] == [[1, 4], [7]]
    np.testing.assert_array_equal(batches[1].images[0], GREY[7])


def test_a_medfeat_dataset_is_taken_as_it_is_or_under_another_name():
    synthetic = open_dataset("synthetic-binary")
    assert dataset_from(synthetic) is synthetic
    renamed = dataset_from(synthetic, name="other")
    assert renamed.info.name == "other" and renamed.info.fingerprint == synthetic.info.fingerprint
    assert len(renamed.ids("train")) == synthetic.info.counts["train"]
    with pytest.raises(UsageError, match="belong to a medfeat Dataset already"):
        dataset_from(synthetic, ids=["a"])


def test_a_dataset_of_ones_own_may_not_pass_for_an_official_one():
    made = dataset_from(GREY, name="mine")
    made._info = replace(made.info, name="bloodmnist")
    with pytest.raises(UsageError, match="calls itself 'bloodmnist', the name of a registered one"):
        dataset_from(made)
    assert dataset_from(made, name="mine").info.name == "mine"
