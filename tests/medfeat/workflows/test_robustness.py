"""Worse copies of test are embedded once, and every head is tested on them."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from medfeat.datasets import open_dataset
from medfeat.datasets.corrupted import CorruptedImages
from medfeat.errors import DataError
from medfeat.evaluation.judging.robustness import judge_corrupted
from medfeat.evaluation.runs.run import read_scores
from medfeat.report import robustness as drawing
from medfeat.workflows.predict import predict
from medfeat.workflows.probe import probe
from medfeat.workflows.robustness import robustness
from medfeat_cache import FeatureStore, find_stores
from medfeat_cli.main import run as command

from .embedded import QUICK, embed, plant


def test_copies_are_embedded_once_and_every_head_finds_them(counting, cache_root, tmp_path, monkeypatch):
    embed(cache_root)
    before = counting.images
    report = robustness("synthetic-binary", head="linear,knn", cache_dir=cache_root, device="cpu", **QUICK)
    made = counting.images - before
    assert 20 * 160 <= made < 20 * 160 + 200, "each copy once, and a few batches to measure"
    assert [one.run.head for one in report.found] == ["linear", "knn"] and not report.failed
    again = robustness(
        "synthetic-binary", head="linear", figure=tmp_path / "r.png", cache_dir=cache_root, device="cpu", **QUICK
    )
    assert counting.images - before == made
    assert again.found[0].to_dict() == report.found[0].to_dict()
    assert np.asarray(Image.open(tmp_path / "r.png").convert("L")).std() > 5
    table = again.tables()[0]
    assert table.columns == ("test AUC, severity", "0", "1", "2", "3", "4", "5", "mean 1-5")
    assert [row[0] for row in table.rows] == ["gaussian noise", "blur", "contrast", "compression"]
    json.dumps(again.to_dict(), allow_nan=False)
    drawn = []
    monkeypatch.setattr(drawing, "save", lambda figure, path: drawn.append(figure) or path)
    drawing.draw_robustness(report.found, tmp_path / "again.png")
    assert len({axes.get_ylim() for axes in drawn[0].axes}) == 1, "panels beside each other have one scale"


def test_a_severity_is_what_the_saved_probe_says_of_the_same_images_as_files(counting, cache_root, tmp_path):
    embed(cache_root)
    found = robustness("synthetic-binary", cache_dir=cache_root, device="cpu", **QUICK).found[0]
    base = open_dataset("synthetic-binary")
    worse = CorruptedImages(base, base.ids("test"))
    folder = tmp_path / "noisy"
    folder.mkdir()
    for batch in worse.batches("noise-5", 64):
        for row, image in zip(batch.rows.tolist(), batch.images, strict=True):
            Image.fromarray(image).save(folder / f"{row:04d}.png")
    said = predict(found.run.folder, folder, cache_dir=cache_root, device="cpu")
    from sklearn.metrics import roc_auc_score

    labels = read_scores(found.run.folder)["test_labels"][:, 0]
    assert found.scores["noise"][5].auc.value == pytest.approx(roc_auc_score(labels, said.scores[:, 1]), abs=1e-6)


def test_a_run_that_was_kept_nowhere_has_no_head_to_test():
    run = SimpleNamespace(folder=None, key="0123456789abcdef")
    with pytest.raises(DataError, match=r"^run 0123456789ab was not written: its head cannot be tested$"):
        judge_corrupted(run, None, noise="gaussian")


def test_the_store_of_copies_is_no_dataset_that_a_plain_probe_takes(counting, cache_root):
    embed(cache_root)
    robustness("synthetic-binary", cache_dir=cache_root, device="cpu", **QUICK)
    names = {header.recipe["dataset"] for header in find_stores(cache_root)}
    assert names == {"synthetic-binary", "synthetic-binary-corrupted"}
    report = probe(head="linear", cache_dir=cache_root, **QUICK)
    assert {run.dataset for run in report.runs} == {"synthetic-binary"} and not report.failed
    path = next(header.path for header in find_stores(cache_root, dataset="synthetic-binary-corrupted"))
    with FeatureStore(path, verify=True) as store:
        assert store.n("compression-5") == 160


def test_features_without_images_are_one_line(cache_root):
    plant(cache_root, counts={"train": 60, "val": 30, "test": 60})
    with pytest.raises(DataError, match="were not made by medfeat"):
        robustness("planted", cache_dir=cache_root, **QUICK)


def test_the_command_prints_the_table_and_refuses_what_has_no_effect(counting, cache_root, capsys, tmp_path):
    embed(cache_root)
    said = ["probe", "--data", "synthetic-binary", "--cache-dir", str(cache_root), "--resamples", "20"]
    figure = tmp_path / "r.svg"
    assert command([*said, "--corrupt", "--figure", str(figure), "--device", "cpu"]) == 0
    out = capsys.readouterr()
    assert "gaussian noise" in out.out and figure.is_file()
    assert command([*said, "--device", "cpu"]) == 2
    assert "no effect without --corrupt" in capsys.readouterr().err
