"""Write the oldest versions that pyproject.toml allows and the package index offers, as constraints for pip.

`make test-oldest` installs an environment by them and runs tests there, so that a lower bound is a promise that was
tried. What only develops medfeat (linters, test runners) is left to pip.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
# Extras whose packages no user of medfeat installs to use it.
NOT_FOR_USERS = ("dev", "docs")
# Of them, those that tests feed to medfeat as a user would.
ALSO = ("datasets",)


def asked_for(project: dict) -> list[Requirement]:
    """Return the direct dependencies of the `[project]` table, those of extras for users with them."""
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for name in extras if name not in NOT_FOR_USERS for line in extras[name])]
    lines += [line for line in extras["dev"] if Requirement(line).name in ALSO]
    return list({line: Requirement(line) for line in lines}.values())


def oldest(requirement: Requirement, offered: Iterable[str]) -> str:
    """Return the lowest of the offered versions that a requirement allows.

    Raises
    ------
    ValueError
        If none does.
    """
    fits = [Version(one) for one in offered if requirement.specifier.contains(one, prereleases=False)]
    if not fits:
        raise ValueError(f"{requirement}: the package index offers no such version for this Python")
    return str(min(fits))


def offered_by_index(name: str, python: str = sys.executable) -> list[str]:
    """Return the versions of a package that pip finds as wheels for `python`, as texts."""
    command = [python, "-m", "pip", "index", "versions", name, "--only-binary", ":all:", "--disable-pip-version-check"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    line = next(line for line in said.splitlines() if line.startswith("Available versions:"))
    return [one.strip() for one in line.partition(":")[2].split(",")]


def main() -> None:
    """Write one pin a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="file of constraints to write")
    out = parser.parse_args().out
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = {one.name: oldest(one, offered_by_index(one.name)) for one in asked_for(project)}
    out.write_text("".join(f"{name}=={version}\n" for name, version in pins.items()), encoding="utf-8")


if __name__ == "__main__":
    main()
