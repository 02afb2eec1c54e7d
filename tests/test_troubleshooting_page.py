"""Every message that the page on troubleshooting quotes is one that the program can say."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
SOURCES = [path for folder in ("medfeat", "cache", "cli") for path in sorted((ROOT / folder).rglob("*.py"))]
GAP = "\0"


def texts_of(path):
    """Yield the texts of a module outside its docstrings, with a mark where a value is put in."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for child in () if isinstance(node, ast.Expr) else ast.iter_child_nodes(node):
            if isinstance(child, ast.JoinedStr):
                yield "".join(one.value if isinstance(one, ast.Constant) else GAP for one in child.values)
            elif isinstance(child, ast.Constant) and isinstance(child.value, str):
                yield child.value


@pytest.fixture(scope="module")
def said():
    return [text for path in SOURCES for text in texts_of(path)]


def quoted(text=TEXT):
    """Return the messages of the tables: what the first column has in backticks."""
    cells = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| `")]
    return [message for cell in cells for message in re.findall(r"`([^`]+)`", cell)]


def is_said(message, said):
    """Tell whether one text of the program has the fixed words of a message, in their order."""
    return any(_in_order(message.split("..."), text) for text in said)


def _in_order(parts, text):
    at = 0
    for part in parts:
        at = text.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True


def test_every_quoted_message_is_in_the_sources(said):
    messages = quoted()
    assert len(messages) >= 25
    assert not [message for message in messages if not is_said(message, said)]


def test_every_quoted_message_has_words_to_be_found_by():
    for message in quoted():
        assert re.search(r"[a-z]{4}", message), message


def test_a_message_that_is_not_said_is_noticed(said):
    assert not is_said("the moon ... is full: wait until it is done", said)
    assert not is_said("disk full while ... (...): make tea and run the same command again", said)
