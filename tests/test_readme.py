"""The README does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
THREE_USES = """\
    medfeat extract --backbone resnet101 --data bloodmnist
    medfeat probe
    # reusing cached embeddings for new tasks (new labels, few-shot, own images, silver-standard labels, retrieval)
"""


def test_its_python_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MEDFEAT_CACHE", str(tmp_path))
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert "Interval" in capsys.readouterr().out


def test_it_names_the_three_uses_word_for_word():
    assert THREE_USES in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_pages_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_variable_of_the_environment_on_a_page_is_read_somewhere(page):
    named = set(re.findall(r"\bMEDFEAT_[A-Z_]+\b", page.read_text(encoding="utf-8")))
    folders = ("medfeat", "cache", "cli", "benchmarks", "tests", "tools")
    read = {
        name
        for folder in (folders if named else ())
        for path in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"\bMEDFEAT_[A-Z_]+\b", path.read_text(encoding="utf-8"))
    }
    assert named <= read
