"""Ours beside theirs: the difference, whether it is inside our interval, and where the protocols part."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from medfeat.evaluation.compare import comparison, published
from medfeat.evaluation.compare.comparison import beside, compare_dataset, course_lines
from medfeat.evaluation.runs.wording import cautions, embedding, pixels, training
from medfeat.report import comparison_tables
from medfeat.types import Interval


def run(backbone="resnet18", *, dataset="bloodmnist", auc=(0.95, 0.9, 0.97), acc=(0.8, 0.75, 0.85), val=0.9, **facts):
    metrics = SimpleNamespace(n=100, auc=Interval(*auc), acc=Interval(*acc))
    protocol = {"training": "linear probe", "pixels": "native 224", "refit": False, "seed": 0} | facts.pop(
        "protocol", {}
    )
    return SimpleNamespace(
        key=f"{backbone}-{val}", dataset=dataset, backbone=backbone, head="linear", size=224, test=metrics,
        weights="", network=backbone,
        val=SimpleNamespace(auc=Interval(val, val, val), acc=Interval(val, val, val)), protocol=protocol,
        task={"name": "official"}, store={"embedding": "", "digest": backbone}, cautions=(), folder=None, **facts,
    )  # fmt: skip


def row(system, training, native_size):
    (found,) = [
        r for r in published.rows("bloodmnist")
        if (r.system, r.training, r.native_size) == (system, training, native_size)
    ]  # fmt: skip
    return found


def test_the_difference_is_ours_minus_theirs_and_inside_is_about_our_interval():
    pair = beside(run(), row("ResNet-18", "linear probe", 224))
    assert pair.auc.difference == pytest.approx(0.95 - pair.row.auc)
    assert pair.auc.inside == (0.9 <= pair.row.auc <= 0.97)
    assert pair.acc.inside == (0.75 <= pair.row.acc <= 0.85)
    assert pair.differs == ()


def test_a_row_without_auc_has_no_auc_difference():
    assert beside(run(), row("DINO ViT-B/16", "kNN", 224)).auc is None


def test_an_undefined_auc_of_ours_is_not_compared():
    nan = float("nan")
    assert beside(run(auc=(nan, nan, nan)), row("ResNet-18", "linear probe", 224)).auc is None


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        (("ResNet-18", "fine-tuned", 224), ("fine-tuned",)),
        (("ResNet-18", "linear probe", 28), ("28 zero-padded to 224",)),
        (("ResNet-50 (224)", "from scratch", 28), ("from scratch", "28 enlarged to 224")),
    ],
)
def test_protocols_that_differ_are_flagged_in_words(theirs, said):
    assert beside(run(), row(*theirs)).differs == said


def test_a_refit_and_a_choice_on_test_are_flagged():
    pair = beside(run(protocol={"refit": True}), row("MedViTV2-L", "end-to-end", None))
    assert "epoch chosen on test" in pair.differs and "ours refitted on train+val" in pair.differs


def test_every_run_stands_beside_every_row_and_the_nearest_protocol_comes_first():
    found = compare_dataset("bloodmnist", [run("a", val=0.8), run("b", val=0.9), run("c", dataset="octmnist")])
    assert [one.backbone for one in found.runs] == ["b", "a"]
    assert len(list(found.pairs)) == 2 * len(found.rows) == 2 * len(published.rows("bloodmnist"))
    assert found.rows[0].protocol == "linear probe, native 224"


def test_a_table_makes_only_the_pairs_that_it_shows(monkeypatch):
    """Of 5,000 runs there are half a million pairs: held at once, they were 500 MB."""
    made = []
    for module in (comparison, comparison_tables):
        monkeypatch.setattr(module, "beside", lambda *pair: made.append(pair) or beside(*pair))
    found = compare_dataset("bloodmnist", [run(f"net{i}", val=i / 100) for i in range(40)])
    table = comparison_tables.comparison_table(found, shown=2)
    assert len(made) == 2 * len(found.rows)
    assert len(comparison_tables.pair_table(found).rows) == 40 * len(found.rows)
    assert [name for name in table.columns if name.startswith("vs ")] == ["vs net39 linear", "vs net38 linear"]


def test_runs_on_other_tasks_are_not_compared():
    other = run()
    other.task = {"name": "my-labels"}
    assert list(compare_dataset("bloodmnist", [other]).pairs) == []


def test_the_course_table_takes_our_best_run_on_val_and_no_random_weights():
    random = run("alexnet", val=0.99)
    random.cautions = ("random weights",)
    lines = {line.system: line for line in course_lines([run("alexnet", val=0.5), run("alexnet", val=0.7), random])}
    assert lines["AlexNet"].ours["bloodmnist"].val.auc.value == 0.7
    assert lines["VGG-16"].ours == {}
    assert len(lines) == 16 and sum(line.baseline for line in lines.values()) == 5


def test_squeezenet_stands_for_either_of_its_versions():
    lines = {line.system: line for line in course_lines([run("squeezenet1_1", dataset="octmnist")])}
    assert set(lines["SqueezeNet"].ours) == {"octmnist"}


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"size": 28, "input_size": 224, "fit": "whole"}, "28 enlarged to 224"),
        ({"size": 28, "input_size": 224, "fit": "pad"}, "28 zero-padded to 224"),
        ({"size": 224, "input_size": 224, "fit": "whole"}, "native 224"),
        ({"size": 28, "input_size": 0}, "28 native"),
        ({"size": 224, "input_size": 128, "fit": "whole"}, "224 reduced to 128"),
        (
            {"size": 224, "input_size": 224, "fit": "reference", "resize": "shorter side to 256"},
            "224 resized to 256, centre 224",
        ),
        (
            {"size": 28, "input_size": 224, "fit": "reference", "resize": "square of 232"},
            "28 resized to 232, centre 224",
        ),
        ({"size": 28, "input_size": 224, "fit": "reference", "resize": "square of 224"}, "28 enlarged to 224"),
        ({"size": 0, "input_size": 224}, "own images resized to 224"),
    ],
)
def test_our_pixels_are_said_in_the_words_of_the_published_table(recipe, said):
    assert pixels(recipe) == said


def test_other_facts_in_words():
    assert training("linear") == "linear probe" and training("knn") == "kNN"
    assert training("xgboost") == "xgboost on frozen features"
    assert embedding({"layer": "layer3", "pool": "avg", "precision": "bf16"}) == "layer3, avg, bf16"
    assert embedding({"layer": None, "pool": "none", "precision": "fp32", "fit": "whole"}) == ""
    assert cautions("chestmnist", {"overlap": ["chestmnist"], "origin": "random"}) == (
        "random weights", "pretraining data overlaps this dataset",
    )  # fmt: skip


def test_what_was_unusual_about_a_run_is_told_wherever_runs_are_told_apart():
    from medfeat.evaluation.runs import wording

    plain = {"training": "linear probe", "refit": False, "choose": "val", "class_weight": "none"}
    assert wording.made_with(plain) == wording.made_with({"training": "kNN"}) == {}
    assert wording.trained(plain) == "linear probe"
    other = plain | {"choose": "cv", "class_weight": "balanced", "budget": 60.0}
    assert wording.made_with(other) == {"choose": "cv", "class_weight": "balanced", "budget": 60.0}
    assert wording.trained(other) == (
        "linear probe, cross-validated over train+val, class weights balanced, budget of 60 s"
    )
