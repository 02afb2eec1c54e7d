"""The recipes for a container and for conda name what is there: files, extras, the command, a Python that fits."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, WHEEL = PYPROJECT["project"], PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
# Options of pip that the recipes use, by whether a word follows.
OPTIONS = {"--no-cache-dir": False, "--constraint": True}


def instructions(path=ROOT / "Containerfile"):
    """Return the instructions of a recipe, as pairs of their name and the rest of the line."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return [tuple(line.split(None, 1)) for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line.strip()]


def installed_by(words):
    """Return what a line of pip installs; refuse options that are not known here, and files that are not there."""
    words, found = list(words), []
    while words:
        word = words.pop(0)
        if word.startswith("--"):
            assert word in OPTIONS, word
            if OPTIONS[word]:
                assert (ROOT / words.pop(0)).is_file()
        else:
            found.append(word)
    return found


def extras_of(asked):
    """Return the extras of `.[a,b]`, each of which pyproject.toml must have."""
    name, extras = re.fullmatch(r"(\.)\[([\w,]+)\]", asked).groups()
    assert name == "."
    found = extras.split(",")
    assert set(found) <= set(PROJECT["optional-dependencies"])
    return found


def python_fits(text):
    assert SpecifierSet(PROJECT["requires-python"]).contains(re.search(r"(\d+\.\d+)", text)[1])


def test_the_container_copies_what_is_there_and_what_the_build_needs():
    copied = [word for name, rest in instructions() if name == "COPY" for word in rest.split()[:-1]]
    assert copied and all((ROOT / word).exists() for word in copied)
    tracked = subprocess.run(["git", "ls-files", *copied], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    if tracked:
        assert all(any(line == word or line.startswith(f"{word}/") for line in tracked.splitlines()) for word in copied)
    needed = {"pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]}
    needed |= {path.partition("/")[0] for path in WHEEL["packages"]}
    assert needed <= set(copied)


def test_the_container_installs_extras_that_there_are_with_the_tested_versions():
    runs = [rest for name, rest in instructions() if name == "RUN" and "pip install" in rest]
    (line,) = runs
    words = shlex.split(line)
    asked = installed_by(words[words.index("install") + 1 :])
    assert len(asked) == 1 and extras_of(asked[0])
    assert "--constraint" in words


def test_the_container_is_a_python_that_fits_and_ends_in_the_command_as_no_root():
    steps = instructions()
    name, base = steps[0]
    assert name == "FROM" and re.fullmatch(r"python:\d+\.\d+-slim", base)
    python_fits(base)
    users = [rest for name, rest in steps if name == "USER"]
    assert users and users[-1] != "root"
    assert any(f"useradd --create-home --uid 1000 {users[-1]}" in rest for name, rest in steps if name == "RUN")
    (entry,) = [yaml.safe_load(rest) for name, rest in steps if name == "ENTRYPOINT"]
    assert set(entry) <= set(PROJECT["scripts"])
    (volumes,) = [yaml.safe_load(rest) for name, rest in steps if name == "VOLUME"]
    (settings,) = [shlex.split(rest) for name, rest in steps if name == "ENV"]
    assert all(one.partition("=")[2].startswith(tuple(volumes)) for one in settings)


def test_conda_installs_a_python_that_fits_and_everything_else_by_pip():
    asked = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert set(asked) == {"name", "dependencies"}  # no channels: none is named by the project
    python, pip, by_pip = asked["dependencies"]
    assert re.fullmatch(r"python=\d+\.\d+", python) and pip == "pip"
    python_fits(python)
    (wanted,) = installed_by(word for line in by_pip["pip"] for word in line.split())
    assert extras_of(wanted)


@pytest.mark.parametrize("name", ["Containerfile", "environment.yml", "constraints.txt"])
def test_no_recipe_names_a_host(name):
    assert not re.search(r"https?://|index-url[ =]\S|\b(?:\w+\.)+(?:io|com|org|net)\b", (ROOT / name).read_text())


def test_every_version_that_is_tested_is_one_that_is_allowed():
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    pins = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins.items()}
    lines = [*PROJECT["dependencies"], *(line for extra in PROJECT["optional-dependencies"].values() for line in extra)]
    known = [one for one in map(Requirement, lines) if one.name.lower() in pins]
    assert len(known) > 30
    wrong = [str(one) for one in known if not one.specifier.contains(pins[one.name.lower()])]
    assert not wrong
