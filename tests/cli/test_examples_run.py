"""Every example of a help text is run, in the order of the help, on made-up images under the names of real ones."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import numpy as np
import pytest
import typer.main
from PIL import Image

from medfeat_cli.main import app, run

# What is not on a machine without a network, and what stands for it.
STANDS_FOR = {
    "bloodmnist": "synthetic",
    "breastmnist": "synthetic-binary",
    "resnet101,densenet121": "stats,pixels",
    "resnet101": "stats",
    "resnet18": "squeezenet1_1",
}


def examples() -> list[tuple[str, str]]:
    """Return each command and its example."""
    found = []

    def look(group: Any, *before: str) -> None:
        for name, one in group.commands.items():
            if hasattr(one, "commands"):
                look(one, *before, name)
            else:
                (line,) = re.findall(r"Example: medfeat ([^\n]+)", one.help)
                found.append((" ".join((*before, name)), line))

    look(typer.main.get_command(app))
    return found


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    """A cache with two stores and a run of each dataset that examples name, and what else they name."""
    folder = tmp_path_factory.mktemp("examples")
    patch = pytest.MonkeyPatch()
    patch.setenv("MEDFEAT_CACHE", str(folder / "stores"))
    patch.chdir(folder)  # where examples write
    for data in ("synthetic", "synthetic-binary"):
        assert run(["extract", "-d", data, "-b", "stats,pixels"]) == 0
    assert run(["probe", "--resamples", "20"]) == 0
    (folder / "new").mkdir()
    for i in range(2):
        Image.fromarray(np.full((28, 28), 40 * i, np.uint8)).save(folder / "new" / f"{i}.png")
    np.savez(folder / "features.npz", features=np.random.default_rng(0).normal(size=(4, 3)).astype("f4"))
    (folder / "ids.txt").write_text("a\nb\nc\nd\n")
    yield folder
    patch.undo()


def named(capsys, *words):
    capsys.readouterr()
    assert run([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(("name", "line"), examples(), ids=[name for name, _ in examples()])
def test_an_example_runs(name, line, there, capsys, monkeypatch):
    monkeypatch.setenv("MEDFEAT_CACHE", str(there / "stores"))
    words = [word if name == "compare" else STANDS_FOR.get(word, word) for word in shlex.split(line)]
    if name in ("predict", "runs delete"):
        backbone = "stats" if name == "predict" else "pixels"
        key = named(capsys, "runs", "list", "--backbone", backbone)["runs"][0]["key"][:8]
        words = [key if word == "1c98691d" else word for word in words]
    if name.startswith("cache"):
        digest = named(capsys, "cache", "ls", "--backbone", "pixels")["stores"][-1]["digest"][:6]
        words = [digest if word == "3f9a" else word for word in words]
    if name == "finetune":  # a training has tests of its own
        words = [word for word in words if word not in ("--size", "224")] + ["--weights", "random", "--dry-run"]
    if name == "explore":  # maps of fewer images
        words += ["--sample", "60"]
    if name in ("demo", "export"):
        pytest.skip("a demo, and a network that is exported, have tests of their own")
    monkeypatch.setattr("typer.confirm", lambda *_given, **_options: True)
    code = run(words)
    said = capsys.readouterr()
    if name == "doctor":
        assert code in (0, 1) and "python" in said.out  # 1 where this machine lacks something
        return
    assert code == 0, said.err
