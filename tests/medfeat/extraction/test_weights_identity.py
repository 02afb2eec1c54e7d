"""Files and folders of weights: found again by what they are, missed in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from medfeat.datasets import open_dataset
from medfeat.errors import MissingFileError
from medfeat.extraction.ask.asked import describe_request
from medfeat.extraction.ask.remembered import file_identity
from medfeat.extraction.ask.request import Request
from medfeat.types import View


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    (folder / "sub").mkdir(parents=True)
    for name, content in {"config.json": "{}", "model.bin": "tensors", "sub/code.py": "pass"}.items():
        (folder / name).write_text(content)
        os.utime(folder / name, ns=(5, 5))
    return folder


def rewrite(file: Path, content: str) -> None:
    file.write_text(content)
    os.utime(file, ns=(5, 5))


def rename(file: Path, name: str) -> None:
    file.rename(file.with_name(name))


@pytest.mark.parametrize(
    "change",
    [
        # as many bytes in all, and nothing newer than before
        lambda folder: (rewrite(folder / "config.json", "{ }"), rewrite(folder / "model.bin", "tensor")),
        lambda folder: rename(folder / "config.json", "other.json"),
        lambda folder: rename(folder / "sub" / "code.py", "cade.py"),
        lambda folder: (folder / "empty").touch(),
    ],
)
def test_whatever_changes_in_a_folder_makes_it_another_one(folder: Path, change) -> None:
    before = file_identity(folder)
    change(folder)
    assert file_identity(folder) != before


def test_a_folder_that_was_left_alone_is_the_same(folder: Path) -> None:
    assert file_identity(folder) == file_identity(folder.parent / "weights" / "sub" / "..")


def test_a_path_under_the_home_folder_is_understood(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert file_identity(Path("~/model.bin")) == file_identity(folder / "model.bin")


@pytest.mark.parametrize(
    "name", ["missing.pth", "~/missing.pth", "~nobody-of-this-name/missing.pth", "model.bin/missing"]
)
def test_missing_weights_are_said_in_one_line(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(MissingFileError, match=r"weights file .*missing.* check .*path") as error:
        describe_request(open_dataset("synthetic-binary"), "resnet18", Request(weights=name), View())
    assert name in str(error.value)
    assert "Errno" not in str(error.value)
