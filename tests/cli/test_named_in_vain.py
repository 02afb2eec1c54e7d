"""A name that means nothing here is said, not passed over; what takes one name does not promise to take several."""

from __future__ import annotations

import pytest

from medfeat_cli.main import run


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    root = tmp_path_factory.mktemp("named") / "cache"
    where = ["--cache-dir", str(root)]
    assert run(["extract", "-d", "synthetic-binary", "-b", "stats", *where]) == 0
    assert run(["probe", "--resamples", "20", *where]) == 0
    return where


def said(capsys, words, code):
    capsys.readouterr()
    assert run(words) == code
    return capsys.readouterr().err


@pytest.mark.parametrize("words", [["runs", "list"], ["report", "--out", "page.html"]])
def test_a_dataset_without_runs_beside_one_with_runs_is_said(words, cache, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = said(capsys, [*words, "-d", "synthetic-binary,bloodmnst", *cache], 2)
    assert "unknown dataset of a run 'bloodmnst'" in told and not list(tmp_path.iterdir())
    assert "bloodmnst" not in said(capsys, [*words, "-d", "synthetic-binary", *cache], 0)


@pytest.mark.parametrize("option", ["--data", "--backbone"])
def test_stores_that_are_not_there_are_named_below_the_list(option, cache, capsys):
    told = said(capsys, ["cache", "ls", option, "resnt18", *cache], 0)
    assert "no store of" in told and "resnt18" in told
    assert said(capsys, ["cache", "ls", *cache], 0) == ""


@pytest.mark.parametrize("words", [["search", "--id", "test/0"], ["audit"]])
@pytest.mark.parametrize("several", ["synthetic-binary,synthetic", "all"])
def test_a_command_on_one_store_says_that_it_takes_one(words, several, cache, capsys):
    assert "--data names one here" in said(capsys, [*words, "-d", several, *cache], 2)
    assert "--backbone names one here" in said(capsys, [*words, "-b", "stats,pixels", *cache], 2)


@pytest.mark.parametrize("command", ["search", "audit", "explore", "list"])
def test_the_help_of_a_command_on_one_dataset_offers_no_list_of_them(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    run([command, "--help"])
    assert "Dataset names (comma list" not in capsys.readouterr().out


@pytest.mark.parametrize("command", ["predict", "search", "audit", "export", "probe"])
def test_weights_of_a_network_that_is_there_are_not_offered_as_random(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    run([command, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "Where the network's weights are now" in shown and "or `random`" not in shown


def test_published_results_of_several_datasets_are_listed(capsys):
    assert run(["list", "published", "-d", "breastmnist,bloodmnist"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert {row.partition("\t")[0] for row in rows[1:] if row} == {"breastmnist", "bloodmnist"}
