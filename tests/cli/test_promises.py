"""What a command says it does, it does: options have an effect, Ctrl-C keeps what it says, offline needs no file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

import medfeat
from medfeat.types import SilentProgress
from medfeat.workflows import few_shot as few_shot_workflow
from medfeat_cli.main import run
from printed_commands import all_commands


def say(capsys, *words, code=0):
    capsys.readouterr()
    assert run([str(word) for word in words]) == code, capsys.readouterr().err
    return capsys.readouterr()


@pytest.fixture
def where(tmp_path, capsys):
    """A cache with one store."""
    there = ["--cache-dir", str(tmp_path / "stores")]
    say(capsys, "extract", "-d", "synthetic-binary", "-b", "stats", *there)
    return there


@pytest.mark.parametrize(
    ("words", "without"),
    [
        (["probe", "--figure", "x.png"], "--figure has no effect without --shots"),
        (["probe", "--draws", "3"], "--draws has no effect without --shots"),
        (["probe", "--test-split", "val", "--test-drop", "a"], "--test-split and --test-drop have no effect without"),
        (["probe", "--partial"], "--partial has no effect without --labels"),
        (["predict", "--run", "abc", "--data", "synthetic-binary", "--weights", "x"], "--weights has no effect"),
        (["search", "--id", "test/1", "--device", "cpu"], "--device has no effect without --image"),
        (["audit", "--threshold", "0.9", "--weights", "x"], "--weights has no effect without"),
        (["report", "--no-images", "--saliency"], "--saliency has no effect without"),
        (["finetune", "-d", "synthetic", "-b", "resnet18", "--rank", "4"], "--rank has no effect without --mode lora"),
        (["finetune", "-d", "synthetic", "-b", "resnet18", "--blocks", "1"], "--blocks has no effect without --mode"),
        (["finetune", "-d", "synthetic", "-b", "resnet18", "--advise", "--restart"], "--restart has no effect"),
        (["extract", "-d", "synthetic", "-b", "stats", "--seed", "3"], "--seed has no effect without --weights random"),
        (["runs", "show", "abc", "--data", "bloodmnist"], "--data has no effect without best"),
        (["compare", "--data", "bloodmnist", "--format", "csv", "--json"], "--format has no effect without text"),
        (["study", "course", "--dry-run", "--jobs", "2"], "--jobs has no effect without a study that runs"),
        (["study", "course", "--slurm", "--json"], "--json has no effect without a result, and a script is none"),
        (["cache", "verify", "--device", "cpu"], "--device has no effect without --canary"),
    ],
)
def test_an_option_without_effect_is_refused(words, without, tmp_path, capsys):
    said = say(capsys, *words, "--cache-dir", tmp_path, code=2)
    assert without in said.err


def test_every_command_that_may_reach_for_images_or_weights_takes_offline():
    reaching = {"--data-root", "--weights", "--trust-remote-code"}
    options = {name: {word for one in found.params for word in one.opts} for name, found in all_commands()}
    assert {name for name, words in options.items() if words & reaching and "--offline" not in words} == set()


def test_a_list_of_heads_is_of_no_dataset(capsys):
    assert "--data has no effect without published" in say(capsys, "list", "heads", "--data", "bloodmnist", code=2).err


def test_the_same_option_with_what_it_needs_is_taken(where, tmp_path, capsys):
    words = ["probe", "--shots", "2", "--draws", 2, "--resamples", 20, "--figure", tmp_path / "x.png"]
    say(capsys, *words, *where)
    assert (tmp_path / "x.png").is_file()


def test_few_shots_that_were_stopped_go_on_from_the_points_that_were_made(where, capsys, monkeypatch):
    words = ["probe", "--shots", "1,2,3", "--draws", 2, "--resamples", 20, *where]
    whole, asked = few_shot_workflow.learning_points, []

    def stopped(store, task, head, options, progress, **named):
        asked.extend(options.shots)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return whole(store, task, head, options, progress, **named)

    monkeypatch.setattr(few_shot_workflow, "learning_points", stopped)
    said = say(capsys, *words, code=130)
    assert "what was finished is kept: the same command goes on from there" in said.err
    asked.clear()
    monkeypatch.setattr(
        few_shot_workflow,
        "learning_points",
        lambda *given, **named: asked.extend(given[3].shots) or whole(*given, **named),
    )
    went_on = json.loads(say(capsys, *words, "--json").out)
    assert asked == ["3"]  # the two that were finished are not made again
    fresh = json.loads(say(capsys, *words[:-1], str(where[1]) + "-2", "--json", code=2).out)
    assert "error" in fresh  # an empty cache knows nothing of them
    assert [point["shots"] for point in went_on["curves"][0]["points"]] == ["1", "2", "3"]


def test_a_kept_point_is_what_would_be_made_again(where, capsys):
    words = ["probe", "--shots", "1,2", "--draws", 2, "--resamples", 20, "--json", *where]
    first = json.loads(say(capsys, *words).out)["curves"]
    again = json.loads(say(capsys, *words).out)["curves"]
    assert first == again


def test_a_kept_point_that_is_damaged_is_made_anew(where, tmp_path, capsys):
    words = ["probe", "--shots", "1", "--draws", 2, "--resamples", 20, "--json", *where]
    first = json.loads(say(capsys, *words).out)["curves"]
    (point,) = (tmp_path / "stores").rglob("shots-*.json")
    for content in ("", "[]", '{"values": 3}', "{}"):
        point.write_text(content)
        assert json.loads(say(capsys, *words).out)["curves"] == first


@pytest.mark.parametrize("words", [["audit", "-b", "stats"], ["search", "--id", "test/1"], ["cache", "verify"]])
def test_a_command_that_keeps_nothing_says_so_when_it_is_stopped(words, where, capsys, monkeypatch):
    def stopped(*_given, **_options):
        raise KeyboardInterrupt

    for name in ("medfeat.workflows.audit.one_store", "medfeat.workflows.search.one_store"):
        monkeypatch.setattr(name, stopped)
    monkeypatch.setattr("medfeat.workflows.cache.verify", stopped)
    said = say(capsys, *words, *where, code=130)
    assert "nothing of it was kept: the same command begins anew" in said.err


@pytest.mark.realdata
def test_offline_a_store_is_found_without_the_file_of_its_data(real_data, tmp_path, capsys):
    there = ["--cache-dir", tmp_path / "stores", "--offline"]
    words = ["extract", "-d", "breastmnist", "-b", "stats", *there, "--data-root"]
    files = tmp_path / "files"
    files.mkdir()
    shutil.copy(real_data / "breastmnist.npz", files)
    say(capsys, *words, files)
    found = say(capsys, *words, tmp_path / "empty")
    assert "reused" in found.out and "its file is not here" in found.err
    missing = say(
        capsys, "extract", "-d", "breastmnist", "-b", "pixels", *there, "--data-root", tmp_path / "empty", code=1
    )
    assert "breastmnist.npz is not there and offline forbids to fetch it" in missing.err


def test_what_takes_long_is_named_while_it_does(tmp_path):
    """Loading, measuring and comparing tell nothing else: a bar of their name stands meanwhile."""

    class Named(SilentProgress):
        def start(self, total, label, unit="images"):
            self.said.append(label)

        def say(self, message):
            pass

    told = Named()
    network = "squeezenet1_1"
    medfeat.extract("synthetic-binary", network, weights="random", cache_dir=tmp_path, batch_size=64, progress=told)
    assert told.said[:2] == [f"loading {network}", f"measuring {network}: batch size, precision"]
    told = Named()
    medfeat.extract("synthetic-binary", "stats", cache_dir=tmp_path)
    medfeat.audit("synthetic-binary", "stats", threshold=0.9999, cache_dir=tmp_path, progress=told)
    assert "comparing 640 embeddings" in told.said and "cross-validating labels" in told.said


_WARN = "warnings.warn('of a library', FutureWarning)"
_LOG = "__import__('torch') and logging.getLogger('torch.utils.cpp_extension').warning('of a library')"


@pytest.mark.parametrize(("debugging", "heard"), [("", False), ("1", True)])
@pytest.mark.parametrize("warn", [_WARN, _LOG], ids=["warning", "log of torch"])
def test_warnings_of_libraries_stay_away(warn, debugging, heard, tmp_path):
    code = (
        "import logging, sys, warnings; from medfeat.workflows import listing; from medfeat_cli.main import main\n"
        "old = listing._KINDS['heads']\n"
        f"listing._KINDS['heads'] = lambda data: {warn} or old(data)\n"
        "sys.argv = ['medfeat', 'list', 'heads']; main()"
    )
    unset = ("PYTHONWARNINGS", "TORCH_LOGS")
    environment = {k: v for k, v in os.environ.items() if k not in unset} | {"MEDFEAT_DEBUG": debugging}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ("of a library" in done.stderr) == heard and "linear" in done.stdout
