"""The page "volumes through a 2D network" does what it says, and names every slice policy there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from medfeat.extraction.network.slice_pooling import POLICIES

PAGE = Path(__file__).parents[3] / "docs" / "volumes.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_every_block_runs_and_val_chooses_a_policy(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDFEAT_CACHE", str(tmp_path / "cache"))
    scope: dict = {}
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), scope)
    (run,) = scope["chosen"].runs
    assert run.store["recipe"]["slices"] in POLICIES
    assert run.test.auc.value > 0.8  # the balls differ in size: any policy sees it
    assert run.store["embedding"] in capsys.readouterr().out


@pytest.mark.parametrize("policy", POLICIES)
def test_the_table_has_every_policy(policy):
    assert f"| `{policy}`" in TEXT
