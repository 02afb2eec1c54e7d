"""Packages outside the repository, laid where Python finds them as an installer lays them."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "extend.md"
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
    """Install the package that docs/extend.md shows."""
    files = dict(FILES.findall(PAGE.read_text(encoding="utf-8")))
    points = tomllib.loads(files.pop("pyproject.toml"))["project"]["entry-points"]
    return install(folder, "clinic", files, points)


def forget(*names: str) -> None:
    """Take modules out of Python's memory, so that another package of that name can be imported."""
    for module in [one for one in sys.modules if one.partition(".")[0] in names]:
        del sys.modules[module]
