"""The page about other tools says what was measured, and nothing else."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMED = (
    "MedMNIST+", "BioFuse", "embetter", "thingsvision", "CLIP_benchmark", "slide2vec", "LightlyTrain", "transformers",
    "AutoGluon", "FiftyOne", "embedding-atlas",
)  # fmt: skip


@pytest.fixture(scope="module")
def page():
    spec = importlib.util.spec_from_file_location("make_rivals", ROOT / "tools" / "make_rivals.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(**more):
    run = {"seconds": 10.0, "processor_seconds": 8.0, "peak_mib": 700.0}
    vectors = {"dim": 8, "worst_cosine": 1.0, "checked": 2}
    bad = {"good": 4, "exit": 1, "rows": 4, "rows_of_bad_ones": 0, "named": ["cut.png", "text.png"]}
    return {"runs": [run], "vectors": vectors, "bad": bad, **more}


def kill(files, share, vectors=0):
    return {"killed": "on purpose", "files": files, "vectors_left": vectors, "again": {"of_a_whole_run": share}}


def test_the_page_is_made_of_the_results(page):
    assert page.PAGE.read_text(encoding="utf-8") == page.made()


def test_every_tool_that_was_named_is_measured_or_says_why_not(page):
    text = page.PAGE.read_text(encoding="utf-8")
    tables = [line for line in text.splitlines() if line.startswith(("| ", "- "))]
    assert not [name for name in NAMED if not any(name in line for line in tables)]


def test_where_medfeat_is_behind_the_row_says_so(page):
    ours, quicker = row(), row(runs=[{"seconds": 5.0, "processor_seconds": 9.0, "peak_mib": 350.0}])
    assert page.stands(row(), ours) == "medfeat ahead"
    assert page.stands(quicker, ours) == "left to do: seconds 2.00 x, memory 2.00 x"
    went_on, anew = row(killed=kill(40, 0.5, 90)), row(killed=kill(40, 1.0))
    assert page.stands(went_on, anew) == "left to do: going on after a kill in so short a run"


def test_what_a_kill_left_is_told_from_what_was_found(page):
    assert page.after_a_kill(row(killed=kill(0, 1.0))) == "nothing; begins anew"
    assert "nothing that looks whole, 5 files; begins anew" in page.after_a_kill(row(killed=kill(5, 0.9)))
    assert "goes on (97 %" in page.after_a_kill(row(killed=kill(64, 0.97, vectors=32)))
    assert page.after_a_kill(row(killed=kill(12, 0.5, 90))).startswith("90 vectors in whole files, 12 files; goes on")


def test_broken_files_are_told_from_what_was_found(page):
    assert page.with_broken(row()) == "all 4 good ones, exit 1; names both"
    nothing = {"good": 4, "exit": 1, "rows": 0, "rows_of_bad_ones": 0, "named": ["cut.png"]}
    assert page.with_broken(row(bad=nothing)) == "ends with 1, no vector; names cut.png only"
    silent = {"good": 4, "exit": 0, "rows": 4, "rows_of_bad_ones": 0, "named": []}
    assert page.with_broken(row(bad=silent)) == "all 4 good ones, exit 0; names neither"


def test_vectors_of_another_forward_pass_are_called_so(page):
    assert page.as_by_hand(row()) == "yes (1.000000)"
    assert page.as_by_hand(row(vectors={"dim": 8, "worst_cosine": 0.5, "checked": 2})) == "no (0.500)"
    assert page.as_by_hand(row(vectors=None)) == "keeps none"
