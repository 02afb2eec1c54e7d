"""Folders of the user's own images: layouts, ids, bad images, fingerprints."""

import itertools
import struct
import time
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from medfeat.datasets import DigestMemory, open_dataset, source_task
from medfeat.errors import DataError, MissingFileError, UsageError
from medfeat.types import SilentProgress
from medfeat_cache import Stamp


@pytest.fixture
def classes(tmp_path, write_png):
    root = tmp_path / "skin"
    for name in ("benign/b1.png", "benign/deep/b2.png", "malignant/m1.png", "malignant/m2.PNG"):
        write_png(root / name)
    return root


def test_class_folders_are_labels_and_ids_are_paths(classes, read_all):
    dataset = open_dataset(classes)
    assert dataset.ids("all").tolist() == [
        "benign/b1.png",
        "benign/deep/b2.png",
        "malignant/m1.png",
        "malignant/m2.PNG",
    ]
    assert dataset.labels("all").tolist() == [[0], [0], [1], [1]]
    info = dataset.info
    assert (info.name, info.source, info.task, info.classes) == (
        "skin",
        "folder",
        "binary-class",
        ("benign", "malignant"),
    )
    assert (info.size, info.channels, info.ndim, dict(info.counts)) == (0, 0, 2, {"all": 4})
    for name, image in read_all(dataset, "all").items():
        with Image.open(classes / name) as expected:
            assert np.array_equal(image, np.asarray(expected))


def test_numbered_classes_are_in_numerical_order(tmp_path, write_png):
    for name in ("10", "9", "2"):
        write_png(tmp_path / name / "x.png")
    assert open_dataset(tmp_path).info.classes == ("2", "9", "10")


@pytest.mark.parametrize("val", ["val", "Validation", "valid"])
def test_split_folders_with_classes_inside_are_a_given_split(tmp_path, write_png, val):
    for split in ("train", val, "test"):
        for label in ("a", "b"):
            write_png(tmp_path / split / label / "x.png")
    dataset = open_dataset(tmp_path)
    assert dataset.info.classes == ("a", "b")
    task = source_task(dataset)
    assert sorted(task.split.tolist()) == ["test"] * 2 + ["train"] * 2 + ["val"] * 2
    assert task.split[task.ids == f"{val}/b/x.png"] == ["val"]
    assert task.origin == "own labels; split as given"


def test_images_all_in_one_place_have_no_labels(tmp_path, write_png):
    for name in ("a.png", "b.png"):
        write_png(tmp_path / name)
    dataset = open_dataset(tmp_path)
    assert dataset.labels("all") is None and dataset.info.task is None
    with pytest.raises(DataError, match="path,label"):
        source_task(dataset)


def test_a_single_class_folder_is_no_label(tmp_path, write_png):
    write_png(tmp_path / "images" / "a.png")
    assert open_dataset(tmp_path).labels("all") is None


def test_a_folder_named_train_alone_is_a_class_folder(tmp_path, write_png):
    write_png(tmp_path / "train" / "a.png")
    write_png(tmp_path / "boat" / "a.png")
    assert open_dataset(tmp_path).info.classes == ("boat", "train")


@pytest.mark.parametrize("odd", ["chest_xray/train/NORMAL", "extra"])
def test_a_folder_of_images_beside_splits_is_refused_by_name(tmp_path, write_png, odd):
    for split in ("train", "val", "test"):
        for label in ("NORMAL", "PNEUMONIA"):
            write_png(tmp_path / split / label / "x.png")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "read.me").write_text("words")
    assert open_dataset(tmp_path).info.classes == ("NORMAL", "PNEUMONIA")
    write_png(tmp_path / odd / "x.png")
    with pytest.raises(DataError, match=r"the folder (chest_xray|extra) lies beside the splits test, train, val; move"):
        open_dataset(tmp_path)


def test_loose_images_beside_class_folders_are_refused(classes, write_png):
    write_png(classes / "loose.png")
    with pytest.raises(DataError, match=r"loose.png lies beside the folder benign"):
        open_dataset(classes)


