"""Data that is replaced while it is embedded, data that cannot be written, a store from the future: never believed."""

from __future__ import annotations

import os

import h5py
import numpy as np
import pytest
from PIL import Image

from medfeat.datasets.folders.files_dataset import FilesDataset
from medfeat.errors import DataError
from medfeat.workflows.extract import extract
from medfeat_cache import FeatureStore, find_stores
from medfeat_cli.main import run as command

from .test_adversity import mounted


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12), dtype=np.uint8)
    Image.fromarray(pixels).save(path, compress_level=0)  # so that all are of one size


def folder_of(folder):
    for i in range(24):
        picture(folder / "ab"[i % 2] / f"{i:02}.png", i)
    return folder


def arrays(path, seed):
    rng, found = np.random.default_rng(seed), {}
    for group in ("train", "val", "test"):
        found[f"{group}_images"] = rng.integers(0, 256, (30, 12, 12), dtype=np.uint8)
        found[f"{group}_labels"] = (np.arange(30) % 2)[:, None]
    np.savez(path, **found)
    return path


def once(monkeypatch, change, after):
    """Let something happen once, while images are read: after so many."""
    real, seen = FilesDataset._read, []

    def read(self, row, *rest):
        image = real(self, row, *rest)
        seen.append(row)
        if len(seen) == after:
            change()
        return image

    monkeypatch.setattr(FilesDataset, "_read", read)


def run(cache_root, data, **options):
    options = {"batch_size": 4, "device": "cpu", "cache_dir": cache_root} | options
    return extract(str(data), "stats", **options).stores[0]


@pytest.mark.parametrize("row", [3, 20])
@pytest.mark.parametrize("kept", ["size and date", "size"])
def test_an_image_replaced_while_others_are_read_is_named_and_nothing_is_published(
    cache_root, tmp_path, monkeypatch, row, kept
):
    images = folder_of(tmp_path / "images")
    path = sorted(images.rglob("*.png"))[row]
    before = path.stat()

    def replace():
        path.unlink()
        picture(path, 99)
        if kept == "size and date":
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    once(monkeypatch, replace, after=5)  # the first is looked at twice, before anything is embedded
    with pytest.raises(DataError, match=f"{path.name} was changed while it was read") as caught:
        run(cache_root, images)
    assert "\n" not in str(caught.value)
    assert not find_stores(cache_root)
    monkeypatch.undo()
    with (
        FeatureStore(run(cache_root, images).path) as store,
        FeatureStore(run(tmp_path / "other", images).path) as other,
    ):
        assert store.digest == other.digest
        assert np.array_equal(store.embeddings("all"), other.embeddings("all"))


def test_an_image_that_is_only_touched_or_linked_goes_on(cache_root, tmp_path, monkeypatch):
    images = folder_of(tmp_path / "images")
    path = sorted(images.rglob("*.png"))[20]

    def touch():
        os.utime(path)
        os.link(path, tmp_path / "another-name.png")

    once(monkeypatch, touch, after=5)
    assert run(cache_root, images).images == 24


def test_an_npz_replaced_while_it_is_read_is_named_and_nothing_is_published(cache_root, tmp_path, monkeypatch):
    from medfeat.datasets.npz import npz_dataset

    file = arrays(tmp_path / "mine.npz", 0)
    real = npz_dataset.read_rows

    def read_rows(member, *rest):
        if member.key == "val_images":
            arrays(tmp_path / "other.npz", 1).replace(file)
        return real(member, *rest)

    monkeypatch.setattr(npz_dataset, "read_rows", read_rows)
    with pytest.raises(DataError, match=r"mine\.npz was changed while it was read"):
        run(cache_root, file)
    assert not find_stores(cache_root)


@pytest.mark.parametrize("cut", [0, 1000])
def test_an_npz_cut_while_it_is_read_ends_in_one_line_and_not_the_process(cache_root, tmp_path, monkeypatch, cut):
    """A mapping of a file that is cut would end the process by SIGBUS."""
    from medfeat.datasets.npz import npz_dataset

    file = arrays(tmp_path / "mine.npz", 0)
    real = npz_dataset.read_rows

    def read_rows(member, *rest):
        for number, found in enumerate(real(member, *rest)):
            if number == 1:
                os.truncate(file, cut)
            yield found

    monkeypatch.setattr(npz_dataset, "read_rows", read_rows)
    with pytest.raises(DataError, match=r"mine\.npz"):
        run(cache_root, file)
    assert not find_stores(cache_root)


@pytest.mark.parametrize("kind", ["folder", "npz"])
def test_data_that_cannot_be_written_is_embedded(cache_root, tmp_path, kind):
    import subprocess

    with mounted(tmp_path / "fixed", "size=4m") as folder:
        data = folder_of(folder / "images") if kind == "folder" else arrays(folder / "mine.npz", 0)
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        assert run(cache_root, data).images == (24 if kind == "folder" else 90)


WORDS = (
    "extract --data {data} --backbone stats",
    "extract --data {data} --backbone stats,pixels",
    "probe --resamples 20",
    "cache ls",
    "cache info {store}",
    "cache verify",
    "cache repair {store}",
    "cache export {store} {out}",
    "cache gc --yes",
    "search --data images --backbone stats --id a/00.png",
    "audit --data images --backbone stats",
    "explore --data {data} --backbone stats --no-images --out {out}.html",
    "compare",
    "report --out {out}-report.html",
    "runs verify",
)


def test_a_store_from_the_future_is_named_by_every_command_and_no_byte_of_it_changes(cache_root, tmp_path, capsys):
    data = folder_of(tmp_path / "images")
    store = run(cache_root, data).path
    with h5py.File(store, "r+") as file:
        file.attrs["format_version"] = 3
        file.attrs["created_by"] = np.bytes_("medfeat 9.1")
    before = store.read_bytes()
    for words in WORDS:
        arguments = words.format(data=data, store=store, out=tmp_path / "out").split()
        code = command([*arguments, "--cache-dir", str(cache_root)])
        said = capsys.readouterr()
        assert code in (0, 1, 2), words
        assert "Traceback" not in said.err and "unforeseen" not in said.err, words
        assert store.read_bytes() == before, words
        if words.startswith(("extract", "probe", "cache ls", "cache verify", "cache repair", "cache export")):
            assert "medfeat 9.1" in said.err + said.out, words
