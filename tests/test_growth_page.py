"""The page about growth is made of the curves that were measured, and says of each how it grows and why it stops."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("make_growth", ROOT / "tools" / "make_growth.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "make_growth", module)
        spec.loader.exec_module(module)
        yield module


def curve(axis, end, *points):
    names = (axis, "processor_seconds", "seconds", "peak_mib")
    return {"axis": axis, "points": [dict(zip(names, point, strict=True)) for point in points], "end": end}


MADE_UP = {
    "machine": {"date": "2001-02-03", "cores": 2, "processor": "Abacus", "memory_gib": 23.5},
    "search": curve("rows", "the largest size that was asked for",
                    (1000, 2.0, 2.5, 300.0), (10_000, 2.0, 2.5, 300.0), (100_000, 20.0, 21.0, 600.0)),
    "explore": curve("images", "the largest size that was asked for",
                     (1000, 2.0, 2.5, 300.0), (10_000, 20.0, 25.0, 300.0), (100_000, 2000.0, 2100.0, 300.0)),
    "audit": curve("rows", "1,000,000 would take about 4,000 s and 9,000 MiB, were it linear",
                   (1000, 4.0, 4.5, 300.0), (10_000, 40.0, 50.0, 300.0), (100_000, 400.0, 410.0, 1200.0)),
    "linear by cores": curve("cores", "the largest size that was asked for",
                             (1, 8.0, 8.0, 400.0), (2, 8.8, 4.0, 400.0)),
    "kNN": curve("rows", "still being measured", (1000, 2.0, 2.5, 300.0)),
}  # fmt: skip


def test_the_committed_page_is_made_of_the_committed_curves(tool):
    kept = json.loads(tool.RESULTS.read_text(encoding="utf-8")) if tool.RESULTS.exists() else None
    text = tool.PAGE.read_text(encoding="utf-8")
    assert text == tool.page(kept)
    shown = set(re.findall(r"\((figures/growth-\w+\.png)\)", text))
    assert {f"figures/{path.name}" for path in tool.FIGURES.glob("growth-*.png")} == shown


def test_each_curve_says_how_it_grows_where_it_bends_and_why_it_stops(tool):
    lines = dict(re.findall(r"^- \*\*([\w ]+)\*\*, (.*)$", tool.page(MADE_UP), re.MULTILINE))
    assert set(lines) == {"search", "explore", "audit", "linear", "kNN"}
    assert "2,000 s (exponent 2.00, bends up at 10,000: 1.00 before)" in lines["explore"]
    assert "up to 100,000 rows: 20 s (exponent 1.00, 0.00 before: the start counts less)" in lines["search"]
    assert "600 MiB (exponent 0.30, 0.00 before: the start counts less)" in lines["search"]
    assert lines["search"].endswith("stops there because no more rows were asked for.")
    assert "400 s (exponent 1.00)" in lines["audit"]
    assert lines["audit"].endswith("1,000,000 would take more than ten minutes (4,000 s, 8.8 GiB).")
    # of cores the seconds that passed count: half as many on twice as many
    assert "up to 2 cores: 4 s (exponent -1.00)" in lines["linear"]
    assert "one point only" in lines["kNN"] and lines["kNN"].endswith("because its measurement was cut off.")


def test_a_curve_may_stop_for_memory_or_for_both(tool):
    found = tool.ending("100,000 would take about 90 s and 13,000 MiB, were it linear", "rows")
    assert found == "100,000 would take more than 12 GiB (90 s, 12.7 GiB)"
    found = tool.ending("64 took 700 s and 12,900 MiB: over the limits", "classes")
    assert found == "64 took more than ten minutes and 12 GiB (700 s, 12.6 GiB)"


def test_its_limits_and_words_are_those_of_the_bench(tool):
    bench = (ROOT / "benchmarks" / "bench_curves.py").read_text(encoding="utf-8")
    assert f"SECONDS, MIB, BARE_MIB = {tool.SECONDS}, 12 * 1024.0" in bench and tool.MIB == 12 * 1024.0
    for words in (
        "the largest size that was asked for",
        "still being measured",
        "would take about",
        ": over the limits",
    ):
        assert words in bench
    axes = set(re.findall(r'curve\(f?"[^"]*"?[^,]*, "(\w+)"', bench))
    assert axes <= {panel.axis for panel in tool.PANELS}


def test_it_draws_a_figure_for_each_axis(tool, tmp_path, capsys):
    results = tmp_path / "curves.json"
    results.write_text(json.dumps(MADE_UP))
    tool.main(results, tmp_path / "growth.md", tmp_path / "figures")
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        f"growth-{axis}.png" for axis in ("rows", "images", "cores")
    }
    text = (tmp_path / "growth.md").read_text(encoding="utf-8")
    assert text == tool.page(MADE_UP) and "2001-02-03 on 2 cores of Abacus" in text


def test_without_curves_it_says_how_to_measure_them(tool):
    text = tool.page(None)
    assert "Not measured yet" in text and "bench_curves.py -s --timeout=0" in text and "![" not in text