def test_hidden_files_are_passed_over_and_others_counted_aloud(classes, write_png):
    write_png(classes / "benign" / "._b1.png")
    write_png(classes / "__MACOSX" / "x.png")
    (classes / "benign" / "notes.txt").write_text("words")
    progress = SilentProgress()
    assert len(open_dataset(classes, progress=progress).ids("all")) == 4
    assert progress.said == [
        f"{classes}: 2 hidden or system files and folders are passed over (__macosx, ._b1.png), such as __MACOSX",
        f"{classes}: 1 file is no image and is left out, such as benign/notes.txt",
    ]


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no image"):
        open_dataset(tmp_path)


def test_a_link_that_leads_back_is_followed_once(classes):
    (classes / "benign" / "again").symlink_to(classes, target_is_directory=True)
    assert len(open_dataset(classes).ids("all")) == 4


def test_a_name_that_cannot_be_an_id_is_refused(classes, write_png):
    write_png(classes / "benign" / "two\nlines.png")
    with pytest.raises(DataError, match=r"'benign/two\\nlines.png' cannot be an id") as error:
        open_dataset(classes)
    assert "\n" not in str(error.value)


def test_one_image_is_a_dataset_of_one(tmp_path, write_png, read_all):
    write_png(tmp_path / "one.png", (3, 4, 3))
    dataset = open_dataset(tmp_path / "one.png")
    assert dataset.info.name == "one"
    assert read_all(dataset, "all")["one.png"].shape == (3, 4, 3)


def bomb(side):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_bad_images_keep_their_place_and_say_why(tmp_path, write_png, read_all):
    for name in ("a.png", "c.png", "g.png"):
        write_png(tmp_path / name)
    write_png(tmp_path / "b_truncated.png", (300, 300))
    (tmp_path / "b_truncated.png").write_bytes((tmp_path / "b_truncated.png").read_bytes()[:4000])
    (tmp_path / "d_text.png").write_text("this is no picture")
    (tmp_path / "e_empty.png").write_bytes(b"")
    (tmp_path / "f_bomb.png").write_bytes(bomb(30_000))
    dataset = open_dataset(tmp_path)
    found = read_all(dataset, "all", batch_size=3)
    reasons = {name: value for name, value in found.items() if isinstance(value, str)}
    assert sorted(found) == dataset.ids("all").tolist()
    assert list(reasons) == ["b_truncated.png", "d_text.png", "e_empty.png", "f_bomb.png"]
    assert "cannot be decoded" in reasons["b_truncated.png"]
    assert "first bytes" in reasons["d_text.png"]
    assert reasons["e_empty.png"] == "empty file"
    assert "too large" in reasons["f_bomb.png"]
    for name in ("a.png", "c.png", "g.png"):
        with Image.open(tmp_path / name) as expected:
            assert np.array_equal(found[name], np.asarray(expected))


@pytest.mark.parametrize("place", ["{label}/{n}.png", "{split}/{label}/{n}.png"])
def test_a_class_or_split_of_which_no_image_can_be_read_is_an_error(tmp_path, write_png, place):
    for split, label, n in itertools.product(("train", "test"), ("a", "b"), (1, 2)):
        write_png(tmp_path / place.format(split=split, label=label, n=n))
    lost = "b" if place.startswith("{label}") else "test"
    for path in tmp_path.rglob("*.png"):
        if f"/{lost}/" in str(path):
            path.write_bytes(b"")
    what = "class b" if lost == "b" else "split test"
    with pytest.raises(DataError, match=rf"none of the \d images of the {what} in .* can be read, such as .*empty"):
        open_dataset(tmp_path)
    assert len(open_dataset(tmp_path / ("a" if lost == "b" else "train")).ids("all")) > 0


