"""Write the pictures of the pages that README and docs show, from synthetic sets; needs Chromium and playwright.

python tools/make_pictures.py
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import medfeat
from medfeat_cli.progress import for_terminal

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
SETS = "synthetic,synthetic-ordinal"
WIDTH = 1180


def pages(folder: Path) -> dict[str, Path]:
    """Make a page of each kind."""
    options: dict[str, Any] = {"cache_dir": folder / "cache", "progress": for_terminal()}
    for name in SETS.split(","):
        medfeat.extract(name, "stats", device="cpu", **options)
    medfeat.probe(SETS, head="linear,knn", **options)
    explored = medfeat.explore("synthetic", out=folder / "explore.html", **options)
    reported = medfeat.write_report("synthetic-ordinal", out=folder / "report.html", **options)
    return {"explore": explored.out, "report": reported.out}


def shoot(found: dict[str, Path]) -> None:
    """Open the pages in Chromium and keep what it shows."""
    from playwright.sync_api import sync_playwright

    where = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=where, args=["--no-sandbox"], timeout=300_000)
        tab = browser.new_page(viewport={"width": WIDTH, "height": 900})
        tab.goto(found["explore"].as_uri())
        _select_some(tab)
        _crop(tab, "#map", FIGURES / "explore.png", 900)
        tab.goto(found["report"].as_uri())
        _crop(tab, "#q0", FIGURES / "report.png", 1250)
        browser.close()


def _select_some(tab: Any) -> None:
    """Draw around the middle of the second map, and point at an image of it."""
    canvas = tab.locator(".panel canvas").nth(1)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    left, top = box["x"] + 0.62 * box["width"], box["y"] + 0.1 * box["height"]
    tab.mouse.move(left, top)
    tab.mouse.down()
    for x, y in ((130, 0), (130, 110), (0, 110), (0, 0)):
        tab.mouse.move(left + x, top + y, steps=5)
    tab.mouse.up()
    tab.mouse.move(5, 5)
    tab.wait_for_timeout(500)


def _crop(tab: Any, section: str, path: Path, height: int) -> None:
    """Keep the upper part of a section."""
    tab.set_viewport_size({"width": WIDTH, "height": 3000})
    tab.evaluate("() => window.scrollTo(0, 0)")
    box = tab.locator(section).bounding_box()
    clip = {"x": 0, "y": box["y"], "width": WIDTH, "height": min(height, box["height"])}
    tab.screenshot(path=path, clip=clip, full_page=True)
    tab.set_viewport_size({"width": WIDTH, "height": 900})
    print(f"wrote {path}")


def main() -> None:
    """Make and keep them."""
    with tempfile.TemporaryDirectory() as folder:
        shoot(pages(Path(folder)))


if __name__ == "__main__":
    main()
