"""Looking after runs: list, show, delete; and the best one by name."""

from __future__ import annotations

import io
import json

import pytest

from medfeat_cli.main import run


def say(capsys, *words, code=0):
    capsys.readouterr()
    assert run([str(word) for word in words]) == code, capsys.readouterr().err
    return capsys.readouterr()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A cache with four runs on two datasets."""
    root = tmp_path_factory.mktemp("stores")
    for data in ("synthetic", "synthetic-binary"):
        assert run(["extract", "-d", data, "-b", "stats,pixels", "--cache-dir", str(root)]) == 0
    assert run(["probe", "--head", "linear", "--resamples", "20", "--cache-dir", str(root)]) == 0
    return root


def listed(capsys, made, *words):
    return json.loads(say(capsys, "runs", "list", *words, "--json", "--cache-dir", made).out)["runs"]


def test_runs_are_listed_with_keys_that_the_probe_table_shows(made, capsys):
    keys = [one["key"][:12] for one in listed(capsys, made)]
    assert len(keys) == 4
    shown = say(capsys, "runs", "list", "--cache-dir", made).out
    probed = say(capsys, "probe", "--head", "linear", "--resamples", 20, "--cache-dir", made).out
    for key in keys:
        assert key in shown and key in probed


def test_a_list_is_narrowed_by_names_and_is_best_on_val_first(made, capsys):
    found = listed(capsys, made, "--data", "synthetic-binary")
    assert {one["dataset"] for one in found} == {"synthetic-binary"}
    assert found[0]["val"]["auc"]["value"] >= found[1]["val"]["auc"]["value"]
    assert [one["backbone"] for one in listed(capsys, made, "--backbone", "stats")] == ["stats", "stats"]


def test_a_run_shows_classes_confusion_and_card(made, capsys):
    one = listed(capsys, made, "--data", "synthetic-binary")[0]
    shown = say(capsys, "runs", "show", one["key"][:8], "--cache-dir", made).out
    counts = one["test"]["confusion"]
    for name, row in zip(one["task"]["classes"], counts, strict=True):
        assert f"{name}\t{row[0]}\t{row[1]}" in shown
    assert "classes of test" in shown and "## What it does" in shown
    alone = say(capsys, "runs", "show", one["key"][:8], "--card", "--cache-dir", made).out
    assert alone.startswith("# linear head on ")


def test_the_best_run_is_the_best_on_val_and_needs_its_dataset_named(made, capsys):
    best = listed(capsys, made, "--data", "synthetic-binary")[0]
    found = json.loads(say(capsys, "runs", "show", "best", "-d", "synthetic-binary", "--json", "--cache-dir", made).out)
    assert found["run"]["key"] == best["key"]
    said = say(capsys, "predict", "--run", "best", "--data", "synthetic-binary", "--json", "--cache-dir", made)
    assert json.loads(said.out)["run"] == best["key"] and best["key"][:12] in said.err
    refused = say(capsys, "predict", "--run", "best", "--images", "x.png", "--cache-dir", made, code=2)
    assert "synthetic, synthetic-binary: say which with --data" in refused.err


def test_a_run_is_deleted_when_that_is_confirmed(made, tmp_path, capsys, monkeypatch):
    where = ["--cache-dir", tmp_path]
    say(capsys, "extract", "-d", "synthetic-binary", "-b", "stats", *where)
    say(capsys, "probe", "--resamples", 20, *where)
    key = listed(capsys, tmp_path)[0]["key"][:8]
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert "nothing was done" in say(capsys, "runs", "delete", key, *where, code=1).err
    assert len(listed(capsys, tmp_path)) == 1
    assert "removed 1" in say(capsys, "runs", "delete", key, "--yes", *where).out
    assert listed(capsys, tmp_path) == []
    assert list(tmp_path.rglob("*.h5"))


def test_a_folder_that_is_no_run_is_never_deleted(made, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    refused = say(capsys, "runs", "delete", tmp_path / "mine", "--yes", "--cache-dir", made, code=2)
    assert "is no run of the cache" in refused.err and (tmp_path / "mine").is_dir()
