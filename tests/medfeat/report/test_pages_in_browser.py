"""The pages in a real browser, without a network: nothing is fetched, nothing complains, everything can be used.

Needs the package playwright and a Chromium of the system; without them these tests are skipped, and say so.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from medfeat.workflows.explore import explore
from medfeat.workflows.extract import extract
from medfeat.workflows.probe import probe
from medfeat.workflows.report import write_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
EVIL_CLASS, EVIL_FILE = "<script>alert(1)<", 'a "quoted" it\'s.png'

pytestmark = pytest.mark.timeout(900)


def until(tab, condition):
    """Wait until a function in the page gives true; Playwright's own waiting needs eval, which the page forbids."""
    for _ in range(6000):
        if tab.evaluate(condition):
            return
        tab.wait_for_timeout(20)
    pytest.fail(f"never true: {condition}")


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: pages are not looked at in a browser")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: dev)")
    with sync_api.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=300_000)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def evil(tmp_path_factory):
    """A page of own images whose class and files are named to break it."""
    folder = tmp_path_factory.mktemp("scans")
    rng = np.random.default_rng(0)
    for kind, level in ((EVIL_CLASS, 40), ("b", 200)):
        (folder / kind).mkdir()
        for i in range(15):
            image = np.clip(rng.normal(level, 20, (12, 12)), 0, 255).astype(np.uint8)
            Image.fromarray(image).save(folder / kind / (EVIL_FILE if i == 0 else f"{i}.png"))
    out = folder.parent / f"{folder.name}.html"
    lines = ["id,column", *(f'"b/{i}.png","</script><script>alert({i})</script>"' for i in range(1, 15))]
    (folder.parent / "more.csv").write_text("\n".join(lines))
    cache = folder.parent / "cache"
    extract(folder, "stats", cache_dir=cache, device="cpu")
    explore(folder, out=out, columns=folder.parent / "more.csv", cache_dir=cache)
    return out


@pytest.fixture
def opened(browser, evil):
    """The page, opened from disk with the network off; what it asked for and complained of."""
    context = browser.new_context(offline=True, viewport={"width": 1200, "height": 900})
    context.set_default_timeout(120_000)
    tab = context.new_page()
    heard = {"requests": [], "errors": [], "dialogs": []}
    tab.on("request", lambda request: heard["requests"].append(request.url))
    tab.on("console", lambda said: heard["errors"].append(said.text) if said.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: heard["errors"].append(str(error)))
    tab.on("dialog", lambda dialog: (heard["dialogs"].append(dialog.message), dialog.dismiss()))
    tab.goto(evil.as_uri())
    until(tab, "() => window.medfeatMap && document.querySelector('.panel canvas').dataset.shown > 0")
    yield tab, heard
    context.close()


def point(tab, row=0, panel=0):
    canvas = tab.locator(".panel canvas").nth(panel)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    x, y = tab.evaluate("([p, i]) => window.medfeatMap.where(p, i)", [panel, row])
    return box["x"] + x, box["y"] + y


def test_nothing_is_fetched_and_nothing_complains(opened, evil):
    tab, heard = opened
    for wanted in ("pca", "tsne"):
        tab.click(f'[data-method="{wanted}"]')
        for dims in ("2", "3"):
            tab.click(f'[data-dims="{dims}"]')
    assert heard["errors"] == [] and heard["dialogs"] == []
    assert [url for url in heard["requests"] if not url.startswith(("data:", evil.as_uri()))] == []


def test_what_users_wrote_is_text(opened):
    tab, heard = opened
    legend = tab.locator("#legend").inner_text()
    assert EVIL_CLASS in legend
    tab.select_option("#colour", label="column")
    assert "</script><script>alert(3)</script>" in tab.locator("#legend").inner_text()
    tab.fill("#search", EVIL_FILE)
    tab.press("#search", "Enter")
    assert EVIL_FILE in tab.locator("#chosen-list").inner_text()
    assert heard["dialogs"] == []


def test_hover_shows_the_thumbnail_and_what_is_known(opened):
    tab, _ = opened
    tab.mouse.move(*point(tab))
    tab.wait_for_selector("#tip canvas[data-drawn]")
    assert "class:" in tab.locator("#tip").inner_text()


