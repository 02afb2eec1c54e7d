"""Every MedMNIST set at every size opens, or says in one line what is missing."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medfeat.datasets import DATASETS, DigestMemory, default_data_root, medmnist, open_dataset, source_task
from medfeat.datasets.medmnist_table import medmnist_sets
from medfeat.errors import DataError, MedfeatError, MissingFileError, UsageError
from medfeat.types import OFFICIAL_GROUPS

TINY = {"train": 4, "val": 2, "test": 3}
EVERY_SET = [(name, size) for name in DATASETS for size in DATASETS[name].sizes]
EVERY_FILE = [(facts.name, size) for facts in medmnist_sets().values() for size in facts.files]
REAL = {"breastmnist": (546, 78, 156), "retinamnist": (1080, 120, 400), "adrenalmnist3d": (1188, 98, 298)}


def tiny_arrays(name, size):
    facts, rng = medmnist_sets()[name], np.random.default_rng(0)
    shape = (size,) * facts.ndim + ((3,) if facts.channels == 3 else ())
    width = len(facts.classes) if facts.task == "multi-label" else 1
    arrays = {}
    for group, count in TINY.items():
        arrays[f"{group}_images"] = rng.integers(0, 256, (count, *shape), np.uint8)
        arrays[f"{group}_labels"] = rng.integers(0, 2, (count, width)).astype(np.uint8)
    return arrays


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Put a small file in the official place, known to the table by its own MD5."""

    def put(name, size):
        arrays, facts = tiny_arrays(name, size), medmnist_sets()[name]
        path = tmp_path / facts.files[size].filename
        np.savez_compressed(path, **arrays)
        md5 = hashlib.md5(path.read_bytes()).hexdigest()
        files = {**facts.files, size: replace(facts.files[size], md5=md5)}
        known = {name: replace(facts, files=files, counts=TINY)}
        monkeypatch.setattr(medmnist, "medmnist_sets", lambda: known)
        return path, arrays

    return put


@pytest.mark.parametrize(("name", "size"), EVERY_SET)
def test_every_registered_set_opens_or_names_the_file_url_and_place(name, size, tmp_path):
    entry = DATASETS[name]
    if entry.file is None:
        info = open_dataset(name, size=size, offline=True).info
        assert (info.name, info.size, info.task) == (name, size, entry.task)
        return
    with pytest.raises(MissingFileError) as error:
        open_dataset(name, size=size, data_root=tmp_path, offline=True)
    message, file = str(error.value), medmnist_sets()[name].files[size]
    assert all(part in message for part in (str(tmp_path / file.filename), file.url, file.md5, "--data-root"))
    assert "\n" not in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "size"), EVERY_FILE)
def test_every_file_of_the_official_form_opens(name, size, tiny, tmp_path, read_all):
    _, arrays = tiny(name, size)
    dataset = open_dataset(name, size=size, data_root=tmp_path, offline=True)
    facts = medmnist_sets()[name]
    assert (dataset.info.size, dataset.info.ndim, dataset.info.classes) == (size, facts.ndim, facts.classes)
    for group in OFFICIAL_GROUPS:
        images = read_all(dataset, group, batch_size=2)
        assert list(images) == [f"{group}/{row}" for row in range(TINY[group])]
        assert np.array_equal(np.stack(list(images.values())), arrays[f"{group}_images"])
        assert np.array_equal(dataset.labels(group), arrays[f"{group}_labels"])
        assert dataset.labels(group).dtype == np.int64


def test_the_default_folder_is_the_packages_own_and_looking_does_not_make_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_data_root() == tmp_path / ".medmnist"
    with pytest.raises(MissingFileError):
        open_dataset("bloodmnist", offline=True)
    assert not default_data_root().exists()


def test_a_file_of_another_md5_is_refused_with_both_and_left_alone(tiny, tmp_path):
    path, _ = tiny("breastmnist", 28)
    expected = hashlib.md5(path.read_bytes()).hexdigest()
    damaged = bytearray(path.read_bytes())
    damaged[500] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(DataError) as error:
        open_dataset("breastmnist", data_root=tmp_path, offline=True)
    message = str(error.value)
    assert expected in message and hashlib.md5(damaged).hexdigest() in message and "move it away" in message
    assert path.read_bytes() == bytes(damaged)


