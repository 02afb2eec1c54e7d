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


def test_annotations_are_left_alone_because_nothing_runs_them():
    source = "def share(part: int | None, whole: int = 2 | 4) -> int | None:\n    kept: int | None = part\n"
    assert {one.new.partition("\n")[0] for one in sample.mutants_of(source, "share.py")} == {
        f"def share(part: int | None, whole: int = {value}) -> int | None:" for value in ("2 & 4", "3 | 4", "2 | 5")
    }


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


def test_tests_are_picked_within_the_time_those_of_the_very_file_first():
    lines = {"medfeat/shares.py": {6: {"own", "long", "other"}, 7: {"own", "long"}},
             "medfeat/x.py": {n: {"other", "far"} for n in range(1, 9)}}  # fmt: skip
    known = tests_by_line.Reach(lines, {"own": 2.0, "long": 20.0, "other": 1.0, "far": 0.1})
    assert known.share("own", "medfeat/shares.py") == 1 and known.share("other", "medfeat/shares.py") == 1 / 9
    for seconds, found in ((30, ["own", "long", "other"]), (10, ["own", "other"]), (1.5, ["other"])):
        assert sample.picked(known.of("medfeat/shares.py", 6), "medfeat/shares.py", known, seconds) == found


def test_a_line_that_only_the_import_runs_is_tried_with_whatever_runs_its_file(tmp_path):
    (tmp_path / "shares.py").write_text("MOST = 4\n\ndef share():\n    return MOST\n")
    (tmp_path / "test_shares.py").write_text("import shares\n\ndef test_it():\n    assert shares.share() == 4\n")
    known = reached("shares.py", 4, **{"test_shares.py": 0.1})
    assert known.of("shares.py", 1) == set() and known.of_file("shares.py") == {"test_shares.py"}
    mutant = sample.Mutant("shares.py", 1, "MOST = 4", "MOST = 5")
    assert sample.tried(mutant, tmp_path, known, thorough=False)["killed"]


def test_what_tests_reach_is_measured_in_pieces_that_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(tests_by_line, "ROOT", tmp_path)
    for folder in ("medfeat", "cache", "tests/one", "tests/two"):
        (tmp_path / folder).mkdir(parents=True)
    for name in [f"tests/one/test_{i}.py" for i in range(10)] + ["tests/two/test_x.py"]:
        (tmp_path / name).write_text("")
    pieces = tests_by_line.pieces(["tests"])
    assert [name.partition("-")[0] for name in pieces] == ["tests.one", "tests.one", "tests.two"]
    assert [len(files) for files in pieces.values()] == [8, 2, 1]
    last = list(pieces)[-1]
    assert tests_by_line.pieces(["tests/two/test_x.py"]) == {last: ["tests/two/test_x.py"]}
    assert not tests_by_line.pieces(["tests/one/test_0.py"]).keys() & pieces.keys()  # other files, another piece
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
    results = [{"file": "m.py", "new": f"  {new}\n", "killed": new in "ce"} for new in "abcde"]
    results[-1]["after"] = "test added"
    found = sample.summary(results, seed=0)
    assert (found["tried"], found["killed"], found["same_behaviour"]) == (5, 2, 1)
    assert found["killed_by_tests_added_since"] == 1
    assert found["killed_of_those_that_change_behaviour"] == 0.5 and found["before_these_tests_were_added"] == 0.25
    assert [one.get("verdict") for one in found["mutants"]] == ["same", "gap", None, None, None]
