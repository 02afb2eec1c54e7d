"""Groups are read at the same time, hashed and decoded by several threads, and nothing of it is seen in a store."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from PIL import Image

from medfeat.datasets import open_dataset
from medfeat.datasets.folders.files_dataset import FilesDataset
from medfeat.datasets.npz import npz_dataset
from medfeat.errors import DataError, MissingExtraError, UsageError
from medfeat.extraction.loop import embed_rows, read_ahead
from medfeat.extraction.loop.in_memory import kept_in_memory
from medfeat.extraction.loop.read_ahead import ReadAhead, in_turn
from medfeat.extraction.network.forward import Finished
from medfeat.types import SilentProgress
from medfeat.workflows.extract import extract
from medfeat_cache import FeatureStore, find_stores

COUNTS = {"train": 70, "val": 10, "test": 21}


def arrays(path, side=12):
    draw = np.random.default_rng(0)
    images = {f"{group}_images": draw.integers(0, 256, (n, side, side), np.uint8) for group, n in COUNTS.items()}
    np.savez_compressed(path, **images)
    return path


def folder(path, spoilt=()):
    path.mkdir()
    for number in range(40):
        shape = (12, 12) if number % 16 < 8 else (12, 10 + number % 2)
        pixels = np.random.default_rng(number).integers(0, 256, shape, np.uint8)
        Image.fromarray(pixels).save(path / f"{number:02}.png")
    for number in spoilt:
        (path / f"{number:02}.png").write_bytes(b"spoilt")
    return path


def run(cache, data, **options):
    options = {"batch_size": 8, "device": "cpu", "cache_dir": cache} | options
    return extract(str(data), "stats", **options).stores[0].path


def content(path):
    """Every dataset of a store, and what it says of its images."""
    with FeatureStore(path) as store, h5py.File(path) as file:
        found = {}
        file.visititems(lambda name, item: found.update({name: item[:].tobytes()} if hasattr(item, "dtype") else {}))
        return store.digest, found, store.info["bad_images"], store.info["source"]


def own_threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("medfeat-")]


@pytest.mark.parametrize("kind", ["npz", "folder", "folder with bad images"])
def test_a_store_is_the_same_whoever_reads_it(tmp_path, kind):
    data = arrays(tmp_path / "mine.npz") if kind == "npz" else folder(tmp_path / "i", (0, 3, 8, 39) * ("bad" in kind))
    one, four, auto = (content(run(tmp_path / f"{n}", data, workers=n)) for n in (1, 4, "auto"))
    assert one == four == auto
    assert "workers" not in one[3]
    assert [bad["id"] for bad in one[2]] == (["00.png", "03.png", "08.png", "39.png"] if "bad" in kind else [])


@pytest.mark.parametrize("workers", [0, -1, "many", 1.5])
def test_a_number_of_workers_that_cannot_be_meant_is_refused(tmp_path, workers):
    with pytest.raises(UsageError, match=r"--workers must be auto or a positive whole number, got"):
        run(tmp_path / "c", folder(tmp_path / "i"), workers=workers)


def test_groups_are_read_at_the_same_time_and_give_what_each_gives_alone(tmp_path, monkeypatch):
    data, real = arrays(tmp_path / "mine.npz"), npz_dataset.read_rows
    all_three = threading.Barrier(3, timeout=60)  # none of them gives a row before all have begun

    def read_rows(*arguments):
        if threading.current_thread().name == "medfeat-reader":
            all_three.wait()
        yield from real(*arguments)

    monkeypatch.setattr(npz_dataset, "read_rows", read_rows)
    together = content(run(tmp_path / "together", data))
    monkeypatch.undo()
    monkeypatch.setattr(embed_rows, "_image_bytes", lambda _info: 0)  # as if nobody knew what they take
    assert content(run(tmp_path / "one by one", data)) == together


def test_large_images_are_read_one_group_after_the_other(tmp_path, monkeypatch):
    dataset = open_dataset(arrays(tmp_path / "mine.npz"))
    missing = {group: np.arange(count) for group, count in COUNTS.items()}
    monkeypatch.setattr(read_ahead, "MOST_BYTES", 3 * 8 * 12 * 12)
    assert [list(groups) for groups in embed_rows._rounds(dataset, missing, 8)] == [list(COUNTS)]
    assert [list(groups) for groups in embed_rows._rounds(dataset, missing, 9)] == [[group] for group in COUNTS]


def test_a_dataset_that_says_nothing_is_read_group_by_group():
    dataset = open_dataset("synthetic-binary")
    missing = {group: np.arange(count) for group, count in dataset.info.counts.items()}
    assert [list(groups) for groups in embed_rows._rounds(dataset, missing, 8)] == [["train"], ["val"], ["test"]]


def test_sources_take_turns_so_that_all_end_together():
    sources = {"a": list("aaaaaa"), "b": list("bbb"), "c": ["c"]}
    order = "".join(in_turn(sources, {name: len(items) for name, items in sources.items()}, lambda _item: 1))
    assert order == "abcaabaaba"  # of two of which the same share is left, the first
    assert "".join(in_turn({"a": "ab", "none": ""}, {"a": 2, "none": 1}, lambda _item: 1)) == "ab"


def test_an_error_in_one_of_several_groups_ends_all(tmp_path):
    data = arrays(tmp_path / "mine.npz", side=60)
    content_of = bytearray(data.read_bytes())
    at = content_of.index(b"test_images.npy") + 40_000
    content_of[at : at + 200] = bytes(200)
    data.write_bytes(bytes(content_of))
    with pytest.raises(DataError, match=r"mine\.npz, 'test_images' near row \d+ is damaged") as caught:
        run(tmp_path / "c", data)
    assert "\n" not in str(caught.value)
    assert not find_stores(tmp_path / "c")
    assert not own_threads()


@pytest.mark.parametrize("error", [MemoryError("no room for it"), MissingExtraError("pip install it")])
def test_an_error_in_a_thread_that_decodes_ends_the_run(tmp_path, monkeypatch, error):
    images, real = folder(tmp_path / "i"), FilesDataset._read

    def read(self, row, *rest):
        if threading.current_thread().name.startswith("medfeat-decode") and row == 21:
            raise error
        return real(self, row, *rest)

    monkeypatch.setattr(FilesDataset, "_read", read)
    with pytest.raises(type(error), match=str(error)):
        run(tmp_path / "c", images, workers=4)
    assert not own_threads()
    assert not find_stores(tmp_path / "c")


def test_an_error_in_a_thread_that_hashes_ends_the_run(tmp_path, monkeypatch):
    data, real = arrays(tmp_path / "mine.npz"), embed_rows.image_hashes

    def hashes(images):
        if len(images) == 6:  # the last of train
            raise TypeError("an image must be uint8, got float32")
        return real(images)

    monkeypatch.setattr(embed_rows, "image_hashes", hashes)
    with pytest.raises(TypeError, match="must be uint8"):
        run(tmp_path / "c", data, workers=4)
    assert not own_threads()
    assert not find_stores(tmp_path / "c")


class Interrupting(SilentProgress):
    """A person who loses patience after some batches."""

    def advance(self, count):
        self.said.append(str(count))
        if sum(one.isdigit() for one in self.said) == 4:
            raise KeyboardInterrupt


@pytest.mark.parametrize("kind", ["npz", "folder"])
def test_an_interrupted_run_leaves_no_thread_and_goes_on(tmp_path, kind):
    data = arrays(tmp_path / "mine.npz") if kind == "npz" else folder(tmp_path / "i")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "c", data, progress=Interrupting(), workers=4)
    assert not own_threads()
    assert not find_stores(tmp_path / "c")
    assert content(run(tmp_path / "c", data))[:2] == content(run(tmp_path / "whole", data))[:2]


def test_leaving_early_closes_the_source_in_the_thread_that_used_it():
    closed = []

    def source():
        try:
            yield from range(100)
        finally:
            closed.append(threading.current_thread().name)

    with ReadAhead(source(), depth=1) as items:
        next(iter(items))
    assert closed == ["medfeat-reader"]


class Writer:
    """Takes parts, and keeps nothing."""

    manifest = SimpleNamespace(recipe={})

    def __init__(self):
        self.rows = 0

    def missing_rows(self, group):
        return np.arange(COUNTS[group])

    def write_rows(self, _group, rows, *_rest, **_options):
        self.rows += len(rows)


class Forward:
    """A network that counts what is not yet durable."""

    batch_size, backoff, device = 8, (), SimpleNamespace(type="cpu")

    def __init__(self, writer):
        self.writer, self.seen, self.most = writer, 0, 0

    def submit(self, images):
        self.seen += len(images)
        self.most = max(self.most, self.seen - self.writer.rows)
        return Finished([np.ones((len(images), 2), np.float32)])


def test_a_kill_costs_no_more_when_three_groups_are_read_at_once(tmp_path):
    dataset, writer = open_dataset(arrays(tmp_path / "mine.npz")), Writer()
    forward = Forward(writer)
    embed_rows.extract_rows(dataset, forward, {0: writer}, part_batches=4, progress=SilentProgress())
    assert writer.rows == sum(COUNTS.values())
    assert 3 * 8 < forward.most <= 4 * 8  # what one part holds, of all groups together


def test_groups_that_are_kept_together_give_their_room_back(tmp_path):
    dataset = open_dataset(arrays(tmp_path / "mine.npz"))
    whole = sum(COUNTS.values()) * 12 * 12
    kept = kept_in_memory(dataset, limit_bytes=whole - 1)
    assert kept.reading == dataset.reading
    started = {group: kept.batches(group, 8) for group in COUNTS}
    for _ in in_turn(started, COUNTS, lambda batch: len(batch.rows)):
        pass
    assert set(kept._groups) != set(COUNTS)  # one of them did not fit
    assert kept._room == whole - 1 - sum(COUNTS[group] for group in kept._groups) * 12 * 12
    half = kept.batches("val" if "val" not in kept._groups else "test", 8)
    for group in COUNTS:
        found = np.concatenate([batch.images for batch in kept.batches(group, 16)])
        assert np.array_equal(found, np.concatenate([batch.images for batch in dataset.batches(group, 16)]))
    half.close()