def test_a_file_with_the_right_md5_and_the_wrong_arrays_is_refused(tiny, tmp_path, monkeypatch):
    tiny("breastmnist", 28)
    facts = medmnist.medmnist_sets()["breastmnist"]
    monkeypatch.setattr(medmnist, "medmnist_sets", lambda: {"breastmnist": replace(facts, counts={"train": 9})})
    with pytest.raises(DataError, match="holds"):
        open_dataset("breastmnist", data_root=tmp_path, offline=True)


def test_an_unknown_size_names_those_there_are():
    with pytest.raises(UsageError, match="28, 64, 128, 224, got 32"):
        open_dataset("bloodmnist", size=32, offline=True)
    with pytest.raises(UsageError, match="28, 64, got 224"):
        open_dataset("organmnist3d", size=224, offline=True)


def test_first_use_fetches_the_file_and_the_second_does_not(tiny, tmp_path, mirror, monkeypatch):
    path, arrays = tiny("breastmnist", 28)
    mirror.content = path.read_bytes()
    path.unlink()
    facts = medmnist.medmnist_sets()["breastmnist"]
    files = {28: replace(facts.files[28], url=mirror.url)}
    monkeypatch.setattr(medmnist, "medmnist_sets", lambda: {"breastmnist": replace(facts, files=files)})
    root, memory = tmp_path / "new" / "folder", DigestMemory(tmp_path / "digests.json")
    for _ in range(2):
        dataset = open_dataset("breastmnist", data_root=root, memory=memory)
        assert np.array_equal(next(dataset.batches("test", 8)).images, arrays["test_images"])
    assert len(mirror.requests) == 1
    assert [found.name for found in root.iterdir()] == ["breastmnist.npz"]


def test_without_network_the_error_is_one_line_with_url_place_and_flag(tmp_path, tiny, monkeypatch):
    tiny("breastmnist", 28)[0].unlink()
    facts = medmnist.medmnist_sets()["breastmnist"]
    url = "http://127.0.0.1:9/breastmnist.npz"  # the discard port: nothing listens there
    files = {28: replace(facts.files[28], url=url)}
    monkeypatch.setattr(medmnist, "medmnist_sets", lambda: {"breastmnist": replace(facts, files=files)})
    with pytest.raises(MissingFileError) as error:
        open_dataset("breastmnist", data_root=tmp_path / "data")
    message = str(error.value)
    assert url in message and str(tmp_path / "data" / "breastmnist.npz") in message and "--data-root" in message
    assert "\n" not in message
    assert isinstance(error.value, MedfeatError) and not list((tmp_path / "data").iterdir())


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_the_official_files_give_the_official_counts_images_and_labels(name, real_data: Path):
    dataset = open_dataset(name, data_root=real_data, offline=True)
    assert dataset.info.counts == dict(zip(OFFICIAL_GROUPS, REAL[name], strict=True))
    with np.load(real_data / f"{name}.npz", allow_pickle=False) as official:
        for group in OFFICIAL_GROUPS:
            batches = list(dataset.batches(group, 100))
            assert np.array_equal(np.concatenate([batch.images for batch in batches]), official[f"{group}_images"])
            assert np.array_equal(np.concatenate([batch.rows for batch in batches]), np.arange(len(dataset.ids(group))))
            assert np.array_equal(dataset.labels(group), official[f"{group}_labels"])
    task = source_task(dataset)
    assert (task.name, len(task.ids)) == ("official", sum(REAL[name]))
    assert task.split[task.ids == "val/3"] == ["val"]


@pytest.mark.realdata
def test_an_official_file_under_another_name_is_still_the_official_set(real_data: Path, tmp_path):
    path = tmp_path / "renamed.npz"
    path.write_bytes((real_data / "breastmnist.npz").read_bytes())
    assert open_dataset(path).info == open_dataset("breastmnist", data_root=real_data).info
