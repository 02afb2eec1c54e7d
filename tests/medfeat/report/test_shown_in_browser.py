"""What a result shows of itself stays readable under the styles of notebooks, which set every cell to the right."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

import pytest

from medfeat.report.shown import Shown
from medfeat.report.tables import Table

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
# As JupyterLab and nbconvert have it, behind what a result brings along.
NOTEBOOK = (
    ".jp-RenderedHTMLCommon td, .jp-RenderedHTMLCommon th { padding: 0; white-space: normal } "
    ":not(.jp-RenderedMarkdown).jp-RenderedHTMLCommon td, :not(.jp-RenderedMarkdown).jp-RenderedHTMLCommon th "
    "{ text-align: right }"
)
STYLES = (
    "() => [...document.querySelectorAll('td')].map(one => getComputedStyle(one)).map(s => [s.textAlign, s.whiteSpace])"
)


@dataclass(frozen=True, repr=False)
class Result(Shown):
    """Two rows of a name and a number."""

    def tables(self):
        return [Table("found", ("name", "AUC"), (("a", "0.5"), ("b", "0.25 [0.1, 0.5]")))]


def test_names_stand_left_and_numbers_right_on_one_line():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: pages are not looked at in a browser")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: dev)")
    page = f'<div class="jp-RenderedHTMLCommon">{Result()._repr_html_()}</div><style>{NOTEBOOK}</style>'
    with sync_api.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=300_000)
        tab = browser.new_page()
        tab.set_content(page)
        found = tab.evaluate(STYLES)
        browser.close()
    assert found == [["left", "nowrap"], ["right", "nowrap"]] * 2
