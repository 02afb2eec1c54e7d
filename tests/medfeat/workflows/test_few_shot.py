"""Learning curves: few labels from train and val, all of test, both uncertainties, nothing embedded."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from medfeat.errors import UsageError
from medfeat.tasks import few_shot as draw_few
from medfeat.workflows.few_shot import few_shot
from medfeat.workflows.probe import probe

from .embedded import QUICK, embed, plant

COUNTS = {"train": 150, "val": 60, "test": 90}


@pytest.fixture
def planted(cache_root):
    plant(cache_root, counts=COUNTS)
    return cache_root


def curve(root, **options):
    return few_shot("planted", cache_dir=root, **({"draws": 4, "resamples": 30} | options)).curves[0]


def test_more_labels_make_better_scores_and_all_labels_make_the_probe(planted):
    points = curve(planted, shots="1,5,20,all").points
    assert [point.shots for point in points] == ["1", "5", "20", "all"]
    assert [point.labelled for point in points] == [6, 30, 120, 210]
    scores = [point.values["auc"].value for point in points]
    assert scores[0] < scores[1] < scores[3] + 0.02
    assert scores[-1] == pytest.approx(
        probe("planted", head="linear", cache_dir=planted, **QUICK).runs[0].test.auc.value
    )


def test_the_interval_over_draws_and_test_holds_the_one_over_draws_alone(planted):
    for point in curve(planted, shots="2,5", draws=8).points:
        both, draws = point.values["auc"], point.spread["auc"]
        assert draws.low <= both.value <= draws.high
        assert both.high - both.low > draws.high - draws.low


def test_test_is_never_subsampled_and_val_is_as_few_as_train(planted, monkeypatch):
    seen = []

    def watched(task, shots, **options):
        found = draw_few(task, shots, **options)
        counts = {split: int((found.task.split == split).sum()) for split in ("train", "val", "test")}
        seen.append((shots, counts, len(found.folds)))
        return found

    monkeypatch.setattr("medfeat.evaluation.judging.few_shot.few_shot", watched)
    curve(planted, shots="2,5", draws=1)
    assert seen == [
        (2, {"train": 6, "val": 6, "test": 90}, 4),
        (5, {"train": 15, "val": 15, "test": 90}, 0),
    ]


@pytest.mark.parametrize("head", ["knn", "xgboost"])
def test_other_heads_learn_from_few_labels_too(planted, head):
    assert curve(planted, head=head, shots="2", draws=2).points[0].values["auc"].value > 0.5


def test_one_draw_has_no_spread_and_labels_are_those_of_train_and_val(planted):
    (table,) = few_shot("planted", shots="all", draws=1, resamples=20, cache_dir=planted).tables()
    assert dict(zip(table.columns, table.rows[0], strict=True))["over draws"] == "–"
    assert "another kind than in the tables of `probe`" in table.notes[0]
    assert any("labels used: of train, and of val" in note for note in table.notes)


def test_a_class_with_too_few_samples_is_said(planted):
    report = few_shot("planted", shots="40", draws=1, resamples=20, cache_dir=planted)
    assert report.curves[0].points[0].short
    assert "40*" in report.tables()[0].rows[0]
    assert "fewer samples" in report.tables()[0].notes[-1]


def test_the_figure_is_a_picture_and_the_curve_is_kept(planted, tmp_path):
    report = few_shot("planted", shots="1,5", draws=2, resamples=20, figure=tmp_path / "curve.png", cache_dir=planted)
    with Image.open(report.figure) as picture:
        assert min(picture.size) > 400
    (kept,) = planted.glob("runs/planted/curve-*.json")
    assert json.loads(kept.read_text())["points"][1]["values"]["auc"]["value"] > 0.5
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["curves"][0]["backbone"] == "fake"


def test_nothing_is_embedded_for_a_curve(counting, cache_root):
    embed(cache_root)
    before = counting.images
    few_shot("synthetic-binary", shots="1,5", draws=2, resamples=20, cache_dir=cache_root)
    assert counting.images == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"shots": "0"}, "--shots must be whole numbers above 0, or all, got '0'"),
        ({"shots": "few"}, "got 'few'"),
        ({"draws": 0}, "--draws must be 1 or more"),
        ({"figure": "curve.doc"}, "must end in .png"),
        ({"task": "regression"}, "can be read as"),
    ],
)
def test_curves_that_cannot_be_meant_are_one_line(planted, options, said):
    with pytest.raises(UsageError, match=said):
        curve(planted, **({"shots": "1", "draws": 1} | options))
