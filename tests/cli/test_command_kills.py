"""Whatever a command writes is whole or as it was before: on a full disk, and killed at any moment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from killing_commands import COMMANDS, READS
from medfeat_cli.main import app

ROOT = Path(__file__).parents[2]
SCRIPT = """
import dataclasses, json, sys
from pathlib import Path
sys.path[:0] = sys.argv[4:]
import killing_commands
folder, kills, only = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
found = killing_commands.fill_disk(folder / "full", only) if only else {}
tally = killing_commands.kill_commands(folder / "killed", kills, seed=20260103, only=only)
print(json.dumps({"full": found, **dataclasses.asdict(tally)}))
"""
QUICK = ["predict", "compare", "cache repair", "cache export npz"]
# The short form: every command that writes, each once, those of a network by themselves.
LIGHT = [
    name
    for name in COMMANDS
    if " --" not in name and not COMMANDS[name].network and name not in QUICK and not name.startswith("cache export ")
]
HEAVY = ["finetune", "export"]
# Options that name a place to write to, wherever a command has them.
WRITING = {"--out", "out", "--figure", "--figures", "--tables"}


def harness(folder, kills, only=None):
    """Run the harness in a process of its own: it forks, which a test runner with threads must not."""
    paths = [str(ROOT / name) for name in ("tests", "cli", "cache", "")]
    command = [sys.executable, "-c", SCRIPT, str(folder), str(kills), json.dumps(only), *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(sys.platform == "win32", reason="forks, and limits the size of files")
def test_a_full_disk_and_a_kill_leave_an_earlier_file_whole(tmp_path):
    found = harness(tmp_path, 2, QUICK)
    for name in QUICK[:2]:
        code, said, cut = found["full"][name]
        assert code == 1 and said.count("\n") == 1 and "choose another --out" in said
        assert cut == []
    assert found["kills"] == dict.fromkeys(QUICK, 2) and found["cut"] == []


@pytest.mark.timeout(1200)
@pytest.mark.skipif(sys.platform == "win32", reason="forks, and limits the size of files")
@pytest.mark.parametrize(
    "names",
    [
        pytest.param(LIGHT[::2], id="some"),
        pytest.param(LIGHT[1::2], id="others", marks=pytest.mark.slow),  # minutes
        pytest.param(HEAVY, id="of a network", marks=pytest.mark.slow),
    ],
)
def test_a_kill_of_each_command_that_writes_cuts_nothing(tmp_path, names):
    found = harness(tmp_path, 1, names)
    assert found["cut"] == []
    assert found["kills"] == dict.fromkeys(names, 1)
    assert [cut for _, _, cut in found["full"].values() if cut] == []


def commands(group, before=()):
    """The commands of the command line, from its own registry, each with its options."""
    for name, command in getattr(group, "commands", {}).items():
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))
        else:
            yield " ".join((*before, name)), {word for option in command.params for word in option.opts}


def test_every_command_and_option_that_writes_is_killed():
    """A command that is new is either among those that only read, or has its kills; so has a file it can be told."""
    every = dict(commands(typer.main.get_command(app)))
    assert every.keys() > READS
    assert {name.partition(" --")[0] for name in COMMANDS} | READS >= every.keys()
    assert READS.isdisjoint(COMMANDS)
    for name, options in every.items():
        words = {word for key, command in COMMANDS.items() if key.startswith(name) for word in command.words.split()}
        unkilled = {option for option in options & WRITING if option.startswith("--")} - words
        assert not unkilled, f"{name} {unkilled} writes a file that no test kills it at"
    assert {*QUICK, *LIGHT, *HEAVY} >= every.keys() - READS


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.skipif(sys.platform == "win32", reason="forks, and limits the size of files")
@pytest.mark.parametrize("name", COMMANDS)
def test_fifteen_kills_of_every_command_that_writes(tmp_path, name):
    found = harness(tmp_path, 15, [name])
    assert [cut for _, _, cut in found["full"].values() if cut] == []
    assert found["kills"][name] >= 15
    assert found["cut"] == []
    note(found)


def note(found):
    """Keep what one command's kills found beside that of the others, and name the commands that none tried."""
    import machine

    path = machine.RESULTS / "soak_command_kills.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    facts = {part: {**known.get(part, {}), **found[part]} for part in ("kills", "whole")}
    missing = [name for name in COMMANDS if name not in facts["kills"]]
    text = json.dumps({"machine": machine.describe(), **facts, "cut": found["cut"], "not_run": missing}, indent=1)
    path.write_text(text + "\n")
