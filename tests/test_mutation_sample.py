"""The sample of mutants: drawn from a seed, each a change that compiles, killed where a test fails and undone."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "tools"))

import mutation_sample as sample
import tests_by_line

SOURCE = """
def share(part, whole):
    if whole <= 0 and part:
        raise ValueError("nothing to share")
    note(part)
    return 100 * part / whole
"""


def test_a_module_gives_each_change_once_with_its_line():
    found = {(one.line, one.new.strip()) for one in sample.mutants_of(SOURCE, "share.py")}
    assert found >= {
        (3, "if whole < 0 and part:"), (3, "if whole > 0 and part:"), (3, "if whole <= 1 and part:"),
        (3, "if whole <= 0 or part:"), (5, "pass"), (6, "return 101 * part / whole"), (6, "return 100 / part / whole"),
        (6, "return 100 * part * whole"),
    }  # fmt: skip
    for one in sample.mutants_of(SOURCE, "share.py"):
        changed = one.apply(SOURCE)
        ast.parse(changed)
        differing = [i for i, pair in enumerate(zip(SOURCE.split("\n"), changed.split("\n"), strict=True), 1)
                     if pair[0] != pair[1]]  # fmt: skip
        assert differing == [one.line]


def test_a_seed_draws_the_same_mutants_and_the_named_ones_are_always_among_them():
    drawn = sample.draw(5, seed=3)
    assert drawn == sample.draw(5, seed=3) != sample.draw(5, seed=4)
    assert drawn[:-5] == sample.named() and not any(one.named for one in drawn[-5:])
    for one in drawn:
        changed = one.apply((sample.ROOT / one.file).read_text())
        assert changed != (sample.ROOT / one.file).read_text()
        ast.parse(changed)


def reached(file, line, **seconds):
    return tests_by_line.Reach({file: {line: set(seconds)}}, dict(seconds))


@pytest.mark.parametrize(("test", "killed"), [("assert share(1, 4) == 25", True), ("assert share(0, 4) == 0", False)])
def test_a_mutant_is_killed_where_a_test_fails_and_is_undone(tmp_path, test, killed):
    (tmp_path / "shares.py").write_text(SOURCE.replace("    note(part)\n", ""))
    (tmp_path / "test_shares.py").write_text(f"from shares import share\n\ndef test_it():\n    {test}\n")
    mutant = sample.Mutant("shares.py", 5, "100 * part", "101 * part")
    known = reached("shares.py", 5, **{"test_shares.py": 0.1})
    result = sample.tried(mutant, tmp_path, known, thorough=False)
    assert result["killed"] == killed and bool(result["by"]) == killed
    assert "100 * part" in (tmp_path / "shares.py").read_text()


@pytest.mark.parametrize("test", ["def test_it():\n    assert False\n", "import nowhere_at_all\n"])
def test_a_test_that_fails_anyway_kills_nothing(tmp_path, test):
    (tmp_path / "shares.py").write_text(SOURCE)
    (tmp_path / "test_shares.py").write_text(test)
    mutant = sample.Mutant("shares.py", 6, "100 * part", "101 * part")
    result = sample.tried(mutant, tmp_path, reached("shares.py", 6, **{"test_shares.py": 0.1}), thorough=False)
    assert not result["killed"] and "fails without the change too" in result["by"]


def test_tests_are_picked_within_the_time_from_the_files_own_tests_and_from_every_other_file():
    names = {f"tests/test_{file}.py::test_{i}": 1.0 + i for file in ("a", "b", "shares") for i in range(9)}
    mutant = sample.Mutant("medfeat/shares.py", 6, "x", "y")
    found = sample.picked(mutant, reached("medfeat/shares.py", 6, **names), 30)
    assert found[:7] == [
        *(f"tests/test_shares.py::test_{i}" for i in range(5)), "tests/test_a.py::test_0", "tests/test_b.py::test_0"
    ]  # fmt: skip
    assert 25 < sum(names[name] for name in found) <= 30
    assert sorted(sample.picked(mutant, reached("medfeat/shares.py", 6, **names), 1e9)) == sorted(names)


def test_a_line_that_only_the_import_runs_is_reached_by_whatever_reaches_its_file():
    known = reached("medfeat/shares.py", 6, **{"test_a": 1.0, "test_b": 1.0})
    assert known.of("medfeat/shares.py", 1) == {"test_a", "test_b"} and known.of("medfeat/other.py", 1) == set()


def test_what_tests_reach_is_measured_in_pieces_that_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(tests_by_line, "ROOT", tmp_path)
    for folder in ("medfeat", "cache", "tests/one", "tests/two"):
        (tmp_path / folder).mkdir(parents=True)
    for name in [f"tests/one/test_{i}.py" for i in range(10)] + ["tests/two/test_x.py"]:
        (tmp_path / name).write_text("")
    pieces = tests_by_line.pieces(["tests"])
    assert list(pieces) == ["tests.one-0", "tests.one-1", "tests.two-0"]
    assert [len(files) for files in pieces.values()] == [8, 2, 1]
    assert tests_by_line.pieces(["tests/two/test_x.py"]) == {"tests.two-0": ["tests/two/test_x.py"]}
    kept = tmp_path / "kept"
    kept.mkdir()
    for place, name in enumerate(pieces):
        tests = {"t::a": 1.0} if place else {"t::b": 2.0, "t::c": 3.0}
        found = {"seconds": tests, "lines": {"medfeat/m.py": {"4": list(range(len(tests))), "9": []}}}
        (kept / f"{name}.json").write_text(json.dumps(found))
    whole = tests_by_line.reach(kept)
    assert whole.of("medfeat/m.py", 4) == {"t::a", "t::b", "t::c"} and whole.seconds["t::c"] == 3.0


def test_survivors_of_the_same_behaviour_do_not_count_against_the_tests(monkeypatch):
    monkeypatch.setattr(sample, "JUDGED", (("m.py", "a", "same", "a and b are one"), ("m.py", "b", "gap", "test_b")))
    results = [{"file": "m.py", "new": f"  {new}\n", "killed": new == "c"} for new in "abcd"]
    found = sample.summary(results, seed=0)
    assert (found["tried"], found["killed"], found["same_behaviour"]) == (4, 1, 1)
    assert found["killed_of_those_that_change_behaviour"] == 0.333
    assert [one.get("verdict") for one in found["mutants"]] == ["same", "gap", None, None]
