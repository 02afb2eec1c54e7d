"""What medfeat keeps for itself is written whole or not at all, and others on a shared cache can read it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from medfeat.datasets import write_synthetic
from medfeat.datasets.digests import DigestMemory
from medfeat.extraction.ask.remembered import remember_store


def a_note(folder: Path) -> None:
    remember_store(folder, {"backbone": "resnet18"}, folder / "store.h5")


def digests(folder: Path) -> None:
    given = folder.with_name("given")
    given.write_bytes(b"content")
    memory = DigestMemory(folder / "digests.json")
    memory.remember(given, "md5", "0" * 32)
    memory.save()


def a_synthetic_set(folder: Path) -> None:
    write_synthetic(folder / "synthetic.npz")


@pytest.fixture(params=[a_note, digests, a_synthetic_set])
def write(request):
    return request.param


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such rights")
def test_others_can_read_it_as_the_umask_allows(write, tmp_path):
    (tmp_path / "cache").mkdir()
    before = os.umask(0o027)
    try:
        write(tmp_path / "cache")
    finally:
        os.umask(before)
    (file,) = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_write_that_fails_at_its_end_leaves_nothing(write, tmp_path, monkeypatch):
    (tmp_path / "cache").mkdir()

    def no_room(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_room)
    try:
        write(tmp_path / "cache")
    except OSError as error:
        assert "disk full" in str(error)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
