"""The page "look at a dataset and its embeddings" does what it says, block by block."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from medfeat_cli.main import run

PAGE = Path(__file__).parents[3] / "docs" / "looking.md"
BLOCKS = re.findall(r"^```(python|bash)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def quick_maps(monkeypatch):
    """Lay maps out in few steps: what a map is worth is asked in tests of its own."""
    monkeypatch.setattr("medfeat.evaluation.looking.projection.EARLY", 25)
    monkeypatch.setattr("medfeat.evaluation.looking.projection.LATE", 25)


def test_every_block_runs_and_writes_what_the_text_promises(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDFEAT_CACHE", str(tmp_path / "cache"))
    for kind, text in BLOCKS:
        if kind == "python":
            exec(compile(text, str(PAGE), "exec"), {})
        else:
            for line in text.strip().splitlines():
                assert run(shlex.split(line)[1:]) == 0, line
    assert "data:image" in Path("look.html").read_text(encoding="utf-8")
    assert "data:image" not in Path("plain.html").read_text(encoding="utf-8")
    assert Path("figures/tsne-2d-stats.png").is_file()
