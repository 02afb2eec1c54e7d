"""Runs that a table would show alike are told apart by the settings in which they differ, and by no others."""

from __future__ import annotations

from types import SimpleNamespace

from medfeat.evaluation.compare.paired import full_names
from medfeat.evaluation.runs.apart import class_weight_of, told_apart


def run(*, network="resnet18", labels="aaaaaaaaaa", **protocol):
    return SimpleNamespace(
        backbone=network, weights="", head="linear", key=f"{network}-key-of-a-run", store={"digest": "d" * 64},
        task={"digest": labels}, protocol={"seed": 0, "training": "linear probe"} | protocol,
    )  # fmt: skip


def test_only_what_differs_among_those_shown_alike_is_said():
    runs = [run(), run(class_weight="balanced", seed=1), run(network="vgg16", seed=7)]
    assert told_apart(runs, ["resnet18", "resnet18", "vgg16"]) == [
        "class weight none, seed 0",
        "class weight balanced, seed 1",
        "",
    ]
    assert told_apart(runs, ["resnet18", "resnet18", "vgg16"], besides=("class_weight",)) == ["seed 0", "seed 1", ""]
    assert told_apart(runs, ["a", "b", "c"]) == ["", "", ""]


def test_a_run_of_before_an_option_was_there_has_the_usual_one():
    assert told_apart([run(), run(choose="val", refit=False)], ["", ""]) == ["", ""]
    assert told_apart([run(), run(refit=True, budget=2.5)], ["", ""]) == [
        "refit no, budget none",
        "refit yes, budget 2.5",
    ]


def test_trainings_and_other_labels_are_told_apart():
    tuned = [run(fine_tuning={"lr": rate, "class_weight": "balanced"}) for rate in (0.001, 0.01)]
    assert told_apart(tuned, ["", ""]) == ["lr 0.001", "lr 0.01"]
    assert [class_weight_of(one) for one in (*tuned, run())] == ["balanced", "balanced", "none"]
    assert told_apart([run(), run(labels="bbbbbbbbbb")], ["", ""]) == ["labels aaaaaa", "labels bbbbbb"]


def test_the_names_of_pairs_say_it_too():
    names = full_names([run(), run(class_weight="balanced"), run(network="vgg16")])
    assert names == [
        "resnet18 linear resnet18-key (class weight none)",
        "resnet18 linear resnet18-key (class weight balanced)",
        "vgg16 linear vgg16-key-of",
    ]
