"""A run's folder: whole or absent, reused when unchanged, readable by the benchmark's own evaluator."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medfeat.errors import MedfeatError
from medfeat.evaluation.judging.probe_store import Options, probe_store
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.runs import write_run as recording
from medfeat.evaluation.runs.card import card
from medfeat.evaluation.runs.run import list_runs, load_run_model, read_run, read_scores
from medfeat.evaluation.runs.vouching import vouch
from medfeat.tasks import official, subset
from medfeat.types import NOT_KNOWN
from medfeat_cache import FeatureStore

QUICK = Options(resamples=20)


def probed(path, root, options=QUICK, task=None):
    with FeatureStore(path) as store:
        return probe_store(store, task or official(store), root, options)


@pytest.mark.parametrize("task", ["binary-class", "multi-class", "ordinal-regression", "multi-label"])
def test_every_class_task_makes_a_run_that_reads_back_as_it_was(make_store, cache_root, task):
    run = probed(make_store(task=task), cache_root)
    again = read_run(run.folder)
    assert again.reused and not run.reused
    assert replace(again, reused=False).to_dict() == run.to_dict()
    assert 0.5 < run.test.auc.low <= run.test.auc.value <= run.test.auc.high
    assert run.baselines["majority class"]["test"]["auc"] == 0.5


def test_an_unchanged_run_is_reused_without_touching_a_byte(make_store, cache_root):
    path = make_store()
    first = probed(path, cache_root)
    before = {p: p.stat().st_mtime_ns for p in first.folder.iterdir()}
    second = probed(path, cache_root)
    assert second.reused and second.key == first.key
    assert {p: p.stat().st_mtime_ns for p in first.folder.iterdir()} == before


def test_running_again_elsewhere_gives_the_same_scores(make_store, cache_root, tmp_path):
    path = make_store()
    runs = [probed(path, root) for root in (cache_root, tmp_path / "other")]
    assert runs[0].test == runs[1].test and runs[0].val == runs[1].val
    scores = [read_scores(run.folder) for run in runs]
    for name, column in scores[0].items():
        np.testing.assert_array_equal(column, scores[1][name])


def test_an_unreadable_run_is_made_again(make_store, cache_root):
    path = make_store()
    first = probed(path, cache_root)
    (first.folder / "run.json").write_text("{")
    assert not probed(path, cache_root).reused
    assert read_run(first.folder).test == first.test


def test_a_run_says_what_it_cost_and_what_made_it(make_store, cache_root):
    run = probed(make_store(), cache_root)
    assert run.costs["extraction"]["seconds"] == 12.5 and run.costs["extraction"]["energy_wh"] == 0.5
    assert run.costs["probe"]["seconds"] > 0 and run.costs["probe"]["energy_method"]
    assert {"medfeat", "numpy", "scikit-learn"} <= set(run.versions)
    assert run.store["recipe"]["pool"] == "avg"
    assert run.protocol["training"] == "linear probe" and run.protocol["pixels"] == "28 enlarged to 224"


def test_random_weights_and_overlap_are_said(make_store, cache_root):
    random = probed(make_store(backbone="net", backbone_info={"origin": "random"}), cache_root)
    overlap = probed(make_store(backbone="rad_dino", backbone_info={"overlap": ["bloodmnist"]}), cache_root)
    assert random.cautions == ("random weights",)
    assert overlap.cautions == ("pretraining data overlaps this dataset",)


def test_a_card_says_of_own_weights_that_nothing_is_known(make_store, cache_root):
    """The id of published weights names other ones; that of a network brought by hand has no such ending."""
    own = {"origin": "file", "source": "timm", "source_id": "vgg16.tv_in1k", "pretraining": NOT_KNOWN}
    given = {"asked": {"weights": {"origin": "file", "path": "mine.pth"}}}
    with FeatureStore(make_store(backbone_info=own)) as store:
        run = probe_store(store, official(store), cache_root, QUICK)
        found = card(replace(run, store={**run.store, "weights": "mine.pth"}), {**store.info, **given})
        published = card(run, {"backbone": own | {"origin": "pretrained", "pretraining": "ImageNet-1k"}})
    assert "- Network: timm vgg16, weights file mine.pth (none)" in found and f"pretrained on: {NOT_KNOWN}" in found
    assert "What its weights were trained on is not known" in found
    assert "timm vgg16.tv_in1k, weights pretrained (none)" in published and "is not known" not in published


def test_scores_are_kept_a_sample_without_pickle(make_store, cache_root):
    run = probed(make_store(), cache_root)
    scores = read_scores(run.folder)
    assert scores["test_ids"][:2].tolist() == ["test/0", "test/1"]
    assert scores["test_scores"].shape == (80, 4) and scores["val_scores"].shape == (80, 4)


def test_the_saved_head_scores_as_the_run_did(make_store, cache_root):
    path = make_store()
    run = probed(path, cache_root)
    with FeatureStore(path) as store:
        again = load_run_model(run).scores(store.embeddings("test"))
    np.testing.assert_allclose(again, read_scores(run.folder)["test_scores"], atol=1e-12)


def official_metrics(path, task, labels):
    """What `medmnist.Evaluator.parse_and_evaluate` does with a file, its labels given instead of read from an npz."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandas as pd
        from medmnist.evaluator import getACC, getAUC

        flag, split, *_ = path.name.split("_")
        scores = pd.read_csv(path, index_col=0, header=None).sort_index().values
        name = "multi-label, binary-class" if task == "multi-label" else task
        return flag, split, getAUC(labels, scores, name), getACC(labels, scores, name)


