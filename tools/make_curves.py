"""Draw how cost grows, and write its table: `docs/figures/growth.png` and `docs/growth.md` from measured points.

`python tools/make_curves.py` reads `benchmarks/results/curves.json`, which `benchmarks/bench_curves.py` measures.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE = ROOT / "benchmarks/results/curves.json", ROOT / "docs/growth.md"
FIGURE = ROOT / "docs/figures/growth.png"
BEGIN, END = "<!-- curves: made by tools/make_curves.py -->", "<!-- end of curves -->"
Curve = Mapping[str, Any]
PANELS = (
    ("rows", "rows of 2,048 numbers"),
    ("images", "images of 28 px"),
    ("samples", "test samples of 8 classes"),
    ("dim", "numbers an image (10,000 rows)"),
    ("classes", "classes (10,000 rows)"),
)


def main() -> None:
    """Write figure and page."""
    kept = json.loads(RESULTS.read_text(encoding="utf-8"))
    curves = {name: found for name, found in kept.items() if name != "machine"}
    draw(curves)
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table(curves, kept['machine'])}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def draw(curves: Mapping[str, Curve]) -> None:
    """Draw processor seconds and peak memory of every curve, a column for each kind of growth."""
    figure = Figure(figsize=(3.1 * len(PANELS), 6.2), layout="constrained")
    axes = figure.subplots(2, len(PANELS), sharey="row")
    for column, (axis, label) in enumerate(PANELS):
        for row, (key, unit) in enumerate((("processor_seconds", "processor seconds"), ("peak_mib", "peak MiB"))):
            place = axes[row][column]
            for name, found in curves.items():
                if found["axis"] == axis:
                    points = found["points"]
                    place.plot([one[axis] for one in points], [one[key] for one in points], marker="o", label=_of(name))
            place.set(xscale="log", yscale="log", xlabel=label if row else "", ylabel="" if column else unit)
            place.grid(alpha=0.3)
        axes[0][column].legend(fontsize=7, frameon=False)
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=110)


def table(curves: Mapping[str, Curve], machine: Mapping[str, Any]) -> str:
    """Return the table: first and last point of each curve, how steep its end is, and why it ended there."""
    lines = [
        f"Measured {machine['date']} on {machine['cores']} cores of {machine['processor']}, each point a process.",
        "",
        "| what | from | to | processor seconds | peak MiB | steepness | why no further |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    order = [*(axis for axis, _ in PANELS), "cores"]
    for name, found in sorted(curves.items(), key=lambda one: order.index(one[1]["axis"])):
        points, axis = found["points"], found["axis"]
        first, last = points[0], points[-1]
        cells = (
            name,
            f"{first[axis]:,}",
            f"{last[axis]:,}",
            f"{first['processor_seconds']:.3g} to {last['processor_seconds']:.3g}",
            f"{first['peak_mib']:,.0f} to {last['peak_mib']:,.0f}",
            steepness(points, axis),
            found["end"],
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def steepness(points: Sequence[Mapping[str, float]], axis: str) -> str:
    """Return the exponent between the last two points: 1 is in proportion, below it the start still counts."""
    if len(points) < 2:
        return "–"
    one, other = points[-2:]
    grown = math.log(other["processor_seconds"] / one["processor_seconds"])
    return f"{grown / math.log(other[axis] / one[axis]):.2f}"


def _of(name: str) -> str:
    return name.partition(" by ")[0]


if __name__ == "__main__":
    main()
