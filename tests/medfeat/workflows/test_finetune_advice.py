"""Advice before a training: from val, the cache and what is published, never from test."""

from __future__ import annotations

import csv
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest

from medfeat.errors import UsageError
from medfeat.evaluation.compare.gains import Typical, gains
from medfeat.evaluation.judging.climbing import SHARES, climb
from medfeat.tasks import gather, official
from medfeat.types import SilentProgress
from medfeat.workflows.tuning import finetune_plan
from medfeat.workflows.tuning.finetune_advice import advise, like_sized
from medfeat.workflows.tuning.finetune_request import FinetuneOptions, FinetuneRequest, NetworkOptions
from medfeat_cache import FeatureStore

from .embedded import embed, plant

CNN = "timm:test_resnet.r160_in1k"


def test_published_gains_are_the_tables_own_differences():
    text = resources.files("medfeat.evaluation.compare").joinpath("published.csv").read_text(encoding="utf-8")
    table = [row for row in csv.DictReader(text.splitlines()) if row["source"] == "doerrich2025"]
    auc = {
        training: float(row["auc"])
        for row in table
        for training in [row["training"]]
        if (row["dataset"], row["backbone"], row["native_size"]) == ("retinamnist", "ResNet-18", "224") and row["auc"]
    }
    (found,) = [
        one for one in gains("convolutional", 224) if (one.dataset, one.backbone) == ("retinamnist", "ResNet-18")
    ]
    assert (found.probe[0], found.tuned[0]) == (auc["linear probe"], auc["fine-tuned"])
    assert {one.native_size for one in gains("transformer", 200)} == {224}
    assert all("ViT" in one.backbone for one in gains("transformer", 28)) and len(gains("transformer", 28)) == 60


def test_gains_are_summed_up_by_medians():
    few = [one for one in gains("convolutional", 28) if one.dataset == "retinamnist"]
    typical = Typical.of(few)
    differences = [one.tuned[0] - one.probe[0] for one in few]
    assert typical.auc == pytest.approx(np.median(differences)) and typical.pairs == 5
    assert typical.auc_won == pytest.approx(np.mean(np.array(differences) > 0))
    assert Typical.of([]) is None


def test_a_set_of_its_own_is_compared_with_sets_of_like_size():
    found = gains("convolutional", 28)
    assert {one.dataset for one in like_sized(found, "breastmnist", 546)} == {"breastmnist"}
    # train splits: BreastMNIST 546, RetinaMNIST 1080; the next is PneumoniaMNIST with 4708
    assert {one.dataset for one in like_sized(found, "mine", 600)} == {"breastmnist", "retinamnist"}
    # three times larger or smaller at most: 546 x 3 = 1638, 4708 / 3 = 1569.3
    assert {one.dataset for one in like_sized(found, "mine", 1569)} == {"breastmnist", "retinamnist"}
    assert {one.dataset for one in like_sized(found, "mine", 1639)} == {"retinamnist", "pneumoniamnist"}


def test_the_curve_is_of_val_and_test_stays_closed(cache_root):
    path = plant(cache_root, counts={"train": 80, "val": 40, "test": 40}, classes=2, signal=0.7)
    with FeatureStore(path) as store:
        samples = gather(store, official(store))
        steps = climb(samples, "linear", seed=0, progress=SilentProgress())
    assert [step.share for step in steps] == list(SHARES) and [step.labelled for step in steps] == [10, 20, 40, 80]
    assert samples.opened == ["train", "val"]
    assert steps[-1].mean > steps[0].mean


def test_advice_names_its_reasons_and_how_sure_it_is(cache_root):
    network = NetworkOptions(CNN, weights="random")
    asked = FinetuneRequest("synthetic-binary", network, precision="fp32", cache_dir=cache_root)
    with pytest.raises(UsageError, match="run `medfeat extract --data"):
        advise(asked)
    embed(cache_root, backbone=CNN, weights="random")
    advice = advise(asked)
    lines = advice.lines()
    assert lines[0].startswith("the linear probe reaches AUC") and "by labelled samples" in lines[1]
    assert "breastmnist" in lines[2] and "confidence: " in lines[-1]
    alone = advise(replace(asked, options=FinetuneOptions(mode="lora")))
    assert list(alone.plans) == ["lora"] and not any("last-blocks" in line or "full" in line for line in alone.lines())
    assert replace(alone, try_it=True).lines()[-1].startswith("advice: try it, with --mode lora (")
    with pytest.raises(UsageError, match="--mode head leaves the network as it is"):
        advise(replace(asked, options=FinetuneOptions(mode="head")))
    assert advice.to_dict()["plans"]["full"]["seconds"] > advice.to_dict()["plans"]["last-blocks"]["seconds"] > 0


@pytest.mark.parametrize(("mode", "known"), [("head", False), ("full", True)])
def test_a_plan_says_no_time_of_a_head_that_sends_nothing_through_the_network(mode, known, cache_root, monkeypatch):
    monkeypatch.setattr(finetune_plan, "_counts_and_rate", lambda *_: ((40, 20), 10.0))
    asked = FinetuneRequest(
        "synthetic-binary", NetworkOptions(CNN), FinetuneOptions(mode=mode), device="cpu", cache_dir=cache_root
    )
    found = finetune_plan.plan(asked)
    assert (found.seconds is not None) == known
    assert ("not known" in found.lines()[1]) != known and "about 0.0 min" not in found.lines()[1]
