"""Packages outside the repository: the one of the docs as pip installs it, others laid where pip would lay them."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "extend.md"
FILES = re.compile(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def install(folder: Path, name: str, files: dict[str, str], points: dict[str, dict[str, str]]) -> Path:
    """Lay a package and its metadata into a folder; `points` are entry points by group."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    groups = [f"[{group}]\n" + "".join(f"{n} = {v}\n" for n, v in named.items()) for group, named in points.items()]
    (metadata / "entry_points.txt").write_text("\n".join(groups))
    return folder


def install_clinic(folder: Path) -> Path:
    """Build and install the package that docs/extend.md shows, with pip and without the network."""
    with tempfile.TemporaryDirectory() as source:
        for path, text in FILES.findall(PAGE.read_text(encoding="utf-8")):
            (Path(source) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(source) / path).write_text(text, encoding="utf-8")
        options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--no-compile"]
        command = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder), source]
        subprocess.run(command, check=True, capture_output=True)
    return folder


def forget(*names: str) -> None:
    """Take modules out of Python's memory, so that another package of that name can be imported."""
    for module in [one for one in sys.modules if one.partition(".")[0] in names]:
        del sys.modules[module]
