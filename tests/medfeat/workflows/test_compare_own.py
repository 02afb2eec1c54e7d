"""`compare` on images that nobody has published results on: tables in every form, and a figure."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from medfeat.errors import UsageError
from medfeat.evaluation.runs.run import read_scores
from medfeat.report.own_tables import own_figure
from medfeat.workflows.compare import FORMATS, compare
from medfeat.workflows.probe import probe

from .embedded import plant


@pytest.fixture
def own(cache_root):
    """Two runs on one's own images."""
    for backbone, signal in (("strong", 2.0), ("weak", 0.3)):
        counts = {"train": 240, "val": 80, "test": 80}
        plant(cache_root, counts=counts, classes=2, dataset="polyps", backbone=backbone, signal=signal)
    return probe("polyps", head="linear", cache_dir=cache_root, resamples=20).runs


@pytest.mark.parametrize("data", ["polyps", None])
def test_own_images_are_compared_without_published_results(own, cache_root, data):
    report = compare(data, cache_dir=cache_root, paired=True)
    (one,) = report.comparisons
    assert [run.key for run in one.runs] == [run.key for run in own], "best on val first"
    assert one.rows == () and {pair.metric for _, pair in report.differences} == {"auc", "acc"}
    text = report.render()
    assert "polyps: 2 runs, no published results" in text and "official" not in text


def test_the_best_run_is_shown_with_its_classes_confusions_and_operating_points(own, cache_root):
    tables = {table.title: table for table in compare("polyps", cache_dir=cache_root).tables()}
    stored = read_scores(own[0].folder)
    y, called = stored["test_labels"][:, 0], (stored["test_scores"][:, 1] > 0.5).astype(int)
    counts = [[str(int(((y == i) & (called == j)).sum())) for j in (0, 1)] for i in (0, 1)]
    confusions = tables["polyps: strong, linear, confusions of test"]
    assert [list(row[1:]) for row in confusions.rows] == counts
    points = tables["polyps: strong, linear, operating points on test"]
    assert "Youden on val" in [row[0] for row in points.rows]


@pytest.mark.parametrize("form", FORMATS)
def test_own_images_have_every_form(own, cache_root, form):
    text = compare("polyps", cache_dir=cache_root).render(form)
    if form == "json":
        assert len(json.loads(text)["comparisons"][0]["runs"]) == 2
    elif form == "csv":
        assert next(csv.reader(io.StringIO(text)))[0] == "backbone"
    else:
        mark = {"markdown": "| strong |", "latex": r"\begin{tabular}", "table": "strong\t28"}[form]
        assert mark in text


def test_published_sets_have_latex_too(make_store, cache_root):
    make_store()
    probe(head="linear", cache_dir=cache_root, resamples=20)
    assert r"\toprule" in compare("bloodmnist", cache_dir=cache_root).render("latex")


def test_a_figure_shows_scores_roc_and_confusions(own, cache_root, tmp_path):
    report = compare("polyps", cache_dir=cache_root)
    path = report.draw(tmp_path / "own.png")
    assert np.asarray(Image.open(path).convert("L")).std() > 5
    scores, roc, matrix = own_figure(report.comparisons[0]).axes
    stored = read_scores(own[0].folder)
    from sklearn.metrics import roc_curve

    line = next(one for one in roc.lines if one.get_label() == "c1")
    fpr, tpr, _ = roc_curve(stored["test_labels"], stored["test_scores"][:, 1], drop_intermediate=False)
    x, y = line.get_data()
    for at in (0.1, 0.5, 0.9):
        assert y[np.abs(x - at).argmin()] == pytest.approx(tpr[fpr <= at + 1e-9].max(), abs=1e-6)
    assert sorted(int(text.get_text()) for text in matrix.texts) == sorted(
        count for row in own[0].test.confusion for count in row
    )
    assert scores.get_xlabel().startswith("test AUC")


def test_a_figure_is_of_one_dataset(own, make_store, cache_root, tmp_path):
    make_store(dataset="moles", task="multi-class")
    probe("moles", head="linear", cache_dir=cache_root, resamples=20)
    with pytest.raises(UsageError, match="found moles, polyps: name one with --data"):
        compare(cache_dir=cache_root).draw(tmp_path / "x.png")
    assert compare("moles", cache_dir=cache_root).draw(tmp_path / "moles.svg").is_file()
    with pytest.raises(UsageError, match="none on breastmnist: run `medfeat probe --data breastmnist` first"):
        compare("breastmnist", cache_dir=cache_root).draw(tmp_path / "x.png")


def test_a_figure_is_of_one_task_which_is_named(own, cache_root, tmp_path):
    probe("polyps", relabel="0=no;1=yes", name="any", head="linear", cache_dir=cache_root, resamples=20)
    with pytest.raises(
        UsageError, match=r"found polyps \(any\), polyps: name one with --data, and its task with --task"
    ):
        compare("polyps", cache_dir=cache_root).draw(tmp_path / "x.png")
    (one,) = compare("polyps", task="any", cache_dir=cache_root).comparisons
    assert {run.task["name"] for run in one.runs} == {"any"}
    with pytest.raises(UsageError, match="any, official"):
        compare("polyps", task="some", cache_dir=cache_root)


def test_numbers_are_compared_by_their_own_scores(make_store, cache_root, tmp_path):
    make_store(dataset="ages", task="regression")
    probe("ages", head="ridge,xgboost", cache_dir=cache_root, resamples=20)
    report = compare("ages", cache_dir=cache_root, paired=True)
    assert {pair.metric for _, pair in report.differences} == {"r2", "mae"}
    assert json.loads(report.render("json"))["comparisons"][0]["runs"][0]["test"]["r2"]["value"] > 0
    assert report.draw(tmp_path / "ages.pdf").is_file()


def test_a_name_without_runs_and_results_is_one_line(own, cache_root):
    with pytest.raises(UsageError, match="did you mean polyps"):
        compare("polips", cache_dir=cache_root)
