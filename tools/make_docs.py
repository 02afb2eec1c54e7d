"""Write the pages that are made from the code: docs/backbones.md and docs/heads.md."""

from __future__ import annotations

from pathlib import Path

from medfeat.backbones import page as backbones
from medfeat.heads import page as heads

DOCS = Path(__file__).parents[1] / "docs"


def main() -> None:
    """Write each page and say so."""
    for name, made in (("backbones.md", backbones), ("heads.md", heads)):
        (DOCS / name).write_text(made.page(), encoding="utf-8")
        print(f"wrote {DOCS / name}")


if __name__ == "__main__":
    main()
