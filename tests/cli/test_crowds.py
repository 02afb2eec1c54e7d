"""Thirty commands at once on one cache, ten on one store, few open files, little memory: right, or one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
import crowding
folder, kind = Path(sys.argv[1]), sys.argv[2]
every = list(crowding.COMMANDS)
wrong = {
    "few": lambda: crowding.crowd(folder, every[:6]),
    "thirty": lambda: crowding.crowd(folder, every * 3),
    "ten on one": lambda: crowding.crowd(folder, [f"extract {crowding.PIXELS}"] * 10),
    "starved": lambda: crowding.starved(folder),
    "short of memory": lambda: crowding.short_of_memory(folder),
}[kind]()
print(json.dumps(wrong))
"""
SLOW = ("thirty", "ten on one", "starved", "short of memory")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks, and limits of POSIX")


@pytest.mark.parametrize("kind", ["few", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_many_commands_at_once_few_open_files_and_little_memory(tmp_path, kind):
    paths = [str(ROOT / name) for name in ("tests", "cli", "cache", "")]
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), kind, *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
