"""Commands in messages are spelled by one function, with options that there are; another test runs all of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medfeat_cache.commands import command, command_line
from medfeat_cli.main import run
from printed_commands import PAGES, ROOT, SOURCES, TREE, all_commands, examples_of, printed_on, spelled_in


def leaf(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that words begin with, and the words behind it."""
    found: Any = TREE
    rest = list(words)
    while hasattr(found, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in found.commands, f"no command {rest[0]!r} in {' '.join(words)!r}"
        found = found.commands[rest.pop(0)]
    return found, rest


def texts_in(tree: ast.AST) -> Iterator[str]:
    """Yield the strings of a module that a person may see: docstrings are for readers of the code."""
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            yield node.value


def test_a_command_is_quoted_as_a_shell_needs_it():
    assert command("probe", data="my scans", head=("linear", "knn"), json=True, size=None, offline=False) == (
        "`medfeat probe --data 'my scans' --head linear,knn --json`"
    )
    assert command_line("cache", "rm", Path("/a b/c.h5")) == "medfeat cache rm '/a b/c.h5'"
    assert (
        command_line("extract", split_column="fold:val=3,test=4") == "medfeat extract --split-column fold:val=3,test=4"
    )


def test_no_message_spells_a_command_by_itself():
    names = re.compile(rf"`medfeat ({'|'.join(TREE.commands)})\b")
    for path in SOURCES:
        if path not in (ROOT / "medfeat/backbones/page.py", ROOT / "medfeat/heads/page.py"):  # pages, looked at below
            found = [text for text in texts_in(ast.parse(path.read_text(encoding="utf-8"))) if names.search(text)]
            assert not found, (path, found)


def test_every_spelled_command_has_the_options_that_are_given():
    for call in (one for path in SOURCES for one in spelled_in(path)):
        words = [one.value for one in call.args if isinstance(one, ast.Constant)]
        name = ["extract"] if call.func.id.startswith("extract") else words
        if not name:
            continue  # hands on what it was given
        found, _ = leaf(name)
        assert not hasattr(found, "commands"), ast.unparse(call)
        known = {option for one in found.params for option in one.opts}
        for keyword in call.keywords:
            if keyword.arg is not None and keyword.arg != "root":
                assert f"--{keyword.arg.replace('_', '-')}" in known, ast.unparse(call)


# Whose words with two dashes are of other languages: styles of pages, options of sbatch and of `hf`, half a name.
OF_OTHERS = ("page/results.py", "page/svg.py", "studying/slurm.py", "weights/hub.py", "workflows/study.py")


def without_other_tools(page):
    """Leave out what a page says of pip, containers and conda: whole blocks of theirs, and commands in backticks."""
    others = r"(?:podman|docker|conda|pip|python3?|\.venv/bin/\w+)\b"
    page = re.sub(rf"^```text\n{others}.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    page = re.sub(r"^#SBATCH .*$", "", page, flags=re.MULTILINE)
    return re.sub(rf"`{others}[^`]*`|`--(?:user|userns|network)\b[^`]*`", "", page)


def test_every_option_that_is_named_anywhere_is_one_of_a_command():
    named = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
    known = {option for _, one in all_commands() for found in one.params for option in found.opts}
    known |= {"--help", "--version", "--install-completion", "--show-completion"}
    sources = {path: list(texts_in(ast.parse(path.read_text(encoding="utf-8")))) for path in SOURCES}
    texts = {path: found for path, found in sources.items() if not path.as_posix().endswith(OF_OTHERS)}
    texts |= {page: [without_other_tools(page.read_text(encoding="utf-8"))] for page in PAGES}
    for path, found in texts.items():
        wrong = {option for text in found for option in named.findall(text)} - known
        assert not wrong, (path, wrong)


@pytest.mark.parametrize("words", [words for words, _ in all_commands()], ids=" ".join)
def test_every_help_text_has_an_example(words, capsys):
    assert run([*words, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    examples = examples_of(leaf(list(words))[0])
    assert examples and examples[0].split()[1] in shown


def test_the_pages_have_commands():
    assert sum(len(printed_on(page)) for page in PAGES) > 80
