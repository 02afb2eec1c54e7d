"""The site is built from the pages as they are: links lead somewhere, and search needs neither server nor network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import medfeat

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return out


class Links(HTMLParser):
    """What a page links to, and the places in it that can be linked to."""

    def __init__(self, text):
        super().__init__()
        self.to, self.places = set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.to |= {found[name] for name in ("href", "src") if found.get(name)}
        self.places |= {found[name] for name in ("id", "name") if found.get(name)}


def test_every_link_leads_to_a_file_and_a_place_in_it(site):
    pages = {path: Links(path.read_text(encoding="utf-8")) for path in site.rglob("*.html") if path.name != "404.html"}
    assert len(pages) > 50
    dead = []
    for path, links in pages.items():
        for link in links.to:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            there = target.is_file() and (
                not parts.fragment or target not in pages or unquote(parts.fragment) in pages[target].places
            )
            if not there and not parts.fragment.startswith("__"):  # the theme's own switches
                dead.append(f"{path.relative_to(site)}: {link}")
    assert not dead


def test_every_page_of_docs_and_every_public_name_is_there(site):
    for page in (ROOT / "docs").rglob("*.md"):
        assert (site / page.relative_to(ROOT / "docs").with_suffix(".html")).is_file(), page
    places = Links((site / "api.html").read_text(encoding="utf-8")).places
    assert {f"{place}.{name}" for name, place in medfeat._WHERE.items()} <= places


def test_nothing_is_fetched_from_elsewhere(site):
    for path in site.rglob("*.html"):
        for link in Links(path.read_text(encoding="utf-8")).to:
            assert not link.endswith((".js", ".css", ".woff2")) or not urlsplit(link).netloc, f"{path}: {link}"


def test_search_finds_a_page_without_a_server(site):
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no Chromium on this machine: the search is not tried in a browser")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: dev)")
    with sync_api.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"], timeout=300_000)
        tab = browser.new_page()
        tab.goto((site / "index.html").as_uri())
        tab.locator("input.md-search__input").press_sequentially("bootstrap", timeout=120_000)
        tab.wait_for_selector("a.md-search-result__link", state="attached", timeout=120_000)
        found = tab.locator("a.md-search-result__link").evaluate_all("links => links.map(link => link.href)")
        assert "protocol.html" in {urlsplit(link).path.rpartition("/")[2] for link in found}
        browser.close()
