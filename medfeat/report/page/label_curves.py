"""How a score grows with the number of labels, as a chart of the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from medfeat.evaluation.judging.few_shot import Curve
from medfeat.report.few_shot import curve_axes, curve_tables
from medfeat.report.figures import new_figure
from medfeat.report.page.charts import WIDE, legend_below
from medfeat.report.page.html import element, table
from medfeat.report.page.svg import inline
from medfeat.report.tables import Table

# Curves that one chart can still show apart; the table below it holds all of them.
MOST = 7


def label_curves(curves: Sequence[Curve]) -> Iterator[Markup]:
    """Yield the chart and the table of the learning curves of one question; nothing where there are none."""
    if not curves:
        return
    shown = sorted(curves, key=lambda curve: -curve.points[-1].values["auc"].value)[:MOST]
    figure, axes = new_figure(WIDE, 3.4 + 0.2 * len(shown))
    curve_axes(axes, shown)
    legend_below(figure, axes, 1)
    left = f" Of {len(curves)} curves, the {len(shown)} that end highest." if len(shown) < len(curves) else ""
    caption = (
        "Test AUC over the number of labelled samples of train and val together, shots a class in brackets. Line: mean;"
        f" bars: 95 % of draws; band: of draws and test together.{left}"
    )
    yield element("h3", "How many labels it takes")
    yield inline(figure, caption)
    for one in curve_tables(curves):
        yield element("details", element("summary", "The same as a table"), table(_untitled(one)))


def _untitled(one: Table) -> Table:
    return Table("", one.columns, one.rows, one.notes)
