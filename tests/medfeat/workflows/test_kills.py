"""Killed at any moment, the same command goes on: nobody reads a wrong store, at most one part is lost a kill."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = """
import dataclasses, json, sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from killing import kill_many
tally = kill_many(Path(sys.argv[1]), int(sys.argv[2]), seed=20260101)
print(json.dumps({**dataclasses.asdict(tally), "lost_parts_per_kill": tally.lost_parts_per_kill}))
"""


def kill_many(folder, kills):
    """Run the harness in a process of its own: it forks, which a test runner with threads must not."""
    paths = [str(ROOT / name) for name in ("tests", "cli", "cache", "")]
    command = [sys.executable, "-c", SCRIPT, str(folder), str(kills), *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check(tally, kills):
    assert tally["kills"] >= kills
    assert tally["wrong_reads"] == []
    assert tally["most_lost_rows"] <= tally["part_rows"], "a single kill cost more than one part"


def test_a_few_kills(tmp_path):
    check(kill_many(tmp_path, 6), 6)


@pytest.mark.slow
def test_sixty_kills(tmp_path):
    import machine

    tally = kill_many(tmp_path, 60)
    check(tally, 60)
    assert set(tally["phases"]) >= {"parts", "merge"}
    (machine.RESULTS / "soak_kills.json").write_text(
        json.dumps({"machine": machine.describe(), **tally}, indent=1) + "\n"
    )
