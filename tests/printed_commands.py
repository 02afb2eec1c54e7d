"""Every command that medfeat prints: on its pages, in its help texts, and as its messages spell them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from medfeat_cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = [path for folder in ("medfeat", "cache", "cli") for path in sorted((ROOT / folder).rglob("*.py"))]
SPELLERS = {"command", "command_line", "extract_as", "extract_line", "extract_first"}
TREE = typer.main.get_command(app)
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHELL = ("", "bash", "console", "sh")


def printed_on(page: Path, *, bash: bool = True) -> list[str]:
    """Return the commands of a page: lines of its blocks (those marked bash only if asked), and those in backticks."""
    text = page.read_text(encoding="utf-8")
    blocks = [block for kind, block in _BLOCK.findall(text) if kind in (_SHELL if bash else ("",))]
    blocks += re.findall(r"(?:^ {4}\S.*\n)+", _BLOCK.sub("", text), re.MULTILINE)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    inline = re.findall(r"`(medfeat [^`]+)`", text.replace("\n", " "))
    return [line for line in (*lines, *inline) if line.startswith("medfeat ") and not re.search("0[.]1[.]0", line)]


def all_commands(group: Any = TREE, *before: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command there is, by its words."""
    for name, one in group.commands.items():
        if hasattr(one, "commands"):
            yield from all_commands(one, *before, name)
        else:
            yield (*before, name), one


def examples_of(found: Any) -> list[str]:
    """Return the examples of a command's help."""
    return re.findall(r"Example: (medfeat [^\n]+)", found.help or "")


def spelled_in(path: Path) -> Iterator[ast.Call]:
    """Yield each place of a module that spells a command of a message."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SPELLERS:
            yield node
