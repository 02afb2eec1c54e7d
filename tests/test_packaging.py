"""What is built is what is meant: three packages in the wheel, nothing of this machine in any file."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_the_three_packages_and_their_data(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in ("medfeat", "medfeat_cli", "medfeat_cache"):
        assert f"{package}/__init__.py" in names
        assert f"{package}/py.typed" in names
    assets = {f"medfeat/report/page/assets/{name}" for name in ("page.css", "page.js", "map.js")}
    for data in ("medfeat/datasets/medmnist_table.json", "medfeat/evaluation/compare/published.csv", *assets):
        assert data in names
    sources = {f"medfeat/{path.relative_to(ROOT / 'medfeat').as_posix()}" for path in (ROOT / "medfeat").rglob("*.py")}
    assert sources <= names


def test_no_top_level_name_collides(wheel):
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"medfeat", "medfeat_cli", "medfeat_cache"}


def test_the_constraints_name_versions_only():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert pins
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+", pin) for pin in pins)


def test_every_dependency_is_imported_somewhere():
    import grimp

    graph = grimp.build_graph("medfeat", "medfeat_cli", "medfeat_cache", include_external_packages=True, cache_dir=None)
    brought: dict[str, set[str]] = {}
    for module, names in packages_distributions().items():
        for name in names:
            brought.setdefault(re.sub(r"[-_.]+", "-", name).lower(), set()).add(module)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {re.match(r"[A-Za-z0-9._-]+", line)[0].lower() for line in project["dependencies"]}
    assert asked
    assert {name for name in asked if not brought[name] & graph.modules} == set()


def test_no_file_names_a_machine_path():
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    if not tracked:
        pytest.skip("not a git checkout")
    wrong = re.compile("|".join(("/ro" + "ot/", "/wo" + "rk/", r"/home/[a-z]+/")))
    found = []
    for name in tracked.split("\0")[:-1]:
        path = ROOT / name
        if path.is_file() and b"\0" not in path.read_bytes()[:8000] and wrong.search(path.read_text(errors="replace")):
            found.append(name)
    assert not found


def test_who_cites_it_names_this_version():
    """The fields that the Citation File Format 1.2.0 requires, and those that pyproject.toml says too."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(cited) and cited["authors"]
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
