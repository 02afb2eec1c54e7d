"""What a person types first: nothing, -V, help; and errors of a command that was asked for JSON."""

from __future__ import annotations

import json

import pytest

import medfeat
from medfeat_cli.main import run


@pytest.mark.parametrize("words", [[], ["cache"], ["runs"], ["help"], ["--help"], ["-h"]])
def test_asking_for_nothing_or_for_help_shows_help_and_is_no_mistake(words, capsys):
    assert run(words) == 0
    shown = capsys.readouterr()
    assert "Usage: medfeat" in shown.out and shown.err == ""


@pytest.mark.parametrize("words", [["extract"], ["cache", "ls"]])
def test_help_of_a_command_is_what_its_help_option_shows(words, capsys):
    assert run(["help", *words]) == 0
    asked = capsys.readouterr().out
    assert run([*words, "--help"]) == 0
    assert asked == capsys.readouterr().out


def test_a_mistake_names_the_help_of_its_own_command(capsys):
    assert run(["cache", "ls", "--nonesuch"]) == 2
    assert "(see `medfeat cache ls --help`)" in capsys.readouterr().err
    assert run(["help", "nonesuch"]) == 2
    assert "nonesuch" in capsys.readouterr().err


def test_the_version_has_a_short_option(capsys):
    assert run(["-V"]) == 0
    assert capsys.readouterr().out.strip() == f"medfeat {medfeat.__version__}"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["probe", "--json"], 2),  # no stores
        (["probe", "--json", "--nonesuch"], 2),
        (["extract", "-d", "/nowhere/at/all", "-b", "stats", "--json"], 1),
        (["compare", "--format", "json", "--data", "bloodmnis"], 2),
        (["compare", "--format=json", "--data", "bloodmnis"], 2),
        (["runs", "show", "ffff", "--json"], 2),
    ],
)
def test_every_error_has_one_envelope_where_json_was_asked_for(words, code, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MEDFEAT_CACHE", str(tmp_path))
    assert run(words) == code
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert list(found) == ["version", "error"] and found["version"] == medfeat.__version__
    assert found["error"]["code"] == code
    assert shown.err.endswith(f"medfeat: {found['error']['message']}\n")


def test_without_json_an_error_leaves_stdout_empty(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MEDFEAT_CACHE", str(tmp_path))
    assert run(["probe"]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (["list", "heads", "--json"], {"rows"}),
        (["cache", "ls", "--json"], {"stores"}),
        (["compare", "--data", "breastmnist", "--json"], {"comparisons", "sources", "notes"}),
    ],
)
def test_a_result_in_json_keeps_its_keys_and_says_its_version(words, keys, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MEDFEAT_CACHE", str(tmp_path))
    assert run(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["version"] == medfeat.__version__
    assert keys <= set(found)
