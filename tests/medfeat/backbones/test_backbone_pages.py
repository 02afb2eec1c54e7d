"""The pages on backbones and on one's own weights say what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from medfeat.backbones.page import page

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_the_backbone_page_is_made_from_the_registry() -> None:
    told = "run `python -m medfeat.backbones.page > docs/backbones.md`"
    assert (DOCS / "backbones.md").read_text() == page(), told


def test_the_page_on_own_weights_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "own-weights.md").read_text(), flags=re.DOTALL)
    assert len(blocks) >= 5
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(blocks), "own-weights.md", "exec"), {})
