"""The oldest versions are read from pyproject.toml, and are the lowest that are offered."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("oldest", ROOT / "tools" / "oldest.py")
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.mark.parametrize(
    ("asked", "offered", "found"),
    [
        ("numpy>=2.0", ["2.10.0", "2.2.0", "2.0.0", "1.26.4"], "2.0.0"),
        ("mkdocs>=1.6,<2", ["2.0", "1.10", "1.6.1", "1.5"], "1.6.1"),
        ("torch>=2.11", ["2.13.0", "2.12.0rc1", "2.13.0+cpu", "2.12.1"], "2.12.1"),
        ("lite==0.1.0", ["0.2.0", "0.1.0"], "0.1.0"),
    ],
)
def test_the_oldest_is_the_lowest_version_that_is_allowed(asked, offered, found):
    assert tool.oldest(Requirement(asked), offered) == found


def test_a_bound_that_no_version_meets_is_named():
    with pytest.raises(ValueError, match="numpy>=9: the package index offers no such version"):
        tool.oldest(Requirement("numpy>=9"), ["2.0.0"])


def test_every_dependency_and_extra_of_users_is_asked_for_and_no_linter():
    names = {one.name for one in tool.asked_for(PROJECT)}
    assert {Requirement(line).name for line in PROJECT["dependencies"]} <= names
    assert {"pydicom", "onnxruntime", "distributed", "datasets"} <= names
    assert not {"ruff", "mypy", "pytest", "mkdocs", "medfeat"} & names


def test_what_make_installs_are_all_extras_of_users():
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8")
    (asked,) = re.findall(r"--editable '\.\[([\w,]+)\]' \$\(TEST_TOOLS\)", recipe)
    assert set(asked.split(",")) == set(PROJECT["optional-dependencies"]) - set(tool.NOT_FOR_USERS)
    paths = re.search(r"^OLDEST_TESTS \?= (.*)$", recipe, re.MULTILINE)[1].split()
    assert all((ROOT / path).is_dir() for path in paths)


def test_versions_are_read_from_what_pip_says(monkeypatch):
    said = "numpy (2.2.0)\nAvailable versions: 2.2.0, 2.0.1\n  INSTALLED: 2.2.0\n"
    monkeypatch.setattr(tool.subprocess, "run", lambda *_given, **_more: subprocess.CompletedProcess([], 0, said))
    assert tool.offered_by_index("numpy") == ["2.2.0", "2.0.1"]
