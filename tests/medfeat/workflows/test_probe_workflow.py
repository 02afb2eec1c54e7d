"""`probe`: every store in the cache, one failing store stops no other, unchanged runs are counted."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medfeat.errors import DataError, UsageError
from medfeat.evaluation.judging.cross_validation import SMALL_VAL
from medfeat.evaluation.runs.run import list_runs
from medfeat.report import tables
from medfeat.workflows.probe import probe

QUICK = {"resamples": 20}


def test_without_arguments_every_store_in_the_cache_is_probed(make_store, cache_root):
    make_store()
    make_store(backbone="vgg16")
    make_store(dataset="breastmnist", task="binary-class")
    report = probe(head="linear", cache_dir=cache_root, **QUICK)
    assert {(run.dataset, run.backbone) for run in report.runs} == {
        ("bloodmnist", "resnet18"), ("bloodmnist", "vgg16"), ("breastmnist", "resnet18"),
    }  # fmt: skip
    assert report.reused == 0 and not report.failed


def test_without_a_head_several_stand_and_folds_choose_where_val_is_small(make_store, cache_root):
    make_store(n=(90, SMALL_VAL - 1, 40))
    make_store(dataset="pathmnist", n=(90, SMALL_VAL, 40), signal=0.3)
    small, large = sorted(probe(cache_dir=cache_root, **QUICK).runs, key=lambda run: run.dataset)
    assert (small.head, small.protocol["choose"]) == ("quick", "cv")
    assert (large.head, large.protocol["choose"]) == ("quick", "val")
    assert {"linear", "knn", "svm", "prototypes"} <= {tried["settings"]["head"] for tried in small.choice["tried"]}
    assert probe("bloodmnist", choose="val", cache_dir=cache_root, **QUICK).runs[0].protocol["choose"] == "val"
    named = probe("bloodmnist", head="linear", cache_dir=cache_root, **QUICK).runs[0]
    assert (named.head, named.protocol["choose"]) == ("linear", "val"), "who names a head has val choose"
    (again,) = probe("pathmnist", refit=True, cache_dir=cache_root, **QUICK).runs
    assert again.choice["rule"].endswith("refitted on train+val"), "a mean of heads too"


def test_options_narrow_it_down(make_store, cache_root):
    for size in (28, 64):
        for backbone in ("resnet18", "vgg16", "dino"):
            make_store(backbone=backbone, size=size)
    report = probe("bloodmnist", "vgg16, dino", size=64, head="linear", cache_dir=cache_root, **QUICK)
    assert {(run.backbone, run.size) for run in report.runs} == {("vgg16", 64), ("dino", 64)}


def test_the_json_has_the_test_score_where_the_manual_says(make_store, cache_root):
    make_store()
    facts = json.loads(json.dumps(probe(head="linear", cache_dir=cache_root, **QUICK).to_dict(), allow_nan=False))
    auc = facts["runs"][0]["test"]["auc"]
    assert auc["low"] <= auc["value"] <= auc["high"]
    assert set(facts["runs"][0]["test"]["acc"]) >= {"value", "low", "high"}
    assert facts["runs"][0]["val"]["auc"]["value"] > 0.5
    assert facts["runs"][0]["costs"]["probe"]["seconds"] > 0
    assert facts["runs"][0]["baselines"]["majority class"]["test"]["auc"] == 0.5


def test_unchanged_runs_are_reused_and_counted(make_store, cache_root):
    make_store()
    make_store(backbone="vgg16")
    probe(backbone="vgg16", head="linear", cache_dir=cache_root, **QUICK)
    report = probe(head="linear", cache_dir=cache_root, **QUICK)
    assert report.reused == 1
    assert "1 unchanged runs were reused, 1 were made" in report.notes
    assert probe(head="linear", cache_dir=cache_root, **QUICK).reused == 2


def test_one_failing_store_does_not_stop_the_others(make_store, cache_root):
    make_store()
    make_store(backbone="unlabelled", labels=False)
    report = probe(head="linear", cache_dir=cache_root, **QUICK)
    assert [run.backbone for run in report.runs] == ["resnet18"]
    assert "unlabelled" in report.failed[0].line() and "has no labels" in report.failed[0].line()


def test_a_single_failing_store_is_an_error_of_its_own(make_store, cache_root):
    make_store(labels=False)
    with pytest.raises(DataError, match="has no labels"):
        probe(head="linear", cache_dir=cache_root, **QUICK)


def test_one_class_only_in_train_is_one_clear_line(make_store, cache_root):
    make_store(task="binary-class", change=lambda group, y: np.zeros_like(y) if group == "train" else y)
    with pytest.raises(DataError, match="one class only") as caught:
        probe(head="linear", cache_dir=cache_root, **QUICK)
    assert "\n" not in str(caught.value)


def test_a_class_absent_from_test_is_said_and_not_crashed(make_store, cache_root):
    make_store(change=lambda group, y: np.where(y == 3, 2, y) if group == "test" else y)
    report = probe(head="linear", cache_dir=cache_root, **QUICK)
    assert np.isnan(report.runs[0].test.auc.value)
    assert any("official AUC is undefined" in note and "class 3" in note for note in report.runs[0].notes)
    assert report.to_dict()["runs"][0]["test"]["auc"]["value"] is None
    assert "official AUC is undefined" in tables.plain(report.tables())


def test_a_file_that_is_no_store_is_named_and_left_out(make_store, cache_root):
    path = make_store()
    damaged = path.with_name("0123456789ab.h5")
    damaged.write_bytes(path.read_bytes()[:2000])
    report = probe(head="linear", cache_dir=cache_root, **QUICK)
    assert len(report.runs) == 1
    assert any("left out" in note and damaged.name in note for note in report.notes)
    path.unlink()
    with pytest.raises(UsageError, match="no readable store"):
        probe(head="linear", cache_dir=cache_root, **QUICK)


def test_imported_features_without_a_task_ask_for_labels_in_one_line(cache_root):
    from medfeat_cache.ingest import Features, import_arrays

    features = {"all": Features(np.array(["a", "b"]), np.ones((2, 3), np.float32), None)}
    import_arrays(features, cache_root, dataset="mine", backbone="theirs")
    with pytest.raises(DataError, match="imported without a task: give labels"):
        probe(head="linear", cache_dir=cache_root, **QUICK)


def test_all_heads_are_those_that_can_learn_the_task(make_store, cache_root):
    make_store(dataset="retinamnist", task="ordinal-regression", n=(100, 50, 50))
    report = probe(head="all", cache_dir=cache_root, **QUICK)
    assert {run.head for run in report.runs} == {
        "linear", "knn", "svm", "prototypes", "lp++", "xgboost", "ordinal", "mlp",
    }  # fmt: skip
    assert not report.failed
    assert all(run.test.auc.value > 0.5 for run in report.runs)


def test_of_all_heads_those_left_out_are_said_once_and_none_is_run_under_a_second_name(make_store, cache_root):
    for backbone in ("resnet18", "vgg16"):
        make_store(dataset="breastmnist", backbone=backbone, task="binary-class")
    report = probe(head="all", cache_dir=cache_root, **QUICK)
    assert {run.head for run in report.runs} == {"linear", "knn", "svm", "prototypes", "lp++", "xgboost", "mlp"}
    said = [line for line in report.notes if line.startswith("left out: ")]
    assert said == [
        "left out: the ordinal head is the linear head where the task is binary-class",
        "left out: the ridge head learns regression; this task is binary-class",
        "left out: heads that weigh several vectors of a sample, where a store has one",
        "left out: heads that compare images with texts, where a store is not of --pool projected",
    ]
    assert probe(head="ordinal", cache_dir=cache_root, **QUICK).runs[0].head == "ordinal", "asked for by name, it runs"


def test_a_head_that_cannot_learn_the_task_is_one_clear_line_when_it_was_asked_for(make_store, cache_root):
    make_store()
    with pytest.raises(DataError, match="choose another head"):
        probe(head="ridge", cache_dir=cache_root, **QUICK)


def test_regression_is_probed_and_shown_by_its_own_metrics(make_store, cache_root):
    make_store(dataset="ages", task="regression")
    report = probe(head="ridge", cache_dir=cache_root, **QUICK)
    (run,) = report.runs
    assert set(run.test.values) >= {"r2", "mae", "rmse", "spearman"}
    assert "test R2" in report.tables()[0].columns
    assert run.baselines["mean of train"]["test"]["r2"] < 0.1


def test_an_empty_cache_says_what_to_run(cache_root):
    with pytest.raises(UsageError, match=r"no stores in .*medfeat extract"):
        probe(head="linear", cache_dir=cache_root)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backbone": "resnet19"}, "did you mean resnet18"),
        ({"data": "bloodmist"}, "did you mean bloodmnist"),
        ({"size": 64, "data": "bloodmnist"}, "has dataset bloodmnist, size 64; sizes there: 28;"),
        ({"head": "liner"}, "did you mean linear"),
    ],
)
def test_what_is_not_in_the_cache_is_named_with_what_is(make_store, cache_root, options, said):
    make_store()
    with pytest.raises(UsageError, match=said) as caught:
        probe(cache_dir=cache_root, **options)
    assert "\n" not in str(caught.value)


def test_a_damaged_store_that_was_asked_for_is_named_in_words(make_store, cache_root):
    path = make_store(backbone="resnet18")
    make_store(backbone="vgg16")
    make_store(backbone="resnet18", dataset="pathmnist")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(
        DataError, match=r"no readable store in .* has dataset bloodmnist, backbone resnet18; "
    ) as caught:
        probe("bloodmnist", "resnet18", cache_dir=cache_root)
    assert path.name in str(caught.value) and "('" not in str(caught.value)


def test_baselines_in_the_cache_stand_beside_what_was_asked_for(make_store, cache_root):
    make_store()
    make_store(backbone="pixels", signal=0.2, input_size=0)
    report = probe(backbone="resnet18", head="linear", cache_dir=cache_root, **QUICK)
    assert [run.backbone for run in report.runs] == ["resnet18"]
    assert [run.backbone for run in report.baselines] == ["pixels"]
    text = tables.plain(report.tables())
    assert "majority class" in text and "pixels" in text
    assert any("no baseline stats" in note and "medfeat extract" in note for note in report.notes)


def test_tables_are_sorted_by_val_with_val_before_test(make_store, cache_root):
    for backbone, signal in (("weak", 0.2), ("strong", 1.0), ("middling", 0.5)):
        make_store(backbone=backbone, signal=signal)
    report = probe(head="linear", cache_dir=cache_root, **QUICK)
    (table,) = report.tables()
    assert [row[0] for row in table.rows] == ["strong", "middling", "weak", "majority class"]
    assert table.columns.index("val AUC") < table.columns.index("test AUC")
    assert [run.backbone for run in report.runs] == ["strong", "middling", "weak"]


def test_select_lets_val_choose_and_reads_test_for_the_winner_alone(make_store, cache_root):
    make_store(backbone="weak", signal=0.3)
    make_store(backbone="strong")
    make_store(backbone="strong", recipe={"pool": "max"})
    report = probe(head="linear", cache_dir=cache_root, select=True, **QUICK)
    (selection,) = report.selections
    winner = selection.contenders[selection.chosen]
    assert winner.best.first == max(one.best.first for one in selection.contenders)
    assert [(run.backbone, run.store["digest"]) for run in report.runs] == [(winner.backbone, winner.store)]
    assert len(list_runs(cache_root)[0]) == 1, "no other store had its test read"
    written = json.loads(next(cache_root.glob("runs/bloodmnist/selection-*.json")).read_text())
    stood = [(one["backbone"], one["embedding"]) for one in written["contenders"]]
    assert len(stood) == 5, "each store, the two of one network, and all three"
    assert stood[3:] == [("strong", "avg + max"), ("strong+weak", "avg + max")]
    assert "chosen among 5" in tables.plain(report.tables())


def test_select_takes_the_val_scores_of_runs_that_are_there(make_store, cache_root):
    make_store(backbone="a", signal=0.3)
    make_store(backbone="b")
    fresh = probe(head="linear", cache_dir=cache_root, select=True, **QUICK).selections[0]
    probe(head="linear", cache_dir=cache_root, **QUICK)
    assert probe(head="linear", cache_dir=cache_root, select=True, **QUICK).selections[0] == fresh


def test_progress_is_told_of_every_run_that_is_made(make_store, cache_root):
    from medfeat.types import SilentProgress

    make_store()
    progress = SilentProgress()
    probe(head="linear", cache_dir=cache_root, progress=progress, **QUICK)
    probe(head="linear", cache_dir=cache_root, progress=progress, **QUICK)
    assert progress.said == ["probing bloodmnist / resnet18 / linear"]


def test_a_budget_is_written_into_the_run_and_is_another_run(make_store, cache_root):
    make_store(dim=8)
    asked = {"cache_dir": cache_root, "resamples": 0}
    plain = probe(head="xgboost", **asked).runs[0]
    bought = probe(head="xgboost", budget=0.01, **asked).runs[0]
    assert bought.key != plain.key and "budget" not in plain.choice["settings"]
    assert bought.choice["settings"]["budget"] == 0.01 and bought.choice["settings"]["most_rounds"] < 100
    again = probe(head="xgboost", budget=0.01, **asked).runs[0]
    assert again.reused and again.key == bought.key
    both = probe(head="linear,xgboost", budget=0.01, **asked).runs
    assert {run.head: "budget" in run.choice["settings"] for run in both} == {"linear": False, "xgboost": True}
    for head, budget, said in (("linear", 5, "--head xgboost"), ("xgboost", 0, "above 0")):
        with pytest.raises(UsageError, match=said):
            probe(head=head, budget=budget, **asked)