def test_batches_are_stretches_of_the_group_with_bad_rows_absent(tmp_path, write_png):
    for i in range(10):
        write_png(tmp_path / f"{i}.png")
    (tmp_path / "4.png").write_bytes(b"")
    batches = list(open_dataset(tmp_path).batches("all", 4))
    assert [batch.rows.tolist() for batch in batches] == [[0, 1, 2, 3], [5, 6, 7], [8, 9]]
    assert [bad.id for batch in batches for bad in batch.bad] == ["4.png"]
    picked = list(open_dataset(tmp_path).batches("all", 2, np.array([1, 4, 9])))
    assert [batch.rows.tolist() for batch in picked] == [[1], [9]]


def test_images_of_several_shapes_come_as_a_list(tmp_path, write_png):
    write_png(tmp_path / "a.png", (4, 5))
    write_png(tmp_path / "b.png", (6, 5, 3))
    write_png(tmp_path / "c.png", (4, 5))
    (mixed,) = open_dataset(tmp_path).batches("all", 8)
    assert [image.shape for image in mixed.images] == [(4, 5), (6, 5, 3), (4, 5)]
    (alike,) = open_dataset(tmp_path).batches("all", 8, np.array([0, 2]))
    assert alike.images.shape == (2, 4, 5)


def test_order_is_kept_however_long_an_image_takes(tmp_path, write_png, monkeypatch):
    from medfeat.datasets.folders import files_dataset as files

    for i in range(40):
        write_png(tmp_path / f"{i:02}.png", value=i)
    plain = files.read_stored

    def slow(path, *rest):
        time.sleep(0.01 if int(path.stem) % 5 == 0 else 0)
        return plain(path, *rest)

    monkeypatch.setattr(files, "read_stored", slow)
    images = np.concatenate([batch.images for batch in open_dataset(tmp_path).batches("all", 16)])
    assert images[:, 0, 0].tolist() == list(range(40))


def test_only_a_bounded_number_of_images_is_decoded_ahead(tmp_path, write_png, monkeypatch):
    from medfeat.datasets.folders import files_dataset as files

    for i in range(60):
        write_png(tmp_path / f"{i:02}.png")
    dataset, read = open_dataset(tmp_path), []
    plain = files.read_stored
    monkeypatch.setattr(files, "read_stored", lambda path, *rest: read.append(path) or plain(path, *rest))
    batches = dataset.batches("all", 4)
    next(batches)
    batches.close()
    assert len(read) <= 4 + files.AHEAD_OF_EACH * dataset.reading.workers


def test_when_nothing_can_be_read_the_first_reason_is_told(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"none of the 2 images .* such as a.png: empty file"):
        open_dataset(tmp_path)


def save_16_bit(path, low, high):
    Image.fromarray(np.array([[low, high]], np.uint16)).save(path)


def test_16_bit_images_need_a_declared_intensity_and_the_error_says_which(tmp_path):
    save_16_bit(tmp_path / "a.tif", 7, 2000)
    save_16_bit(tmp_path / "b.tif", 3, 4000)
    with pytest.raises(DataError) as error:
        open_dataset(tmp_path)
    message = str(error.value)
    assert "a.tif: it holds uint16 values 3..4000" in message and "uint16:0..4095, range:3..4000" in message
    assert "--intensity" in message and "\n" not in message


def test_the_range_named_is_that_of_images_of_several_kinds(tmp_path):
    save_16_bit(tmp_path / "a.tif", 7, 2000)
    Image.fromarray(np.array([[-5, 70000]], np.int32)).save(tmp_path / "b.tif")
    with pytest.raises(DataError, match=r"a\.tif: it holds int32 values -5\.\.70000 "):
        open_dataset(tmp_path)


def test_a_declared_intensity_is_kept_to_and_told(tmp_path, read_all):
    save_16_bit(tmp_path / "a.tif", 0, 4095)
    save_16_bit(tmp_path / "b.tif", 0, 5000)
    dataset = open_dataset(tmp_path, intensity="uint16:0..4095")
    assert dataset.info.intensity == "uint16:0..4095"
    found = read_all(dataset, "all")
    assert found["a.tif"].tolist() == [[0, 255]]
    assert found["b.tif"] == "values 0..5000 lie outside the declared uint16:0..4095"


