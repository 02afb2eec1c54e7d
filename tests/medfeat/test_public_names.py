"""Every public name says what it is: shape, units, errors."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import medfeat

ROOT = Path(__file__).parents[2]
PACKAGES = (ROOT / "medfeat", ROOT / "cache" / "medfeat_cache", ROOT / "cli" / "medfeat_cli")
FILES = sorted(path for package in PACKAGES for path in package.rglob("*.py"))


def public_definitions(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node.name, node
            for part in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(part, ast.FunctionDef) and not part.name.startswith("_"):
                    yield f"{node.name}.{part.name}", part


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_and_public_name_has_a_docstring(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), "the module says nothing"
    silent = [name for name, node in public_definitions(path) if not ast.get_docstring(node)]
    assert not silent


@pytest.mark.parametrize("name", [name for name in medfeat.__all__ if not name.startswith("__")])
def test_the_front_door_is_documented_in_full(name):
    public = getattr(medfeat, name)
    text = public.__doc__ or ""
    arguments = [a for a in getattr(public, "__annotations__", {}) if a != "return"]
    if not isinstance(public, type) and arguments:
        assert "Parameters\n" in text
        assert all(argument in text for argument in arguments)
        assert "Returns\n" in text or not public.__annotations__.get("return")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonesuch"):
        _ = medfeat.nonesuch
    assert set(medfeat.__all__) <= set(dir(medfeat))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400, "two ideas?"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            assert not body or node.end_lineno - body[0].lineno < 40, f"the body of {node.name} is long"
            # a public door takes one option a line, and may be as long as it has options
            options = len(node.args.args) + len(node.args.kwonlyargs)
            lines = node.end_lineno - node.lineno + 1 - len((ast.get_docstring(node) or "").splitlines())
            assert lines <= 60 or options > 20, f"{node.name} has {lines} lines"
