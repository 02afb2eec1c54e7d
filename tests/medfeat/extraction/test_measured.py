"""What was measured once is not measured again: by machine, network and form of images, and never elsewhere."""

from __future__ import annotations

import json

import pytest

from laboratory import FAST_HALF, Lab
from medfeat.extraction.measure import choose
from medfeat.extraction.measure.half_precision import Agreement
from medfeat.extraction.measure.memory import Memory, Way, remembered

FACTS = {"machine": {"hardware": "here"}, "network": "one", "views": ["only"]}


@pytest.fixture
def cache(monkeypatch):
    """The compiler's cache, which is there from the first compile on."""
    state = {"name": ""}
    monkeypatch.setattr(choose, "compiler_cache", lambda device: state["name"])
    return state


def known(root, facts=FACTS):
    found, problem = remembered(root, facts)
    assert problem == ""
    return found


def test_the_second_dataset_builds_the_network_it_runs_and_nothing_else(clock, cache, tmp_path):
    lab = Lab(clock, FAST_HALF, problem="no compiler")
    first = lab.choose(memory=known(tmp_path), batch_size=None, data="first")
    assert len(lab.built) > 3
    lab.read, before = 0, clock.work
    second = lab.choose(memory=known(tmp_path), batch_size=None, data="second")
    assert second.settings == first.settings
    assert lab.built == [("bf16", first.settings.batch_size, False)]
    assert lab.read == 0 and clock.work == before
    assert any("agrees with fp32" in line and "measured on first" in line for line in lab.said)
    assert second.agreements[0].measured_on == "first"


def test_what_was_compiled_is_compiled_again_at_what_that_costs(clock, cache, tmp_path):
    """200 seconds of work do not repay 100 of compiling, and repay the 5 it takes with what the compiler kept."""
    lab = Lab(clock, FAST_HALF, cost=100.0)
    note = known(tmp_path)
    note.keep(Way("fp32", False, 32, 1 / 32))
    note.keep(Way("fp32", True, 32, 0.7 / 32, cost=100.0, again=5.0, kept="abc"))
    note.save()
    assert not lab.choose("fp32", total=6400, memory=known(tmp_path)).settings.compiled
    cache["name"] = "abc"
    lab.cost = 4.0
    assert lab.choose("fp32", total=6400, memory=known(tmp_path)).settings.compiled
    assert any(line.startswith("compiling fp32, about 5 s") for line in lab.said)
    kept = known(tmp_path).ways["fp32", True]
    assert (kept.cost, kept.again) == (100.0, pytest.approx(4.7))
    cache["name"] = "another"  # taken away, and begun again
    assert not lab.choose("fp32", total=6400, memory=known(tmp_path)).settings.compiled


def test_what_is_only_compared_is_not_compiled_again(clock, cache, tmp_path):
    """Eager, half precision gains nothing, and compiled it does: known numbers say so without compiling float32."""
    lab = Lab(clock, FAST_HALF | {("bf16", False): 0.95})
    first = lab.choose(memory=known(tmp_path), data="first")
    assert [built for built in lab.built if built[2]] == [("fp32", 32, True), ("bf16", 32, True)]
    second = lab.choose(memory=known(tmp_path), data="second")
    assert second.settings == first.settings and second.settings.compiled
    assert lab.built == [("bf16", 32, True), ("bf16", 32, False)]  # eager, for one batch to compare with


def test_what_was_known_to_compile_and_fails_today_runs_eager(clock, cache, tmp_path):
    Lab(clock, FAST_HALF).choose("fp32", memory=known(tmp_path))
    lab = Lab(clock, {("fp32", False): 1.0})
    choice = lab.choose("fp32", memory=known(tmp_path))
    assert not choice.settings.compiled
    assert any("torch.compile failed" in line for line in lab.said)
    assert choice.settings.part_batches == 10  # of eager batches


def test_compiling_that_failed_or_gained_nothing_is_not_tried_again(clock, cache, tmp_path):
    for name, speeds in (("gains nothing", FAST_HALF | {("fp32", True): 1.0}), ("fails", {("fp32", False): 1.0})):
        lab = Lab(clock, speeds)
        facts = FACTS | {"network": name}
        assert not lab.choose("fp32", memory=known(tmp_path, facts)).settings.compiled
        assert any(compiled for _, _, compiled in lab.built) or "failed" in str(lab.said)
        assert not lab.choose("fp32", memory=known(tmp_path, facts)).settings.compiled
        assert not any(compiled for _, _, compiled in lab.built) and "failed" not in str(lab.said)


def test_a_longer_run_measures_what_a_short_one_left_open(clock, cache, tmp_path):
    lab = Lab(clock, FAST_HALF)
    assert lab.choose(total=64, memory=known(tmp_path)).settings.precision == "fp32"
    assert lab.choose(total=10_000, memory=known(tmp_path)).settings.precision == "bf16"
    # and what it found serves the next run of seconds, which only measures how fast that is
    assert lab.choose(total=64, memory=known(tmp_path)).settings.precision == "bf16"


