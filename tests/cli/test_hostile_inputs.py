"""Hostile inputs through the real command: none executes, hangs, eats the machine or is believed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hostile_inputs import every

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, os, sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
import hostile
from hostile_inputs import every
folder, step, wrong = Path(sys.argv[1]), int(sys.argv[2]), []
os.environ["MEDFEAT_CACHE"] = str(folder / "none")
hostile.load()
arena = hostile.arena(folder / "arena")
for i, one in list(enumerate(every()))[::step]:
    found = hostile.give(one, arena, folder / f"case{i}")
    if found.wrong(one):
        wrong.append(f"{one.kind}, {one.what}: {found.wrong(one)}: {found.said[-300:]}")
print(json.dumps(wrong))
"""
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks, pipes and devices of POSIX")


def wrong_ones(folder, step):
    """Try every so many-th input in a process of its own: it forks, which a test runner with threads must not."""
    paths = [str(ROOT / name) for name in ("tests", "cli", "cache", "")]
    command = [sys.executable, "-c", SCRIPT, str(folder), str(step), *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_some_hostile_inputs(tmp_path):
    assert wrong_ones(tmp_path, 9) == []


@pytest.mark.slow
def test_every_hostile_input(tmp_path):
    assert wrong_ones(tmp_path, 1) == []


def test_the_page_has_every_input():
    assert len(every()) >= 100
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    missing = [one.what for one in every() if f"| {one.kind} | {one.what} |" not in page]
    assert missing == []
