"""Two runs that are one answer (here of a head that draws nothing, with two seeds) are counted once and told apart."""

from __future__ import annotations

import csv

import pytest

from medfeat.errors import UsageError
from medfeat.report.run_tables import runs_tables
from medfeat.workflows.compare import compare
from medfeat.workflows.probe import probe
from medfeat.workflows.report import write_report
from medfeat.workflows.runs import list_of_runs

from .embedded import plant


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """A cache with a good and a poor network, each probed with two seeds: four runs, two answers."""
    root = tmp_path_factory.mktemp("stores")
    for backbone, signal in (("good", 0.9), ("poor", 0.5)):
        counts = {"train": 60, "val": 30, "test": 60}
        plant(root, counts=counts, classes=2, dataset="polyps", backbone=backbone, signal=signal)
    for seed in (0, 1):
        probe("polyps", head="linear", cache_dir=root, seed=seed, resamples=0)
    return root


def test_pairs_are_of_answers_so_that_holm_corrects_for_no_more(twice):
    found = compare("polyps", paired=True, cache_dir=twice)
    assert [one.metric for _, one in found.differences] == ["auc", "acc"]
    assert all("good" in one.first and "poor" in one.second and one.p_holm == one.p for _, one in found.differences)
    (notes,) = [table.notes for table in found.tables() if "against the others" in table.title]
    said = [note for note in notes if note.endswith(": counted once")]
    assert [note.count(f"{name} linear") for name, note in zip(("good", "poor"), said, strict=True)] == [2, 2]
    assert found.to_dict()["twins"] == list(found.twins) == said


def test_answers_are_not_as_good_as_themselves_in_a_report(twice, tmp_path):
    write_report(out=tmp_path / "r.html", tables=tmp_path, images=False, cache_dir=twice)
    (row,) = csv.DictReader((tmp_path / "overview.csv").read_text().splitlines())
    rows = list(csv.DictReader((tmp_path / "polyps.csv").read_text().splitlines()))
    letters = {one["network"].partition(",")[0]: one["group"] for one in rows}
    assert row["as good"] == str(int(letters["good"] == letters["poor"])) and row["runs"] == str(len(rows)) == "4"
    assert "counted once" in (tmp_path / "polyps.md").read_text()


def test_lists_and_comparisons_say_in_what_runs_differ_that_look_alike(twice):
    (listed,) = list_of_runs(cache_dir=twice).tables()
    compared = compare("polyps", cache_dir=twice).tables()[0]
    for table in (listed, compared):
        name, said = table.columns.index("backbone"), table.columns.index("settings")
        assert {row[said] for row in table.rows if row[name] in ("good", "poor")} == {"seed 0", "seed 1"}
    alone = list_of_runs(backbone="good", cache_dir=twice).runs[:1]
    assert "settings" not in runs_tables(alone)[0].columns


def test_class_weights_are_asked_for_as_heads_are(twice):
    probe("polyps", "poor", class_weight="balanced", head="linear", cache_dir=twice, resamples=0)
    found = list_of_runs(class_weight="balanced", cache_dir=twice).runs
    assert [run.protocol["class_weight"] for run in found] == ["balanced"]
    assert len(compare("polyps", class_weight="balanced", cache_dir=twice).comparisons[0].runs) == 1
    with pytest.raises(UsageError, match=r"unknown class weight of a run 'balance': did you mean balanced\?"):
        compare("polyps", class_weight="balance", cache_dir=twice)
