"""An .npz that was inflated once: the same images, read by place, and never a damaged or another file's."""

import os
import shutil
import zipfile

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

import medfeat
from medfeat.datasets import open_dataset
from medfeat.datasets.npz import npz_arrays
from medfeat.errors import DataError, UsageError
from medfeat.types import SilentProgress
from medfeat.workflows.cache import tidy
from medfeat_cache import FeatureStore, StoreError
from medfeat_cli.main import app

COUNTS = {"train": 70, "val": 10, "test": 21}


class Heard(SilentProgress):
    def __init__(self):
        self.lines, self.bars = [], []

    def say(self, line):
        self.lines.append(line)

    def start(self, total, what, unit="images"):
        self.bars.append(what)


def npz(path, seed=0, save=np.savez_compressed, **more):
    draw = np.random.default_rng(seed)
    arrays = {f"{group}_images": draw.integers(0, 9, (n, 12, 10, 3), np.uint8) for group, n in COUNTS.items()}
    arrays |= {f"{group}_labels": draw.integers(0, 2, (n, 1)) for group, n in COUNTS.items()}
    save(path, **arrays, **more)
    return path


def images(dataset, group="train", rows=None):
    return np.concatenate([batch.images for batch in dataset.batches(group, 16, rows)])


def opened(path, root, **options):
    heard = Heard()
    return open_dataset(path, memory=root, progress=heard, **options), heard


def place(root):
    return next((root / ".unpacked").glob("*.npz"))


def test_images_are_the_same_and_come_from_the_inflated_file(tmp_path):
    path, root = npz(tmp_path / "a.npz"), tmp_path / "cache"
    plain = open_dataset(path)
    first, heard = opened(path, root, unpack=True)
    assert any("unpacking a.npz" in bar for bar in heard.bars)
    assert any("`medfeat cache gc --unpacked --cache-dir" in line for line in heard.lines)
    later, heard = opened(path, root)
    assert not heard.lines and not any("unpacking" in bar or "checking" in bar for bar in heard.bars)
    for dataset in (first, later):
        assert dataset.info == plain.info
        assert {member.path for member in dataset.arrays.images.values()} == {place(root)}
        for group in COUNTS:
            np.testing.assert_array_equal(images(dataset, group), images(plain, group), strict=True)
            np.testing.assert_array_equal(dataset.labels(group), plain.labels(group), strict=True)
        rows = np.array([3, 4, 69])
        np.testing.assert_array_equal(images(dataset, "train", rows), images(plain, "train", rows), strict=True)
    with zipfile.ZipFile(place(root)) as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.namelist() == [f"{group}_images.npy" for group in COUNTS]
    found = np.load(place(root))
    np.testing.assert_array_equal(found["test_images"], images(plain, "test"))


def test_nothing_is_inflated_again(tmp_path, monkeypatch):
    path, root = npz(tmp_path / "a.npz"), tmp_path / "cache"
    opened(path, root, unpack=True)
    monkeypatch.setattr(npz_arrays, "_inflated_rows", None)
    dataset, heard = opened(path, root, unpack=True)
    assert images(dataset).shape == (70, 12, 10, 3)
    assert not any("unpacking" in bar for bar in heard.bars)


def test_another_file_of_that_name_is_not_read_from_it(tmp_path):
    path, root = npz(tmp_path / "a.npz"), tmp_path / "cache"
    opened(path, root, unpack=True)
    npz(path, seed=1)
    dataset, _ = opened(path, root)
    np.testing.assert_array_equal(images(dataset), images(open_dataset(path)), strict=True)
    assert {member.path for member in dataset.arrays.images.values()} == {path}


@pytest.mark.parametrize("harm", ["flipped", "cut", "other", "no zip"])
def test_a_damaged_one_is_removed_and_the_file_itself_is_read(tmp_path, harm):
    path, root = npz(tmp_path / "a.npz"), tmp_path / "cache"
    opened(path, root, unpack=True)
    content = bytearray(place(root).read_bytes())
    if harm == "flipped":
        content[4000] ^= 1
    elif harm == "cut":
        del content[-2000:]
    elif harm == "other":
        content = npz(tmp_path / "b.npz", save=np.savez, extra=np.zeros(3)).read_bytes()[:-1]
    else:
        content = b"no zip at all"
    place(root).write_bytes(content)
    dataset, heard = opened(path, root)
    assert len(heard.lines) == 1 and "is damaged and is not used: unpack again with --unpack" in heard.lines[0]
    assert not list((root / ".unpacked").iterdir())
    np.testing.assert_array_equal(images(dataset), images(open_dataset(path)), strict=True)


