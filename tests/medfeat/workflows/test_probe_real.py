"""Official BreastMNIST and real SqueezeNet weights, end to end: the figures of the independent yardstick."""

from __future__ import annotations

import shutil
import warnings

import pytest

from medfeat.evaluation.runs.run import read_scores
from medfeat.workflows.compare import compare
from medfeat.workflows.extract import extract
from medfeat.workflows.probe import probe

WEIGHTS = "squeezenet1_1_torchvision_fp16src.pth"

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    import os
    from pathlib import Path

    folder = os.environ.get("MEDFEAT_REAL_DATA")
    if not folder:
        pytest.skip("MEDFEAT_REAL_DATA is not set: no official data or real weights here")
    root = tmp_path_factory.mktemp("real-cache")
    common = {"size": 28, "data_root": folder, "cache_dir": root, "precision": "fp32", "device": "cpu", "offline": True}
    extract("breastmnist", "squeezenet1_1", weights=Path(folder) / WEIGHTS, **common)
    extract("breastmnist", "pixels", **common)
    return root


@pytest.fixture(scope="module")
def report(cache):
    return probe("breastmnist", "squeezenet1_1", head="linear", cache_dir=cache)


def test_the_linear_probe_equals_the_yardstick(report):
    (run,) = report.runs
    assert run.test.auc.value == pytest.approx(0.899, abs=0.005)
    assert run.test.acc.value == pytest.approx(0.878, abs=1 / 156)
    assert run.test.auc.low < 0.901 < run.test.auc.high, "the official ResNet-18 lies inside our interval"


def test_it_exceeds_raw_pixels(report):
    (pixels,) = report.baselines
    assert report.runs[0].test.auc.value > pixels.test.auc.value + 0.05


def test_the_official_package_reads_the_file_to_the_same_numbers(report, real_data, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from medmnist import Evaluator

        class Here(Evaluator):
            def __init__(self, flag, split, size=None):
                super().__init__(flag, split, size=size, root=str(real_data))

        (run,) = report.runs
        for split, metrics in (("val", run.val), ("test", run.test)):
            (file,) = run.folder.glob(f"breastmnist_{split}_*.csv")
            copy = shutil.copy(file, tmp_path)
            found = Here.parse_and_evaluate(str(copy))
            assert pytest.approx((metrics.auc.value, metrics.acc.value), abs=1e-12) == (found.AUC, found.ACC)


def test_a_second_probe_reuses_both_runs(report, cache):
    again = probe(head="linear", cache_dir=cache)
    assert again.reused == 2 == len(again.runs)
    first, second = report.runs[0], next(run for run in again.runs if run.backbone == "squeezenet1_1")
    assert second.test == first.test
    assert (read_scores(second.folder)["test_scores"] == read_scores(first.folder)["test_scores"]).all()


def test_it_stands_beside_the_published_rows_with_its_interval(report, cache):
    (run,) = report.runs
    text = compare("breastmnist", backbone="squeezenet1_1", cache_dir=cache).render("markdown")
    val, test = (f"{found.auc.value:.3f}" for found in (run.val, run.test))
    assert f"**ours: squeezenet1_1** | **{val}** | **linear probe** | **28 enlarged to 224** | **{test} [" in text
    assert "ResNet-18 (28)" in text and "Google AutoML Vision" in text
