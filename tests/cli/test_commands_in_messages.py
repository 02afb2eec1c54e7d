"""Every command that is printed anywhere can be pasted: in messages, in help texts, and on the pages."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from medfeat_cache.commands import command, command_line
from medfeat_cli.main import app, run

ROOT = Path(__file__).parents[2]
SOURCES = [path for folder in ("medfeat", "cache", "cli") for path in sorted((ROOT / folder).rglob("*.py"))]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SPELLERS = {"command", "command_line", "extract_as", "extract_line", "extract_first"}
TREE = typer.main.get_command(app)


def leaf(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that words begin with, and the words behind it."""
    found: Any = TREE
    rest = list(words)
    while hasattr(found, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in found.commands, f"no command {rest[0]!r} in {' '.join(words)!r}"
        found = found.commands[rest.pop(0)]
    return found, rest


def refuse_unparsable(line: str) -> None:
    """Let the command line itself read a line, without doing it."""
    words = shlex.split(line, comments=True)
    assert words[0] == "medfeat"
    found, rest = leaf(words[1:])
    if hasattr(found, "commands") or not rest or "--help" in rest:
        return  # `medfeat --help`, and a command by its name
    # A folder, a number, a choice are checked when it runs: a page names what stands for them.
    try:
        found.make_context("medfeat", rest, resilient_parsing=False)
    except Exception as error:
        raise AssertionError(f"{line!r} cannot be run: {error}") from error


def spelled_in(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SPELLERS:
            yield node


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
        if path != ROOT / "medfeat/backbones/page.py":  # a page, looked at as one below
            found = [text for text in texts_in(ast.parse(path.read_text(encoding="utf-8"))) if names.search(text)]
            assert not found, (path, found)


def test_every_spelled_command_has_the_options_that_are_given():
    for call in (one for path in SOURCES for one in spelled_in(ast.parse(path.read_text(encoding="utf-8")))):
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


def printed_on(page: Path) -> list[str]:
    """Return the commands of a page: lines of its blocks, and what stands in backticks."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:bash|console|sh)?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    blocks += re.findall(r"(?:^ {4}\S.*\n)+", text, re.MULTILINE)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    inline = re.findall(r"`(medfeat [^`]+)`", text.replace("\n", " "))
    return [
        line for line in (*lines, *inline) if line.startswith("medfeat ") and not re.search("0[.]1[.]0|COMMAND", line)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_on_a_page_can_be_run(page):
    for line in printed_on(page):
        refuse_unparsable(line)


def test_the_pages_have_commands():
    assert sum(len(printed_on(page)) for page in PAGES) > 80


def all_commands(group: Any, *before: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, one in group.commands.items():
        if hasattr(one, "commands"):
            yield from all_commands(one, *before, name)
        else:
            yield (*before, name), one


@pytest.mark.parametrize("words", [words for words, _ in all_commands(TREE)], ids=" ".join)
def test_every_example_of_a_help_text_can_be_run(words, capsys):
    assert run([*words, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    found, _ = leaf(list(words))
    examples = re.findall(r"Example: (medfeat [^\n]+)", found.help or "")
    assert examples and examples[0].split()[1:3][0] in shown
    for line in examples:
        refuse_unparsable(line)
