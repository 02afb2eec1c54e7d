"""The page on fine-tuning does what it says, and its table of rates is the code's."""

from __future__ import annotations

import re
from pathlib import Path

from medfeat.finetuning.defaults import FAMILIES
from medfeat.finetuning.training_settings import MODES

PAGE = Path(__file__).parents[3] / "docs" / "fine-tuning.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_its_block_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MEDFEAT_CACHE", str(tmp_path / "cache"))
    scope: dict = {}
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), scope)
    assert len(scope["report"].runs) == 1 and "auc" in capsys.readouterr().out


def test_its_tables_are_the_codes():
    assert all(f"| `{mode}` |" in TEXT for mode in MODES)
    for family in FAMILIES.values():
        (line,) = [line for line in TEXT.splitlines() if line.startswith(f"| {family.name} |")]
        _, _, rate, decay, *_ = (part.strip() for part in line.split("|"))
        assert (float(rate), float(decay)) == (family.lr, family.layer_decay)