def test_one_whose_notes_are_lost_is_compared_with_its_checksums_once(tmp_path):
    path, root = npz(tmp_path / "a.npz"), tmp_path / "cache"
    opened(path, root, unpack=True)
    (root / "digests.json").unlink()
    _, heard = opened(path, root)
    assert [bar for bar in heard.bars if bar.startswith("checking")] == [f"checking {place(root).name}"]
    _, heard = opened(path, root)
    assert not any(bar.startswith("checking") for bar in heard.bars)


def test_a_file_that_changes_meanwhile_or_is_damaged_leaves_nothing(tmp_path):
    path, root = npz(tmp_path / "a.npz"), tmp_path / "cache"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        opened(path, root, unpack=True)
    assert not list((root / ".unpacked").iterdir())


def test_a_disk_without_room_is_named_before_anything_is_written(tmp_path, monkeypatch):
    path, root = npz(tmp_path / "a.npz"), tmp_path / "cache"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1000))
    with pytest.raises(UsageError, match=r"--unpack needs 0.00 GB and .* has 0.00 GB free: make room"):
        opened(path, root, unpack=True)
    assert not list((root / ".unpacked").iterdir())


def test_a_cache_that_cannot_be_written_is_one_line_and_what_a_kill_left_is_collected(tmp_path):
    path, root = npz(tmp_path / "a.npz"), tmp_path / "cache"
    root.mkdir()
    (root / ".unpacked").write_text("in the way")
    with pytest.raises(StoreError, match="unpacking into"):
        opened(path, root, unpack=True)
    (root / ".unpacked").unlink()
    (root / ".unpacked").mkdir()
    left = root / ".unpacked" / ".0123.npz.1-0123abcd.tmp"
    left.write_bytes(b"half")
    os.utime(left, (1, 1))
    assert [one.path for one in tidy(cache_dir=root)] == [left] and not left.exists()


def test_what_cannot_be_inflated_says_so(tmp_path):
    path = npz(tmp_path / "a.npz", save=np.savez)
    _, heard = opened(path, tmp_path / "cache", unpack=True)
    assert heard.lines == [f"{path} is not compressed: it is read at the disk's speed as it is"]
    assert not (tmp_path / "cache" / ".unpacked").exists()
    with pytest.raises(UsageError, match="no cache was named"):
        open_dataset(npz(tmp_path / "b.npz"), unpack=True)
    (tmp_path / "folder").mkdir()
    for data in (str(tmp_path / "folder"), "synthetic"):
        with pytest.raises(UsageError, match=r"--unpack is for the images of an \.npz, and .* is none; leave it out"):
            open_dataset(data, unpack=True, memory=tmp_path / "cache")
    with pytest.raises(UsageError, match="unpack is for data that is named"):
        medfeat.extract([np.zeros((8, 8), np.uint8)], "stats", unpack=True, cache_dir=tmp_path / "cache")


def test_a_store_is_the_same_and_the_command_tells_what_it_takes(tmp_path):
    path = npz(tmp_path / "a.npz")

    def run(*words):
        done = CliRunner().invoke(app, list(map(str, words)))
        assert done.exit_code == 0, done.output
        return done.output

    def content(root):
        with h5py.File(next(root.glob("a/*/*.h5"))) as file, FeatureStore(file.filename) as store:
            return store.digest, store.info["source"], file["train/embeddings"][:].tobytes()

    for root, more in ((tmp_path / "x", []), (tmp_path / "y", ["--unpack"])):
        run("extract", "--data", path, "--backbone", "stats", "--cache-dir", root, *more)
    assert content(tmp_path / "x") == content(tmp_path / "y")
    root = tmp_path / "y"
    assert f"`medfeat cache gc --unpacked --cache-dir {root}`" in run("cache", "ls", "--cache-dir", root)
    assert "nothing to remove" in run("cache", "gc", "--cache-dir", root)
    assert "freed" in run("cache", "gc", "--unpacked", "--yes", "--cache-dir", root)
    assert not (root / ".unpacked").exists()
    refused = CliRunner().invoke(app, ["extract", "--data", str(path), "--backbone", "stats", "--unpack", "--dry-run"])
    assert refused.exit_code == 2