def test_half_precision_compared_on_few_images_is_compared_again_for_many(clock, cache, tmp_path):
    lab = Lab(clock, FAST_HALF, problem="no")
    lab.choose(total=600, memory=known(tmp_path), data="small")
    assert known(tmp_path).agreements["bf16"][0].sample == 37
    choice = lab.choose(total=10_000, memory=known(tmp_path), data="large")
    assert (choice.agreements[0].sample, choice.agreements[0].measured_on) == (64, "large")  # all of the sample


def test_half_precision_that_did_not_agree_is_not_tried_again(clock, cache, tmp_path):
    lab = Lab(clock, FAST_HALF, noise=0.5, problem="no")
    lab.choose(memory=known(tmp_path), data="first")
    assert lab.choose(memory=known(tmp_path), data="second").settings.precision == "fp32"
    assert {precision for precision, _, _ in lab.built} == {"fp32"}
    assert any("does not agree with fp32" in line and "measured on first" in line for line in lab.said)


def test_a_note_of_another_machine_is_not_believed_even_under_our_name(tmp_path):
    mine, theirs = known(tmp_path), known(tmp_path, FACTS | {"machine": {"hardware": "there"}})
    theirs.keep(Way("fp32", False, 8, 1.0))
    theirs.save()
    assert known(tmp_path).ways == {}
    mine.path.write_bytes(theirs.path.read_bytes())
    assert known(tmp_path).ways == {}


def whole_note(root):
    note = known(root)
    note.layers, note.batch = 3, 16
    note.looks["fp32"] = 0.5
    note.keep(Way("fp32", False, 16, 0.25))
    note.keep(Way("fp32", True, 16, 0.2, 20.0, 5.0, "abc", True))
    note.agreements["bf16"] = (Agreement("bf16", 0.9999, 40, True, "first"),)
    note.compared["bf16"] = 40
    note.save()
    return note


def test_a_note_is_read_as_it_was_written(tmp_path):
    written = whole_note(tmp_path)
    assert known(tmp_path) == written
    assert not list((tmp_path / ".measured").glob(".*"))


HOSTILE = {
    "no JSON": "{",
    "a list": "[]",
    "null": "null",
    "deep": "[" * 100_000,
    "no ways": ("ways", None),
    "a batch below zero": ("batch", -4),
    "a batch of words": ("batch", "many"),
    "true layers": ("layers", 1e300),
    "looks that are NaN": ("looks", {"fp32": float("nan")}),
    "looks at once": ("looks", {"fp32": 0}),
    "another precision": ("looks", {"../fp8": 1.0}),
    "a way without speed": ("ways", [{"precision": "fp32"}]),
    "a way of infinite speed": ("ways", [{**vars(Way("fp32", False, 8, 1.0)), "seconds": float("inf")}]),
    "agreement of nothing": ("agreements", {"bf16": [{}]}),
    "agreement beyond one": ("agreements", {"bf16": [vars(Agreement("bf16", 7e7, 40, True))]}),
    "agreement of no view": ("agreements", {"bf16": []}),
    "agreement of other views": ("agreements", {"bf16": [vars(Agreement("bf16", 1.0, 40, True))] * 2}),
    "facts that are none": ("facts", 3),
    "looks in a list": ("looks", [1]),
    "agreements in a list": ("agreements", ["bf16"]),
    "true for a count": ("batch", True),
    "a count of a thousand digits": ("batch", 10**1000),
    "a way compiled in words": ("ways", [{**vars(Way("fp32", False, 8, 1.0)), "compiled": "no"}]),
    "a way usable in numbers": ("ways", [{**vars(Way("fp32", False, 8, 1.0)), "usable": 2}]),
    "a way kept in a list": ("ways", [{**vars(Way("fp32", False, 8, 1.0)), "kept": ["abc"]}]),
}


def hostile(note, change):
    """Put in place of a note what somebody made up: a text, or the note with one value changed."""
    if isinstance(change, tuple):
        change = json.dumps(json.loads(note.path.read_text()) | {change[0]: change[1]})
    note.path.write_text(change)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_damaged_or_hostile_note_is_one_line_and_measured_anew(tmp_path, name):
    note = whole_note(tmp_path)
    hostile(note, HOSTILE[name])
    found, problem = remembered(tmp_path, FACTS)
    assert found == Memory(note.path, FACTS)
    assert problem.endswith("measured anew") and "\n" not in problem


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_note_of_another_network_says_nothing_of_what_compiling_costs(tmp_path, name):
    mine, other = known(tmp_path), whole_note(tmp_path)
    other.path = other.path.replace(other.path.with_name("other.json"))
    assert list(mine.costs_here()) == [(3, 20.0)]
    hostile(other, HOSTILE[name])
    assert list(mine.costs_here()) == []


def test_agreement_is_judged_here_whatever_a_note_claims(tmp_path):
    note = whole_note(tmp_path)
    values = json.loads(note.path.read_text())
    values["agreements"]["bf16"][0]["cosine_p01"] = 0.5
    note.path.write_text(json.dumps(values))
    assert not known(tmp_path).agreements["bf16"][0].passed


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path):
    (tmp_path / ".measured").write_text("in the way")
    note = Memory(tmp_path / ".measured" / "a.json", FACTS)
    note.save()
    assert list(note.costs_here()) == []
