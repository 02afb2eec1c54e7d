"""The sample of mutants: drawn from a seed, each a change that compiles, killed where a test fails and undone."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "tools"))

import mutation_sample as sample

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


@pytest.mark.parametrize(("test", "killed"), [("assert share(1, 4) == 25", True), ("assert share(0, 4) == 0", False)])
def test_a_mutant_is_killed_where_a_test_fails_and_is_undone(tmp_path, test, killed):
    (tmp_path / "shares.py").write_text(SOURCE.replace("    note(part)\n", ""))
    (tmp_path / "test_shares.py").write_text(f"from shares import share\n\ndef test_it():\n    {test}\n")
    mutant = sample.Mutant("shares.py", 5, "100 * part", "101 * part")
    known = {"shares.py": {"5": ["test_shares.py"]}}
    result = sample.tried(mutant, tmp_path, known, thorough=False)
    assert result["killed"] == killed and bool(result["by"]) == killed
    assert "100 * part" in (tmp_path / "shares.py").read_text()


def test_a_test_that_fails_anyway_kills_nothing(tmp_path):
    (tmp_path / "shares.py").write_text(SOURCE)
    (tmp_path / "test_shares.py").write_text("def test_it():\n    assert False\n")
    known = {"shares.py": {"6": ["test_shares.py"]}}
    result = sample.tried(sample.Mutant("shares.py", 6, "100 * part", "101 * part"), tmp_path, known, thorough=False)
    assert not result["killed"] and "fails without the change too" in result["by"]