def test_a_16_bit_image_among_8_bit_ones_is_reported(tmp_path, write_png, read_all):
    write_png(tmp_path / "a.png")
    save_16_bit(tmp_path / "b.tif", 0, 300)
    assert "no intensity is declared" in read_all(open_dataset(tmp_path), "all")["b.tif"]


def fingerprint(path, **options):
    return open_dataset(path, **options).info.fingerprint


def test_the_fingerprint_is_that_of_ids_bytes_and_contract_alone(classes, write_png):
    first = fingerprint(classes)
    assert fingerprint(classes) == first
    (classes / "benign" / "notes.txt").write_text("not an image")
    assert fingerprint(classes) == first
    assert fingerprint(classes, task="ordinal-regression", classes="benign,malignant") == first
    assert fingerprint(classes, intensity="minmax") != first
    (classes / "benign" / "b1.png").rename(classes / "benign" / "b9.png")
    renamed = fingerprint(classes)
    assert renamed != first
    write_png(classes / "benign" / "b9.png", value=3)
    assert fingerprint(classes) != renamed


def test_files_are_hashed_once_across_processes(classes, tmp_path, monkeypatch):
    from medfeat.datasets import digests

    # nothing is remembered of files written just now, which may be written again under the same stamp
    monkeypatch.setattr(Stamp, "settled", lambda *_: True)
    before = fingerprint(classes, memory=DigestMemory.of_cache(tmp_path))
    monkeypatch.setattr(digests, "file_digest", lambda *_, **__: pytest.fail("a file was read again"))
    assert fingerprint(classes, memory=DigestMemory.of_cache(tmp_path)) == before


def test_a_name_is_safe_as_a_folder_and_never_a_registered_one(tmp_path, write_png):
    for name in ("my images (v2)", "bloodmnist"):
        write_png(tmp_path / name / "x.png")
    assert open_dataset(tmp_path / "my images (v2)").info.name == "my-images-v2"
    assert open_dataset(tmp_path / "bloodmnist").info.name == "bloodmnist-own"
    assert open_dataset(tmp_path / "bloodmnist", name="mine").info.name == "mine"
    with pytest.raises(UsageError, match="registered"):
        open_dataset(tmp_path / "bloodmnist", name="bloodmnist")
    with pytest.raises(UsageError, match="letters"):
        open_dataset(tmp_path / "bloodmnist", name="../up")


def test_unknown_names_paths_and_options_are_told_apart(tmp_path, write_png, monkeypatch):
    with pytest.raises(UsageError, match="did you mean bloodmnist"):
        open_dataset("bloodmnst")
    with pytest.raises(MissingFileError, match="is not there"):
        open_dataset(tmp_path / "nothing")
    with pytest.raises(MissingFileError, match="is not there"):
        open_dataset("./nothing")
    (tmp_path / "x.txt").write_text("words")
    with pytest.raises(DataError, match="none of what can be embedded"):
        open_dataset(tmp_path / "x.txt")
    with pytest.raises(UsageError, match=r"intensity is for own images"):
        open_dataset("synthetic", intensity="minmax")
    write_png(tmp_path / "images" / "x.png")
    with pytest.raises(UsageError, match="size is for registered datasets"):
        open_dataset(tmp_path / "images", size=64)
    with pytest.raises(UsageError, match=r"label_column is for a .csv"):
        open_dataset(tmp_path / "images", label_column="x")
    monkeypatch.chdir(tmp_path)
    assert open_dataset("images").info.source == "folder"


def test_no_warning_reaches_the_user(classes):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(open_dataset(classes).batches("all", 2))


def test_a_name_is_in_plain_letters(tmp_path, write_png):
    for folder, name in (("Klinik-Süd", "Klinik-Sud"), ("日本", "images"), ("a b", "a-b")):
        write_png(tmp_path / folder / "x.png")
        assert open_dataset(tmp_path / folder).info.name == name
    with pytest.raises(UsageError, match="plain letters"):
        open_dataset(tmp_path / "a b", name="Süd")
