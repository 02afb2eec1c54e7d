"""What a person sees on terminals that are narrow, have no colours, or are promised nothing but ASCII."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from medfeat_cli.main import run
from printed_commands import all_commands

ROOT = Path(__file__).parents[2]


def on_terminal(*words, columns=80, **environment):
    """Run the command on a terminal of its own, and return what it wrote there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 400, columns, 0, 0))
    paths = os.pathsep.join([str(ROOT), str(ROOT / "cli"), str(ROOT / "cache")])
    process = subprocess.Popen(
        [sys.executable, "-m", "medfeat", *words],
        env={"PYTHONPATH": paths, "PATH": os.environ["PATH"], "TERM": "xterm-256color", **environment},
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    came = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # nobody is left on the other side
            break
        if not piece:
            break
        came += piece
    os.close(ours)
    process.wait(timeout=60)
    return came.decode("utf-8").replace("\r\n", "\n")


def test_no_word_of_an_error_is_broken_and_its_command_is_whole(tmp_path):
    said = on_terminal("probe", columns=100, MEDFEAT_CACHE=str(tmp_path), NO_COLOR="1")
    assert "`medfeat extract --data NAME --backbone NAME" in said and "`medfeat demo`" in said
    assert " ".join(said.split()).startswith(f"medfeat: no stores in {tmp_path}: run `medfeat extract ")


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}], ids=["colour", "NO_COLOR"])
def test_an_error_is_red_unless_colours_are_unwanted(environment, tmp_path):
    said = on_terminal("probe", MEDFEAT_CACHE=str(tmp_path), **environment)
    assert ("\x1b[31m" in said) == (not environment)
    assert ("\x1b[" in said) == (not environment)


@pytest.mark.parametrize("environment", [{"LANG": "C"}, {"LC_ALL": "C"}, {"LC_ALL": "POSIX"}], ids=str)
def test_a_terminal_of_the_c_locale_gets_ascii_alone(environment):
    said = on_terminal("compare", "-d", "breastmnist", MEDFEAT_CACHE="/nowhere", **environment)
    assert said.isascii()
    lines = [re.sub("\x1b\\[[0-9;]*m", "", line) for line in said.splitlines()]
    end = next(line for line in lines if "system" in line).index("AUC") + 3
    under = {line[end - 1] for line in lines if "kNN   " in line}
    assert "-" in under and under <= set("-0123456789")  # a dash is one letter, and columns end where they did
    assert on_terminal("list", "heads", **environment).isascii()


def test_a_terminal_of_utf8_keeps_its_letters():
    assert "─" in on_terminal("list", "heads", LANG="C.UTF-8")


def test_what_is_no_terminal_keeps_its_letters_in_the_c_locale(tmp_path):
    paths = os.pathsep.join([str(ROOT), str(ROOT / "cli"), str(ROOT / "cache")])
    done = subprocess.run(
        [sys.executable, "-m", "medfeat", "compare", "-d", "breastmnist"],
        env={"PYTHONPATH": paths, "PATH": os.environ["PATH"], "LANG": "C", "MEDFEAT_CACHE": str(tmp_path)},
        capture_output=True, check=True, timeout=240,
    )  # fmt: skip
    assert "–" in done.stdout.decode("utf-8")


@pytest.mark.parametrize("columns", [80, 100])
def test_the_doctor_is_a_table(columns, tmp_path):
    said = on_terminal("doctor", "--offline", columns=columns, MEDFEAT_CACHE=str(tmp_path / "c"))
    plain = re.sub("\x1b\\[[0-9;]*m", "", said)
    assert re.search(r"^ check +state +found +what to do", plain, re.MULTILINE)
    assert re.search(r"^ pixels +ok +ready", plain, re.MULTILINE)
    assert re.search(r"^ alexnet +\w+ +\w+", plain, re.MULTILINE)


def test_the_splits_of_a_dataset_stand_on_one_line(capsys):
    assert run(["list", "datasets"]) == 0
    assert "89996/10004/7180" in capsys.readouterr().out
    assert "89996/10004/7180" in on_terminal("list", "datasets")


@pytest.mark.parametrize("words", [words for words, _ in all_commands()] + [(), ("cache",), ("runs",)], ids=" ".join)
def test_help_names_types_only_where_something_is_typed(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run([*words, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--help" in shown and "<bool>" not in shown and "range" not in shown


@pytest.mark.parametrize("words", [["extract", "-d", "synthetic", "-b", "stats", "--seed", "-1"],
                                   ["finetune", "-d", "synthetic", "-b", "resnet18", "--seeds", "0"]])  # fmt: skip
def test_a_number_below_its_bound_is_refused(words, capsys):
    assert run(words) == 2
    assert re.search(r"'--seeds?'.* must be [01] or more, got (-1|0)", capsys.readouterr().err)
