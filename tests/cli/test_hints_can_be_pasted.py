"""A command that a message prints is pasted as it stands, from another folder, and helps."""

from __future__ import annotations

import re
import shlex

import numpy as np
import pytest
from PIL import Image

from medfeat_cli.main import run

# What a person puts where a message says that something has to be named.
STANDS_FOR = {"NAME": {"--data": "synthetic-binary", "--backbone": "stats"}}


def say(capsys, *words, code=0):
    capsys.readouterr()
    assert run([str(word) for word in words]) == code, capsys.readouterr().err
    return capsys.readouterr()


def pasted(text: str) -> list[list[str]]:
    """Return the commands of a message, with what stands for a name named."""
    found = []
    for line in re.findall(r"`(medfeat [^`]+)`", text):
        words = shlex.split(line)[1:]
        found.append([STANDS_FOR.get(word, {}).get(words[i - 1], word) for i, word in enumerate(words)])
    return found


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Own images with columns of other names, in a folder whose name has a blank; no cache is the usual one."""
    folder = tmp_path / "my study"
    (folder / "img").mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = ["file;dx;who;part".replace(";", ",")]
    for i in range(60):
        Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8)).save(folder / "img" / f"{i}.png")
        rows.append(f"img/{i}.png,{'ill' if i % 2 else 'well'},p{i},{('train', 'val', 'test')[i % 3]}")
    (folder / "table.csv").write_text("\n".join(rows) + "\n")
    monkeypatch.chdir(folder)
    return folder


def test_the_hint_for_missing_baselines_embeds_the_same_images(study, tmp_path, monkeypatch, capsys):
    there = ["--cache-dir", tmp_path / "stores"]
    columns = ["--path-column", "file", "--label-column", "dx", "--patient-column", "who", "--split-column", "part"]
    say(capsys, "extract", "-d", "table.csv", "-b", "pixels", "--name", "skin", *columns, *there)
    (hint,) = pasted(say(capsys, "probe", "--resamples", 20, *there).err)
    monkeypatch.chdir(tmp_path)
    say(capsys, *hint)
    shown = say(capsys, "probe", "--resamples", 20, *there)
    assert "no baseline" not in shown.err
    assert "stats" in shown.out and "skin" in shown.out


def test_no_hint_is_given_where_no_command_can_help(tmp_path, capsys):
    there = ["--cache-dir", tmp_path / "stores"]
    np.savez(
        tmp_path / "theirs.npz",
        features=np.random.default_rng(0).normal(size=(60, 4)).astype("f4"),
        labels=np.arange(60) % 2,
        splits=np.array(["train", "val", "test"])[np.arange(60) // 2 % 3],
        ids=np.array([f"p{i}.png" for i in range(60)]),
    )
    say(capsys, "cache", "import", tmp_path / "theirs.npz", "-d", "study", "-b", "theirs", *there)
    assert "no baseline" not in say(capsys, "probe", "--resamples", 20, *there).err
    missing = say(capsys, "search", "-d", "study", "-b", "others", "--id", "p0.png", *there, code=2).err
    assert pasted(missing) == [["cache", "import", "FILE", "--data", "study", "--backbone", "others", *map(str, there)]]


@pytest.mark.parametrize(
    "mistaken",
    [
        ["probe"],
        ["search", "-d", "synthetic-binary", "-b", "stats", "--id", "test/0"],
        ["explore", "-d", "synthetic-binary", "-b", "stats", "--no-images"],
        ["cache", "export", "ffff", "out"],
        ["report"],
        ["compare"],
        ["runs", "list"],
        ["runs", "show", "ffff"],
        ["predict", "--run", "best", "--data", "synthetic-binary"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("there", [False, True], ids=["in an empty cache", "in a cache of pixels"])
def test_every_command_of_a_message_runs(mistaken, there, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    where = ["--cache-dir", str(tmp_path / "stores")]
    if there:
        say(capsys, "extract", "-d", "synthetic-binary", "-b", "pixels", *where)
    if run([*mistaken, *where]) == 0:
        return  # nothing was missing
    message = capsys.readouterr().err
    hints = pasted(message)
    assert hints, message
    for words in hints:
        if words == ["demo"] or (words[0] != "extract" and not there):
            continue  # a demo has a test of its own; without a store there is nothing to probe yet
        assert words[-2:] == where or words[:3] == ["compare", "--data", "bloodmnist"], words
        say(capsys, *words)


def test_a_store_that_cannot_be_read_is_removed_by_what_is_printed(tmp_path, monkeypatch, capsys):
    where = ["--cache-dir", tmp_path / "my stores"]
    say(capsys, "extract", "-d", "synthetic-binary", "-b", "stats", *where)
    (store,) = (tmp_path / "my stores").rglob("*.h5")
    store.write_bytes(store.read_bytes()[:2000])
    message = say(capsys, "probe", *where, code=2).err
    (remove,) = pasted(message)
    assert remove == ["cache", "rm", str(store)]
    monkeypatch.setattr("typer.confirm", lambda *_args, **_options: True)
    say(capsys, *remove)
    assert not store.exists()
