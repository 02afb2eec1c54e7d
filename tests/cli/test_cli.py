"""The command line: every command documented, every mistake one line, results on stdout."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from inspect import signature
from pathlib import Path

import numpy as np
import pytest

from medfeat_cli.main import app, run

ROOT = Path(__file__).parents[2]


def commands():
    """Every command as a person types it: extract, cache ls, ..."""
    for command in app.registered_commands:
        yield command.name, command.callback
    for group in app.registered_groups:
        for command in group.typer_instance.registered_commands:
            yield f"{group.name} {command.name}", command.callback


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name, capsys):
    assert "Example: medfeat " + name in (COMMANDS[name].__doc__ or "")
    assert run([*name.split(), "--help"]) == 0
    assert "Usage" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name):
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert any(f"medfeat {name}" in page.read_text(encoding="utf-8") for page in pages)


@pytest.mark.parametrize("name", [name for name, call in COMMANDS.items() if "weights" in signature(call).parameters])
def test_every_command_that_runs_a_network_asks_before_it_runs_foreign_code(name):
    assert signature(COMMANDS[name]).parameters["trust_remote_code"].default is False


def test_version_is_the_package_version(capsys):
    import medfeat

    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"medfeat {medfeat.__version__}"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["extract", "-d", "bloodmnist", "-b", "resnet10"], 2, "unknown backbone 'resnet10': did you mean"),
        (["extract", "-d", "bloodmnis", "-b", "stats"], 2, "did you mean bloodmnist"),
        (["extract", "-d", "bloodmnist", "-b", "stats", "--offline"], 1, "bloodmnist.npz"),
        (["extract", "-d", "synthetic", "-b", "resnet18", "--offline"], 1, "--weights"),
        (["extract", "-d", "synthetic", "-b", "stats", "--size", "29"], 2, "size of synthetic must be one of"),
        (["extract", "--data", "synthetic"], 2, "--backbone"),
        (["extract", "-d", "/nowhere/at/all", "-b", "stats"], 1, "/nowhere/at/all"),
        (["probe"], 2, "medfeat extract"),
        (["probe", "--head", "forest"], 2, "unknown head 'forest'"),
        (["compare", "--data", "bloodmnis"], 2, "bloodmnist"),
        (["cache", "info", "ffff"], 2, "no store in"),
        (["list", "networks"], 2, "list must be one of"),
        (["nonesuch"], 2, "nonesuch"),
        (["extract", "--nonesuch"], 2, "--nonesuch"),
    ],
)
def test_a_mistake_is_one_line_and_no_traceback(arguments, code, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MEDFEAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run(arguments) == code
    captured = capsys.readouterr()
    said = [line for line in captured.err.splitlines() if line.startswith("medfeat: ")]
    assert len(said) == 1
    assert message in said[0]
    assert "Traceback" not in captured.err


def test_an_unwritable_cache_is_one_line(tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert run(["extract", "-d", "synthetic-binary", "-b", "stats", "--cache-dir", str(blocked)]) == 1
    assert str(blocked) in capsys.readouterr().err


def test_the_main_job_from_the_command_line(cache_root, capsys):
    where = ["--cache-dir", str(cache_root)]
    assert run(["extract", "-d", "synthetic-binary", "-b", "stats,pixels", *where]) == 0
    assert capsys.readouterr().out.count("wrote ") == 2
    assert run(["extract", "-d", "synthetic-binary", "-b", "stats", *where]) == 0
    assert "reused" in capsys.readouterr().out
    assert run(["probe", "--json", "--resamples", "50", *where]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert {one["backbone"] for one in runs} == {"stats", "pixels"}
    for one in runs:
        for metric in ("auc", "acc"):
            score = one["test"][metric]
            assert score["low"] <= score["value"] <= score["high"]
    assert run(["probe", *where]) == 0
    assert "stats" in capsys.readouterr().out
    assert run(["cache", "ls", "--json", *where]) == 0
    stores = json.loads(capsys.readouterr().out)["stores"]
    assert run(["cache", "info", stores[0]["digest"][:8], *where]) == 0
    assert "recipe.weights_digest" in capsys.readouterr().out
    assert run(["cache", "verify", "--canary", *where]) == 0
    assert capsys.readouterr().out.count("ok  ") == 2
    assert run(["cache", "export", stores[0]["digest"][:8], str(cache_root / "out"), *where]) == 0
    assert run(["cache", "rm", stores[0]["digest"][:8], "--yes", *where]) == 0
    assert run(["cache", "ls", "--json", *where]) == 0
    assert len(json.loads(capsys.readouterr().out.split("MB\n")[-1])["stores"]) == 1
    assert run(["cache", "gc", *where]) == 0


@pytest.mark.parametrize("kind", ["datasets", "backbones", "heads", "published"])
def test_lists_print_as_table_and_as_json(kind, capsys):
    assert run(["list", kind]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 5
    assert run(["list", kind, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"]


def test_the_doctor_names_every_backbone(capsys):
    assert run(["doctor", "--offline", "--json"]) in (0, 1)
    names = {check["name"] for check in json.loads(capsys.readouterr().out)["checks"]}
    assert {"python", "torch", "device", "cache", "data root", "backbone resnet50"} <= names


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_with_its_code_and_the_same_command_goes_on(number, code, cache_root, tmp_path):
    # So many that the signal comes amid them, however long this process has to wait for its turn.
    np.savez(tmp_path / "many.npz", images=np.random.default_rng(0).integers(0, 256, (4000, 28, 28), np.uint8))
    command = [sys.executable, "-m", "medfeat", "extract", "-d", str(tmp_path / "many.npz"), "-b", "squeezenet1_1"]
    command += ["--weights", "random", "--precision", "fp32", "--cache-dir", str(cache_root), "--batch-size", "4"]
    command += ["--no-compile"]
    # What a shell starts in its background ignores Ctrl-C, and its children with it; a command in front hears it.
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # noqa: PLW1509 - no other thread runs here
    )
    deadline = time.monotonic() + 120
    while not list(cache_root.glob("*/*/.*.parts/manifest.json")) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert "the same command goes on" in errors
    assert "Traceback" not in errors
    assert not list(cache_root.glob("*/*/.*.lock"))


def test_shell_completion_knows_the_names():
    environment = os.environ | {
        "_MEDFEAT_COMPLETE": "complete_bash",
        "COMP_WORDS": "medfeat extract --backbone resnet1",
        "COMP_CWORD": "3",
    }
    code = "from medfeat_cli.main import app; app(prog_name='medfeat')"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert {"resnet18", "resnet101", "resnet152"} <= set(done.stdout.split())
