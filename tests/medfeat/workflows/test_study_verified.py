"""A study is verified by what the cache holds: without the file of its data, and wherever its weights lie."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
import torchvision

from medfeat.workflows.study import study, verify_study
from medfeat_cache import Stamp

OFFICIAL = """
data = "breastmnist"
backbone = "stats"
head = ["majority", "prototypes"]
resamples = 20
"""
OWN = """
data = "synthetic-binary"
backbone = "squeezenet1_1"
weights = "{weights}"
precision = "fp32"
head = ["majority", "prototypes"]
resamples = 20
"""


TRAINED = """
data = "synthetic-binary"
backbone = "squeezenet1_1"
weights = "{weights}"
precision = "fp32"
mode = "head"
epochs = 1
resamples = 20
"""


def verdicts(folder, cache, **places):
    report = verify_study(folder, cache_dir=cache, **places)
    return {(one.kind, one.verdict, one.off) for one in report.cells}, report


@pytest.mark.realdata
def test_a_cache_answers_without_the_file_of_its_data(real_data, tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    shutil.copy(real_data / "breastmnist.npz", files)
    (tmp_path / "grid.toml").write_text(OFFICIAL)
    made = study(tmp_path / "grid.toml", out=tmp_path / "out", cache_dir=tmp_path / "cache", data_root=files)
    assert made.exit_code() == 0
    shutil.rmtree(files)
    found, report = verdicts(tmp_path / "out", tmp_path / "cache", data_root=tmp_path / "nothing")
    assert report.reproduced and {verdict for _, verdict, _ in found} == {"equal"}
    assert str(tmp_path) not in (tmp_path / "out/manifest.json").read_text()
    found, report = verdicts(tmp_path / "out", tmp_path / "empty", data_root=tmp_path / "nothing")
    assert {verdict for _, verdict, _ in found} == {"data not here"}
    (table,) = report.tables()  # no line a cell
    said = " ".join(table.notes)
    assert said.count("breastmnist is not here") == 1 and "--data-root FOLDER says where its files lie" in said
    assert f"--data-root {tmp_path / 'nothing'}" in report.how
    assert "--data-root FOLDER" in verify_study(tmp_path / "out", cache_dir=tmp_path / "empty").how


def weights_at(path, seed=0):
    torch.manual_seed(seed)
    torch.save(torchvision.models.squeezenet1_1().state_dict(), path)
    return path


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The folder of a study with own weights, and where these lie."""
    monkeypatch.setattr(Stamp, "settled", lambda *_: True)  # however long this takes
    file = weights_at(tmp_path / "mine.pth")
    (tmp_path / "own.toml").write_text(OWN.format(weights=file))
    made = study(tmp_path / "own.toml", out=tmp_path / "out", cache_dir=tmp_path / "cache", device="cpu")
    assert made.exit_code() == 0 and made.made == 3
    return file


def test_cells_go_by_the_digest_of_their_weights_and_not_by_their_file(own, tmp_path):
    out, cache = tmp_path / "out", tmp_path / "cache"
    copy = tmp_path / "elsewhere.bin.pth"
    shutil.move(own, copy)
    found, report = verdicts(out, cache, device="cpu")
    assert report.reproduced, found
    text = (out / "study.toml").read_text()
    (out / "study.toml").write_text(text.replace(str(own), str(copy)))
    found, report = verdicts(out, cache, device="cpu")
    assert report.reproduced and len(report.cells) == 3, found
    weights_at(copy, seed=1)
    found, report = verdicts(out, cache, device="cpu")
    assert {verdict for _, verdict, _ in found} == {"not made here"}
    assert all("study.toml has its weights (blake2b:" in off for _, _, off in found)


def test_other_weights_in_the_place_of_those_are_not_taken_for_them(own, tmp_path):
    weights_at(own, seed=1)
    found, report = verdicts(tmp_path / "out", tmp_path / "cache", device="cpu")
    assert {verdict for _, verdict, _ in found} == {"not made here"} and not report.reproduced


def test_weights_that_are_nowhere_are_no_missing_data(own, tmp_path):
    own.unlink()
    found, _ = verdicts(tmp_path / "out", tmp_path / "empty", device="cpu")
    assert {verdict for _, verdict, _ in found} == {"not made here"}
    assert all("mine.pth is not there" in off for _, _, off in found)


def test_a_cell_that_the_text_no_longer_asks_for_is_said_so(own, tmp_path):
    text = (tmp_path / "out/study.toml").read_text()
    (tmp_path / "out/study.toml").write_text(text.replace('"prototypes"', '"knn"'))
    kept = json.loads((tmp_path / "out/manifest.json").read_text())
    assert [one["kind"] for one in kept["cells"]] == ["embedding", "probe", "probe"]
    found, _ = verdicts(tmp_path / "out", tmp_path / "cache", device="cpu")
    (off,) = [off for _, verdict, off in found if verdict == "not made here"]
    assert off.startswith("study.toml asks for no such cell here")


def test_a_training_goes_by_the_digest_of_the_weights_it_began_with(tmp_path, monkeypatch):
    monkeypatch.setattr(Stamp, "settled", lambda *_: True)
    file, out, cache = weights_at(tmp_path / "mine.pth"), tmp_path / "out", tmp_path / "cache"
    (tmp_path / "own.toml").write_text(TRAINED.format(weights=file))
    study(tmp_path / "own.toml", out=out, cache_dir=cache, device="cpu")
    copy = shutil.move(file, tmp_path / "elsewhere.bin.pth")
    found, report = verdicts(out, cache, device="cpu")
    assert report.reproduced and ("training", "equal", "") in found, found
    text = (out / "study.toml").read_text()
    (out / "study.toml").write_text(text.replace(str(file), str(copy)))
    found, report = verdicts(out, cache, device="cpu")
    assert report.reproduced and ("training", "equal", "") in found, found
    weights_at(copy, seed=1)
    found, report = verdicts(out, cache, device="cpu")
    assert {verdict for _, verdict, _ in found} == {"not made here"}, found
    assert all("study.toml has its weights (blake2b:" in off for _, _, off in found)