def test_a_lasso_selects_and_the_list_shows_neighbours(opened):
    tab, _ = opened
    tab.click('[data-tool-name="lasso"]')
    canvas = tab.locator(".panel canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    left, top, right, low = box["x"] + 2, box["y"] + 2, box["x"] + box["width"] - 2, box["y"] + box["height"] - 2
    tab.mouse.move(left, top)
    tab.mouse.down()
    for corner in ((right, top), (right, low), (left, low)):
        tab.mouse.move(*corner, steps=4)
    tab.mouse.up()
    rows = tab.evaluate("() => window.medfeatMap.rows")
    assert len(tab.evaluate("() => window.medfeatMap.chosen()")) == rows
    tab.locator("#chosen-list button").first.click()
    assert "Nearest to" in tab.locator("#detail").inner_text()
    tab.click("#copy")
    assert len(tab.locator("#csv").input_value().splitlines()) == rows + 1
    tab.click("#clear")
    assert tab.evaluate("() => window.medfeatMap.chosen()") == []


def test_what_is_selected_in_one_map_is_selected_in_the_other(opened):
    tab, _ = opened
    shades = "(i) => document.querySelectorAll('.panel canvas')[i].toDataURL()"
    before = [tab.evaluate(shades, i) for i in (0, 1)]
    tab.mouse.click(*point(tab, row=3))
    (chosen,) = tab.evaluate("() => window.medfeatMap.chosen()")
    until(tab, f"() => ({shades})(1) !== {json.dumps(before[1])}")
    assert tab.locator("#chosen-list button").get_attribute("data-row") == str(chosen)
    tab.keyboard.press("Escape")
    tab.mouse.click(*point(tab, row=chosen, panel=1))
    assert chosen in tab.evaluate("() => window.medfeatMap.chosen()")


def test_search_finds_by_a_part_of_an_id_and_selects(opened):
    tab, _ = opened
    tab.fill("#search", "B/1")
    found = [f"b/{i}.png" for i in (1, 10, 11, 12, 13, 14)]
    assert tab.locator("#found").inner_text().startswith(f"{len(found)} found")
    tab.press("#search", "Enter")
    assert sorted(tab.locator("#chosen-list button").all_inner_texts()) == sorted(found)


def test_the_keyboard_moves_turns_and_clears(opened):
    tab, _ = opened
    tab.locator(".panel canvas").first.focus()
    before = tab.evaluate("() => window.medfeatMap.where(0, 0)")
    tab.keyboard.press("ArrowLeft")
    until(tab, f"() => window.medfeatMap.where(0, 0)[0] === {before[0]} + 30")
    tab.click('[data-dims="3"]')
    tab.locator(".panel canvas").first.focus()
    before = tab.evaluate("() => window.medfeatMap.where(0, 0)")
    tab.keyboard.press("ArrowUp")
    until(tab, f"() => window.medfeatMap.where(0, 0)[1] !== {before[1]}")


def test_the_legend_hides_and_shows_a_class(opened):
    tab, _ = opened
    shown = "() => Number(document.querySelector('.panel canvas').dataset.shown)"
    every = tab.evaluate(shown)
    tab.locator("#legend button").first.click()
    until(tab, f"() => ({shown})() < {every}")
    tab.locator("#legend button").first.click()
    until(tab, f"() => ({shown})() === {every}")


def test_tables_sort_by_a_press_on_their_heads(opened):
    tab, _ = opened
    head = tab.locator("#classes th button").nth(1)
    head.click()
    assert tab.locator("#classes th").nth(1).get_attribute("aria-sort") == "ascending"
    head.click()
    values = [float(word) for word in tab.locator("#classes tbody td:nth-child(2)").all_inner_texts()]
    assert values == sorted(values, reverse=True)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A page of two runs."""
    folder = tmp_path_factory.mktemp("runs")
    options = {"cache_dir": folder / "cache"}
    extract("synthetic-binary", "stats", device="cpu", **options)
    probe("synthetic-binary", head="linear,knn", resamples=20, **options)
    return write_report(out=folder / "results.html", **options).out


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1200, "light")])
def test_the_page_of_the_runs_fetches_nothing_and_sorts(browser, results, width, scheme):
    context = browser.new_context(offline=True, viewport={"width": width, "height": 800}, color_scheme=scheme)
    context.set_default_timeout(120_000)
    tab, heard = context.new_page(), []
    tab.on("request", lambda request: heard.append(request.url))
    tab.on("console", lambda said: heard.append(said.text))
    tab.on("pageerror", lambda error: heard.append(str(error)))
    tab.goto(results.as_uri())
    assert tab.evaluate("() => document.documentElement.scrollWidth") <= width
    head = tab.locator("#q0 th button").nth(5)
    head.click()
    values = [float(word[:5]) for word in tab.locator("#q0 table").first.locator("td:nth-child(6)").all_inner_texts()]
    assert len(values) == 2 and values == sorted(values)
    tab.locator("#q0 summary").first.click()
    assert tab.get_by_text("medfeat extract --data").first.is_visible()
    context.close()
    assert [url for url in heard if not url.startswith(("data:", results.as_uri()))] == []


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1200, "dark")])
def test_no_width_and_no_scheme_makes_the_page_scroll_sideways(browser, evil, width, scheme):
    context = browser.new_context(offline=True, viewport={"width": width, "height": 800}, color_scheme=scheme)
    context.set_default_timeout(120_000)
    tab = context.new_page()
    tab.goto(evil.as_uri())
    assert tab.evaluate("() => document.documentElement.scrollWidth") <= width
    context.close()
