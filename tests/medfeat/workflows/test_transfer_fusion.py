"""Heads that travel to another dataset, and backbones that answer together: by id, by recipe, chosen on val."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medfeat.errors import DataError, UsageError
from medfeat.evaluation.judging.fusion import StandardisedStore
from medfeat.tasks import fuse as side_by_side
from medfeat.tasks import gather, official
from medfeat.workflows.fusion import fuse
from medfeat.workflows.probe import probe
from medfeat.workflows.transfer import transfer
from medfeat_cache import FeatureStore

from .embedded import QUICK, embed, plant

COUNTS = {"train": 120, "val": 60, "test": 90}


def test_a_head_is_tested_on_another_dataset_of_the_same_recipe(cache_root):
    plant(cache_root, counts=COUNTS)
    plant(cache_root, counts=COUNTS, dataset="elsewhere", seed=5)
    (one,) = transfer("planted", "elsewhere", cache_dir=cache_root, **QUICK).transfers
    assert one.run.dataset == "planted" and one.elsewhere.n == 90 and one.shared == 0
    assert one.elsewhere.auc.value > 0.8
    assert one.elsewhere.auc.low <= one.elsewhere.auc.value <= one.elsewhere.auc.high
    assert transfer("planted", "elsewhere", split="all", cache_dir=cache_root, **QUICK).transfers[0].elsewhere.n == 270


def test_onto_itself_a_head_has_its_own_scores(cache_root):
    plant(cache_root, counts=COUNTS)
    (one,) = transfer("planted", "planted", cache_dir=cache_root, **QUICK).transfers
    assert one.elsewhere.auc == one.run.test.auc


def test_labels_are_mapped_by_name_in_any_order(cache_root):
    plant(cache_root, counts=COUNTS)
    plant(cache_root, counts=COUNTS, dataset="elsewhere", seed=5)
    mapped = {"relabel": "0=first;1,2=rest", "onto_relabel": "1,2=rest;0=first"}
    (one,) = transfer("planted", "elsewhere", cache_dir=cache_root, **mapped, **QUICK).transfers
    assert one.run.task["classes"] == ["first", "rest"]
    assert one.elsewhere.auc.value > 0.8
    with pytest.raises(UsageError, match=r"in elsewhere, first, rest in planted; map them with --test-relabel"):
        transfer("planted", "elsewhere", relabel="0=first;1,2=rest", cache_dir=cache_root, **QUICK)


def test_images_that_were_trained_on_are_counted(counting, cache_root):
    embed(cache_root)
    (one,) = transfer("synthetic-binary", "synthetic-binary", split="all", cache_dir=cache_root, **QUICK).transfers
    assert one.shared == 480


def test_another_recipe_is_refused_and_its_fields_are_named(cache_root):
    plant(cache_root, counts=COUNTS)
    plant(cache_root, counts=COUNTS, dataset="elsewhere", pool="max", precision="bf16")
    with pytest.raises(UsageError, match="pool avg there, max here; precision fp32 there, bf16 here"):
        transfer("planted", "elsewhere", cache_dir=cache_root, **QUICK)
    with pytest.raises(UsageError, match="no store of nowhere x fake"):
        transfer("planted", "nowhere", cache_dir=cache_root, **QUICK)


def test_fused_backbones_are_chosen_on_val_and_test_is_read_for_one(cache_root):
    plant(cache_root, counts=COUNTS, backbone="one", signal=0.8, seed=1)
    plant(cache_root, counts=COUNTS, backbone="two", signal=0.8, seed=2, dim=20)
    report = fuse("planted", "one,two", cache_dir=cache_root, **QUICK)
    names = [way.name for way in report.fusion.ways]
    assert names == ["one", "two", "concat of 2", "average of 2"]
    best = report.fusion.ways[report.fusion.chosen]
    assert all(not way.best.beats(best.best) for way in report.fusion.ways)
    assert best.name in names[2:], "two independent views of a class see more than one"
    assert (
        report.fusion.test.auc.value
        > probe("planted", "one", head="linear", cache_dir=cache_root, **QUICK).runs[0].test.auc.value
    )
    assert sum(row[-1] != "" for row in report.tables()[0].rows) == 1
    written = json.loads(next(cache_root.glob("runs/planted/fusion-choice-*.json")).read_text())
    assert written["chosen"] == report.fusion.chosen


def test_rows_are_joined_by_id_though_one_store_is_shuffled(cache_root):
    plant(cache_root, counts=COUNTS, backbone="one", seed=1)
    plant(cache_root, counts=COUNTS, backbone="two", seed=2)
    straight = fuse("planted", "one,two", cache_dir=cache_root, **QUICK).fusion.test
    plant(cache_root / "again", counts=COUNTS, backbone="one", seed=1)
    plant(cache_root / "again", counts=COUNTS, backbone="two", seed=2, shuffle=True)
    assert fuse("planted", "one,two", cache_dir=cache_root / "again", **QUICK).fusion.test == straight


def test_no_backbone_drowns_another_by_its_scale(cache_root):
    loud = lambda group, X, y: (1000 * X + 5, y)  # noqa: E731 - a planted scale
    paths = [
        plant(cache_root, counts=COUNTS, backbone="quiet", seed=1),
        plant(cache_root, counts=COUNTS, backbone="loud", seed=2, rows=loud),
    ]
    with FeatureStore(paths[0]) as one, FeatureStore(paths[1]) as two:
        fused = side_by_side([one, two])
        train = gather(fused, official(fused)).ids("train")
        X = StandardisedStore(fused, train).take(train)
    np.testing.assert_allclose(X.std(axis=0), 1, atol=1e-4)
    np.testing.assert_allclose(X.mean(axis=0), 0, atol=1e-4)


def test_fusing_numbers_averages_predictions(cache_root, tmp_path):
    for number, name in enumerate(("one", "two")):
        path = plant(cache_root, counts=COUNTS, backbone=name, seed=number)
    with FeatureStore(path) as store:
        rows = [f"{i},{int(i.split('/')[1]) % 3 + 0.5}" for g in store.groups for i in store.ids(g).tolist()]
    (tmp_path / "n.csv").write_text("\n".join(["id,value", *rows]))
    report = fuse("planted", labels=tmp_path / "n.csv", task="regression", cache_dir=cache_root, **QUICK)
    assert report.head == "ridge" and report.fusion.test.values["r2"].value > 0.5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"backbone": "one"},
            "needs two stores or more in the cache, planted has one of one: extract another backbone",
        ),
        ({"ways": "sum"}, "--fuse must be concat, average or both, got sum"),
        ({"head": "linear,knn"}, "fusion takes one head"),
    ],
)
def test_fusions_that_cannot_be_meant_are_one_line(cache_root, options, said):
    plant(cache_root, counts=COUNTS, backbone="one")
    plant(cache_root, counts=COUNTS, backbone="two", seed=2)
    with pytest.raises(UsageError, match=said):
        fuse("planted", cache_dir=cache_root, **options)


def test_stores_of_other_images_are_not_fused(cache_root):
    plant(cache_root, counts=COUNTS, backbone="one")
    plant(cache_root, counts=COUNTS | {"test": 80}, backbone="two")
    with pytest.raises(DataError, match="must hold the same ids"):
        fuse("planted", cache_dir=cache_root, **QUICK)
