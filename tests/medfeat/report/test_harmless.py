"""Words from outside are words: no terminal obeys them, no table breaks at them, no name is shown as another."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medfeat.report import tables
from medfeat.report.tables import Table
from medfeat.workflows.probe import probe
from medfeat_cache import StoreInputError
from medfeat_cache.root import slug, store_path
from medfeat_cli import output
from medfeat_cli.main import run

HOSTILE = [
    "\x1b[2J\x1b[1;1H",
    "a\nmedfeat: all is well",
    "gnp.\u202etxt",
    "\x9b31m",
    "a\rb",
    "\x07",
    "a\u2028b",
    "\u2066x",
]
UNSAFE = set("\x1b\x9b\r\x07\u202e\u2028\u2066")
each = pytest.mark.parametrize("word", HOSTILE)


@each
@pytest.mark.parametrize("render", [tables.plain, tables.markdown, tables.csv_text, tables.latex])
def test_no_rendering_of_a_table_holds_a_command(word, render):
    one = Table(word, (word, "n"), ((word, "1"), ("b", "2")), (word,))
    lines = render([one]).splitlines()
    assert not UNSAFE & set("".join(lines))
    assert len(lines) == len(render([Table("t", ("a", "n"), (("a", "1"), ("b", "2")), ("c",))]).splitlines())


@each
def test_no_message_holds_a_command(word, capsys):
    output.error(word)
    output.note(word)
    output.lines([word])
    output.line(word)
    said = capsys.readouterr()
    assert not UNSAFE & set(said.out + said.err)
    assert said.out.count("\n") == said.err.count("\n") == 2


@each
def test_json_says_the_same_without_a_command(word, capsys):
    output.as_json({word: [word]})
    said = capsys.readouterr().out
    assert not UNSAFE & set(said) and json.loads(said)[word] == [word]


def test_a_hostile_class_reaches_no_terminal(make_store, cache_root, capsys):
    from medfeat_cache import FeatureStore

    path = make_store(task="binary-class", dataset="mine")
    with FeatureStore(path) as store:
        ids = np.concatenate([store.ids(group) for group in store.groups]).tolist()
        split = [group for group in store.groups for _ in range(store.n(group))]
    kinds = ("=1+1", "\x1b[2Jbad")
    rows = [f"{name},{kinds[i % 2]},{part}" for i, (name, part) in enumerate(zip(ids, split, strict=True))]
    file = path.parent / "labels.csv"
    file.write_text("\n".join(["id,label,split", *rows]))
    code = run(["probe", "-d", "mine", "--labels", str(file), "--resamples", "20", "--cache-dir", str(cache_root)])
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert code == 0 and probe("mine", head="linear", cache_dir=cache_root, resamples=20).runs


@pytest.mark.parametrize("name", ["runs", "Runs", "headers.json", "digests.json", "con", "NUL.txt", "lpt1"])
def test_names_that_are_taken_are_refused(tmp_path, name):
    with pytest.raises(StoreInputError, match="choose another"):
        store_path(tmp_path, name, "backbone", "0" * 12)


@pytest.mark.parametrize("name", ["tasks", "versions", "aux"])
def test_names_of_backbones_that_are_taken_are_refused(tmp_path, name):
    with pytest.raises(StoreInputError, match="choose another"):
        store_path(tmp_path, "mine", name, "0" * 12)


def test_importing_under_a_reserved_name_is_one_line(cache_root, tmp_path, capsys):
    np.savez(tmp_path / "f.npz", embeddings=np.zeros((2, 2), "f4"), ids=np.array(["a", "b"]))
    words = [
        "cache",
        "import",
        str(tmp_path / "f.npz"),
        "--data",
        "runs",
        "--backbone",
        "b",
        "--cache-dir",
        str(cache_root),
    ]
    assert run(words) == 2
    assert "keeps for itself" in capsys.readouterr().err
    assert not cache_root.exists()


def test_names_like_them_are_free():
    assert slug("console") == "console" and slug("my-runs") == "my-runs"
