"""Write the pages that are made from the code: docs/backbones.md."""

from __future__ import annotations

from pathlib import Path

from medfeat.backbones.page import page

DOCS = Path(__file__).parents[1] / "docs"


def main() -> None:
    """Write each page and say so."""
    (DOCS / "backbones.md").write_text(page(), encoding="utf-8")
    print(f"wrote {DOCS / 'backbones.md'}")


if __name__ == "__main__":
    main()