@pytest.mark.parametrize("task", ["binary-class", "multi-class", "ordinal-regression", "multi-label"])
def test_the_official_file_parses_to_the_same_numbers(make_store, cache_root, task):
    run = probed(make_store(task=task, signal=0.4), cache_root)
    scores = read_scores(run.folder)
    for split, metrics in (("test", run.test), ("val", run.val)):
        (path,) = run.folder.glob(f"bloodmnist_{split}_*.csv")
        found = official_metrics(path, task, scores[f"{split}_labels"])
        assert found[:2] == ("bloodmnist", split)
        assert found[2:] == pytest.approx((metrics.auc.value, metrics.acc.value), abs=1e-12)
        assert f"[AUC]{metrics.auc.value:.3f}_[ACC]{metrics.acc.value:.3f}@resnet18-linear-" in path.name


def test_larger_images_carry_their_size_in_the_official_name(make_store, cache_root):
    run = probed(make_store(size=64), cache_root)
    assert len(list(run.folder.glob("bloodmnist_64_test_*.csv"))) == 1


def test_rows_are_written_by_their_official_number_whatever_the_order_of_the_task(make_store, cache_root):
    path = make_store()
    with FeatureStore(path) as store:
        task = official(store)
    order = np.random.default_rng(0).permutation(len(task.ids))
    shuffled = probed(path, cache_root, task=subset(task, order))
    (file,) = shuffled.folder.glob("bloodmnist_test_*.csv")
    rows = np.loadtxt(file, delimiter=",")
    np.testing.assert_array_equal(rows[:, 0], np.arange(80))
    scores = read_scores(shuffled.folder)
    at = scores["test_ids"].tolist().index("test/7")
    np.testing.assert_array_equal(rows[7, 1:], scores["test_scores"][at])


def test_part_of_a_split_gets_no_official_file(make_store, cache_root):
    path = make_store()
    with FeatureStore(path) as store:
        task = official(store)
    run = probed(path, cache_root, task=subset(task, task.ids != "test/79"))
    assert not list(run.folder.glob("*_test_*.csv")) and list(run.folder.glob("*_val_*.csv"))


def test_a_run_of_an_older_protocol_says_so(make_store, cache_root):
    run = probed(make_store(), cache_root)
    assert not read_run(run.folder).cautions
    facts = json.loads((run.folder / "run.json").read_text())
    facts["protocol"]["version"] -= 1
    (run.folder / "run.json").write_text(json.dumps(facts))
    vouch(run.folder)
    assert "older protocol" in read_run(run.folder).cautions[0]


def test_patients_are_kept_with_the_scores_and_drawn_whole(make_store, cache_root):
    from medfeat.evaluation.compare.paired import compare_runs

    path = make_store(task="binary-class", n=(200, 100, 200), signal=0.3)
    with FeatureStore(path) as store:
        task = official(store)
    numbers = [int(name.split("/")[1]) // 20 for name in task.ids]
    patient = np.array([f"{split}-{number}" for split, number in zip(task.split, numbers, strict=True)])
    alone, grouped = (probed(path, cache_root, task=one) for one in (task, replace(task, group=patient)))
    assert grouped.protocol["intervals"].endswith("cluster bootstrap of the rest") and grouped.key != alone.key
    assert grouped.test.auc.value == alone.test.auc.value and grouped.test.auc != alone.test.auc
    assert read_scores(grouped.folder)["test_groups"].shape == (200,)
    assert compare_runs([grouped, alone])[0].p == 1.0


def test_a_failure_leaves_nothing_behind(tmp_path):
    folder = tmp_path / "runs" / "set" / "abc"
    with pytest.raises(RuntimeError, match="stop"), recording.writing(folder) as hidden:
        (hidden / "choice.json").write_text("{}")
        raise RuntimeError("stop")
    assert list(folder.parent.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="Linux tells which file a handle is of")
def test_every_file_of_a_run_is_durable_before_it_has_its_name(tmp_path, monkeypatch):
    synced, sync = [], os.fsync

    def noted(handle):
        synced.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        sync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    with recording.writing(tmp_path / "run") as hidden:
        (hidden / "model").mkdir()
        for name in ("run.json", "model/head.json"):
            (hidden / name).write_text("{}")
    assert {"run.json", "head.json", "model"} <= set(synced)


def test_a_killed_run_is_not_listed(make_store, cache_root):
    run = probed(make_store(), cache_root)
    run.folder.rename(run.folder.with_name(f".{run.folder.name}.killed"))
    assert list_runs(cache_root) == ([], [])


def test_a_damaged_run_is_named_and_does_not_hide_the_others(make_store, cache_root):
    good = probed(make_store(), cache_root)
    bad = probed(make_store(seed=1), cache_root)
    facts = json.loads((bad.folder / "run.json").read_text())
    del facts["val"]
    (bad.folder / "run.json").write_text(json.dumps(facts))
    (bad.folder / "digests.json").unlink()  # as of an older medfeat; else its digests alone refuse it
    runs, problems = list_runs(cache_root)
    assert [run.key for run in runs] == [good.key]
    assert len(problems) == 1 and "no field 'val'" in problems[0] and "probe again" in problems[0]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "runs").write_text("a file where the folder should be")
    with pytest.raises(MedfeatError, match="cannot write runs") as caught, recording.writing(tmp_path / "runs/set/abc"):
        pass
    assert "\n" not in str(caught.value)


def test_labels_and_scores_are_checked_once_each(make_store, cache_root, monkeypatch):
    check, checked = LabelledScores.of.__func__, []

    def of(cls, *given):
        checked.append(given)
        return check(cls, *given)

    monkeypatch.setattr(LabelledScores, "of", classmethod(of))
    run = probed(make_store(), cache_root)
    # Each candidate on val; the chosen one on val and test; the majority class on both.
    assert len(checked) == len(run.choice["tried"]) + 4
