"""Draw how cost grows and write docs/growth.md, from benchmarks/results/curves.json (`benchmarks/bench_curves.py`).

python tools/make_growth.py
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results" / "curves.json", ROOT / "docs" / "growth.md"
FIGURES = ROOT / "docs" / "figures"
RUN = "MEDFEAT_BENCH=1 python -m pytest benchmarks/bench_curves.py -s --timeout=0"
SECONDS, MIB = 600.0, 12 * 1024.0
"""Where a curve stops: as `benchmarks/bench_curves.py` has it."""
BEND = 0.25
"""A change of the exponent that is told of."""
Points = Sequence[Mapping[str, float]]
# Told apart without colours too.
_INKS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
_MARKERS = "osD^vP*"


@dataclass(frozen=True)
class Panel:
    """Curves over one axis.

    Attributes
    ----------
    axis
        Key of the points.
    title, unit
        Of the part of the page, and what is counted.
    time
        Which seconds are drawn: the processor's, or for cores those that passed.
    """

    axis: str
    title: str
    unit: str
    time: str = "processor_seconds"


PANELS = (
    Panel("rows", "Rows of a store", "rows"),
    Panel("images", "Images", "images"),
    Panel("samples", "Test samples of a bootstrap", "samples"),
    Panel("dim", "Numbers an image", "numbers"),
    Panel("classes", "Classes", "classes"),
    Panel("cores", "Cores", "cores", "seconds"),
)
_TIMES = {"processor_seconds": "processor seconds", "seconds": "seconds"}

HEAD = """# How cost grows

What a command takes when there is more: each point is a process of its own on made-up data, from its start to its end,
and each curve goes on until a point would take ten minutes of the processor or 12 GiB. Measured by
[bench_curves.py](../benchmarks/bench_curves.py), drawn by `tools/make_growth.py`. Both axes are logarithmic: a
straight line is a power, and its exponent between the last two points is told below each figure: 1 is in proportion, 2
is four times as much for twice as many; below 1, the start of the command still counts. Heads and audits have 2,048
numbers an image and eight classes where nothing else is said. Products of matrices ran in one thread
(`OMP_NUM_THREADS=1`), but for the curves by cores.
"""
NOTHING = f"""
**Not measured yet** for this version. On a quiet machine, this measures and draws the curves:

