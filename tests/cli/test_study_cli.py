"""`medfeat study` on the command line: what it prints, how it exits, and what it refuses."""

from __future__ import annotations

import json

import pytest

from medfeat_cli.main import run

GRID = 'data = "synthetic-binary"\nbackbone = ["stats", "nonesuch"]\nhead = "prototypes"\nresamples = 20\n'


@pytest.fixture
def say(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDFEAT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "grid.toml").write_text(GRID)

    def say(*words, code=0):
        capsys.readouterr()
        assert run(["study", *words]) == code, capsys.readouterr().err
        return capsys.readouterr()

    return say


def test_it_ends_with_one_where_a_cell_failed_and_says_why(say):
    said = say("grid.toml", code=1)
    assert "made 2 cells" in said.out and "wrote study-grid" in said.out
    assert said.err.count("nonesuch failed: unknown backbone 'nonesuch'") == 1  # as it happened
    assert "medfeat: synthetic-binary / nonesuch: unknown backbone" in said.err  # and at the end
    planned = json.loads(
        say("grid.toml", "--dry-run", "--offline", "--json").out
    )  # a plan makes no network call anyway
    assert [one["state"] for one in planned["cells"]] == ["done", "missing", "done", "missing"]
    verified = json.loads(say("--verify", "study-grid", "--json").out)
    assert verified["reproduced"] and verified["counts"] == {"equal": 2, "not made there": 2}


def test_it_stops_at_its_limits_and_goes_on(say, tmp_path):
    (tmp_path / "grid.toml").write_text(GRID.replace(', "nonesuch"', ""))
    said = say("grid.toml", "--max-disk", "0.000001", code=1)
    assert "2 cells are left: the cache takes 0.00 GB" in said.out and "the same command goes on from there" in said.out
    assert "made 2 cells" in say("grid.toml").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give the file of a study, or --verify and the folder of one"),
        (("grid.toml", "--verify", "x"), "give the file of a study, or --verify and the folder of one"),
        (("nowhere.toml",), "nowhere.toml cannot be read (No such file or directory)"),
        (("--verify", "nowhere"), "nowhere is no folder of a study"),
        (("course", "--max-hours", "0"), "--max-hours must be above 0"),
        (("courses",), "did you mean course"),
    ],
)
def test_a_mistake_is_one_line(say, words, said, tmp_path):
    code = 1 if "nowhere" in "".join(words) else 2
    heard = say(*words, code=code).err
    assert said in heard and heard.count("\n") == 1
