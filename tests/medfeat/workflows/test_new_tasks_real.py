"""New tasks on official data: BreastMNIST relabelled and predicted, RetinaMNIST as numbers, AdrenalMNIST3D few-shot."""

from __future__ import annotations

import numpy as np
import pytest

from medfeat.datasets import open_dataset
from medfeat.evaluation.runs.run import read_scores
from medfeat.workflows.extract import extract
from medfeat.workflows.few_shot import few_shot
from medfeat.workflows.predict import predict
from medfeat.workflows.probe import probe

from .embedded import QUICK, export_images

pytestmark = pytest.mark.realdata


def embed(real_data, root, data, backbone, **options):
    options = {"precision": "fp32", "batch_size": 32, "device": "cpu", "compile": False, "offline": True} | options
    extract(data, backbone, data_root=real_data, cache_dir=root, **options)


def test_exported_test_images_of_breastmnist_get_their_stored_scores(real_data, cache_root, tmp_path):
    weights = real_data / "squeezenet1_1_torchvision_fp16src.pth"
    embed(real_data, cache_root, "breastmnist", "squeezenet1_1", weights=weights)
    run = probe("breastmnist", head="linear", cache_dir=cache_root, **QUICK).runs[0]
    folder = export_images(tmp_path / "images", open_dataset("breastmnist", data_root=real_data))
    report = predict(run.folder, folder, cache_dir=cache_root, device="cpu", offline=True)
    np.testing.assert_allclose(report.scores, read_scores(run.folder)["test_scores"], atol=1e-4)
    assert report.embedded == 156


def test_breastmnist_is_relabelled_and_kept_by_name(real_data, cache_root):
    embed(real_data, cache_root, "breastmnist", "pixels")
    run = probe(
        "breastmnist",
        relabel="1=not malignant;0=malignant",
        name="flipped",
        head="linear",
        cache_dir=cache_root,
        **QUICK,
    ).runs[0]
    straight = probe("breastmnist", head="linear", cache_dir=cache_root, **QUICK).runs[0]
    assert run.task["classes"] == ["not malignant", "malignant"]
    assert run.test.auc.value == pytest.approx(straight.test.auc.value, abs=0.01)
    assert probe("breastmnist", task="flipped", head="linear", cache_dir=cache_root, **QUICK).reused == 1


def test_retinamnist_grades_are_predicted_as_numbers(real_data, cache_root):
    embed(real_data, cache_root, "retinamnist", "stats")
    report = probe("retinamnist", task="regression", cache_dir=cache_root, **QUICK)
    assert {run.head for run in report.runs} == {"ridge", "xgboost"}
    for run in report.runs:
        found = run.test.values
        assert found["r2"].value > 0.1 and found["spearman"].value > 0.3
        assert found["mae"].value < run.baselines["mean of train"]["test"]["mae"]
        assert found["rmse"].low < found["rmse"].value < found["rmse"].high


def test_adrenalmnist3d_needs_few_labels_to_beat_chance(real_data, cache_root, tmp_path):
    embed(real_data, cache_root, "adrenalmnist3d", "stats")
    report = few_shot(
        "adrenalmnist3d", shots="1,20,all", draws=5, resamples=50, figure=tmp_path / "c.png", cache_dir=cache_root
    )
    points = report.curves[0].points
    assert [point.labelled for point in points] == [4, 80, 1286]
    assert points[0].values["auc"].value < points[2].values["auc"].value
    assert points[2].values["auc"].value > 0.6