```text
{RUN}
python tools/make_growth.py
```
"""


def exponent(points: Points, axis: str, value: str, last: int = -1) -> float | None:
    """Return the slope between two neighbouring points in log-log, None where there are no two.

    Examples
    --------
    >>> exponent([{"n": 10, "s": 3.0}, {"n": 100, "s": 300.0}], "n", "s")
    2.0
    """
    if len(points) < 1 - last:
        return None
    one, other = points[last - 1], points[last]
    grown = math.log(max(other[value], 1e-9) / max(one[value], 1e-9))
    return round(grown / math.log(other[axis] / one[axis]), 6)


def growth(points: Points, axis: str, value: str) -> str:
    """Say how a cost grows at the end of a curve, and whether that is steeper or flatter than before."""
    slope, before = exponent(points, axis, value), exponent(points, axis, value, -2)
    if slope is None:
        return "one point only"
    said = f"exponent {slope:.2f}"
    if before is None or abs(slope - before) <= BEND:
        return said
    if before < slope <= 1 + BEND / 2:
        return f"{said}, {before:.2f} before: the start counts less"
    return f"{said}, bends {'up' if slope > before else 'down'} at {points[-2][axis]:,.0f}: {before:.2f} before"


def ending(end: str, unit: str) -> str:
    """Say in a few words why a curve stops where it does."""
    found = re.match(r"([\d,]+) (would take about|took) ([\d,.]+) s and ([\d,.]+) MiB", end)
    if found is None:
        return {
            "the largest size that was asked for": f"no more {unit} were {'there' if unit == 'cores' else 'asked for'}",
            "still being measured": "its measurement was cut off",
        }.get(end, end)
    size, how, *costs = found.groups()
    time, mib = (float(cost.replace(",", "")) for cost in costs)
    over = [name for name, more in (("ten minutes", time > SECONDS), ("12 GiB", mib > MIB)) if more]
    verb = "took" if how == "took" else "would take"
    return f"{size} {verb} more than {' and '.join(over)} ({time:,.0f} s, {mib / 1024:.1f} GiB)"


def line(name: str, curve: Mapping[str, Any], panel: Panel) -> str:
    """Say of a curve where it goes, how it grows and why it stops."""
    points, axis = curve["points"], panel.axis
    last = points[-1]
    time, memory = growth(points, axis, panel.time), growth(points, axis, "peak_mib")
    return (
        f"- **{short(name)}**, up to {last[axis]:,.0f} {panel.unit}: {seconds(last[panel.time])} ({time}) and "
        f"{last['peak_mib']:,.0f} MiB ({memory}); stops there because {ending(curve['end'], panel.unit)}."
    )


def seconds(value: float) -> str:
    """Say seconds in as many digits as count."""
    return f"{value:,.0f} s" if value >= 100 else f"{value:.3g} s"


def short(name: str) -> str:
    """Return the name of a curve without its axis."""
    return name.partition(" by ")[0]


def draw(curves: Mapping[str, Any], panel: Panel, path: Path) -> None:
    """Draw time and memory of some curves over their axis."""
    figure = Figure(figsize=(7.2, 3.9), layout="constrained")
    values = ((panel.time, f"{_TIMES[panel.time]}", SECONDS), ("peak_mib", "peak memory, MiB", MIB))
    for place, (value, label, limit) in zip(figure.subplots(1, 2), values, strict=True):
        place.set(xscale="log", yscale="log")
        for (name, curve), ink, marker in zip(curves.items(), _INKS, _MARKERS, strict=False):
            points = curve["points"]
            xs, ys = [one[panel.axis] for one in points], [one[value] for one in points]
            place.plot(xs, ys, marker=marker, markersize=5, color=ink, label=short(name))
        found = [one[value] for curve in curves.values() for one in curve["points"]]
        low, high = min(found), max(found)
        if high < 10 * low:  # a per cent more or less must not look like a slope
            place.set_ylim(low / 3, high * 3)
        if high > limit / 20:  # a limit far above the curves would squeeze them
            place.axhline(limit, color="0.5", linewidth=1, linestyle=":")
        place.set(xlabel=panel.unit, title=label)
        if panel.axis == "cores":
            place.set_xticks(xs, [str(count) for count in xs])
            place.minorticks_off()
        place.grid(alpha=0.3)
    handles, labels = place.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def by_panel(kept: Mapping[str, Any]) -> list[tuple[Panel, dict[str, Any]]]:
    """Return the curves of each panel that has some."""
    curves = {name: found for name, found in kept.items() if name != "machine"}
    found = [(panel, {name: one for name, one in curves.items() if one["axis"] == panel.axis}) for panel in PANELS]
    return [(panel, mine) for panel, mine in found if mine]


def page(kept: Mapping[str, Any] | None) -> str:
    """Return the page: a figure for each axis, and a line for each curve under it."""
    if kept is None:
        return HEAD + NOTHING
    machine = kept["machine"]
    text = HEAD + (
        f"\nMeasured on {machine['date']} on {machine['cores']} cores of {machine['processor']} with "
        f"{machine['memory_gib']:.0f} GiB. The dotted lines are the limits.\n"
    )
    for panel, curves in by_panel(kept):
        lines = "\n".join(line(name, curve, panel) for name, curve in curves.items())
        text += (
            f"\n## {panel.title}\n\n![Time and memory by {panel.unit}](figures/growth-{panel.axis}.png)\n\n{lines}\n"
        )
    return text


def main(results: Path = RESULTS, out: Path = PAGE, figures: Path = FIGURES) -> None:
    """Write the page and its figures."""
    kept = json.loads(results.read_text(encoding="utf-8")) if results.exists() else None
    for panel, curves in by_panel(kept or {}):
        draw(curves, panel, figures / f"growth-{panel.axis}.png")
    out.write_text(page(kept), encoding="utf-8")
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
