"""Killed at any moment, the same command ends, on a CPU, bit for bit where an uninterrupted one does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from medfeat.workflows.tuning import finetune_training

from .trainings import tune

ROOT = Path(__file__).parents[3]
SCRIPT = """
import dataclasses, json, sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from killing_training import kill_many
print(json.dumps(dataclasses.asdict(kill_many(Path(sys.argv[1]), int(sys.argv[2]), seed=20260102))))
"""


def kill_many(folder, kills):
    """Run the harness in a process of its own: it forks, which a test runner with threads must not."""
    paths = [str(ROOT / name) for name in ("tests", "cli", "cache", "")]
    command = [sys.executable, "-c", SCRIPT, str(folder), str(kills), *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_kill(tmp_path):
    assert kill_many(tmp_path, 1)["kills"] >= 1


@pytest.mark.slow
def test_thirty_kills(tmp_path):
    import machine

    tally = kill_many(tmp_path, 30)
    assert tally["kills"] >= 30 and any(moment.startswith("epoch") for moment in tally["moments"])
    (machine.RESULTS / "soak_training_kills.json").write_text(
        json.dumps({"machine": machine.describe(), **tally}, indent=1) + "\n"
    )


def test_checkpoints_that_a_kill_left_beside_the_finished_run_go_and_those_of_other_settings_stay(
    tmp_path, monkeypatch
):
    root = tmp_path / "cache"
    with monkeypatch.context() as patched:
        patched.setattr(finetune_training.Keeper, "forget", lambda _self: sys.exit(9))  # the moment of the kill
        with pytest.raises(SystemExit):
            tune(root)
    (left,) = (root / "tuned").rglob(".unfinished-*")
    assert left.is_dir() and list(left.iterdir())
    assert tune(root).reused == 1 and not left.exists()
    with monkeypatch.context() as patched:
        patched.setattr(finetune_training.Keeper, "forget", lambda _self: sys.exit(9))
        with pytest.raises(SystemExit):
            tune(root, epochs=1)
    assert tune(root).reused == 1 and left.exists()
