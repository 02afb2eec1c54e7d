"""A comparison as a table for a paper: a line a run, the published results that matter, the highest scores in bold."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from medfeat.counted import counted
from medfeat.evaluation.compare import published
from medfeat.evaluation.compare.comparison import Comparison, beside
from medfeat.evaluation.compare.published import PublishedRow
from medfeat.evaluation.runs import wording
from medfeat.evaluation.runs.run import Run, headline
from medfeat.report.comparison_tables import cautions, network_names
from medfeat.report.run_tables import NAMES
from medfeat.report.tables import Table, number, with_interval

_NEAREST = 3
_ZERO = re.compile(r"(?<=[\[ -])0(?=\.\d)")  # of the ends of an interval
_LOWER = ("mae",)  # the only one of the headline metrics that is better when it is lower


def paper_table(comparison: Comparison) -> Table:
    """Return our runs, best on val first, and below them a few of the published rows, with what each was trained on.

    Published are the rows whose protocol is that of our best run on val, the first few, and the best of each kind of
    training; rows of low confidence are no target. CSV holds all of them.
    """
    runs, rows = comparison.runs, _worth_showing(comparison)
    metrics = headline(runs[0].task["type"]) if runs else ("auc", "acc")
    ours = [_ours(run, name, metrics) for run, name in zip(runs, network_names(runs), strict=True)]
    theirs = [(_system(row), row.training, row.pixels, number(row.auc), number(row.acc), row.source) for row in rows]
    columns = ("System", "Training", "Pixels", *(NAMES[name] for name in metrics), "Source")
    values = [[run.test.values[name].value for name in metrics] for run in runs]
    values += [[math.nan if one is None else one for one in (row.auc, row.acc)] for row in rows]
    table = Table(
        f"{comparison.dataset}: test scores",
        columns,
        (*ours, *theirs),
        tuple(_notes(comparison, rows)),
        bold=frozenset(_best(values, metrics, first=columns.index(NAMES[metrics[0]]))),
        ruled=frozenset({len(ours)} if ours and theirs else ()),
    )
    return table if theirs else _without_last(table)


def _ours(run: Run, network: str, metrics: Sequence[str]) -> tuple[str, ...]:
    scores = (_ZERO.sub("", with_interval(run.test.values[name])) for name in metrics)
    return f"{network}{cautions(run)}", wording.trained(run.protocol), run.protocol["pixels"], *scores, "ours"


def _system(row: PublishedRow) -> str:
    return row.system + (" (chosen on test)" if row.test_selected else "")


def _worth_showing(comparison: Comparison) -> list[PublishedRow]:
    rows = [row for row in comparison.rows if row.confidence != "low"]
    best = comparison.runs[0] if comparison.runs else None
    near = [] if best is None else [row for row in rows if not beside(best, row).differs][:_NEAREST]
    kinds = dict.fromkeys(row.training for row in rows)
    most = [max((row for row in rows if row.training == kind), key=_score) for kind in kinds]
    return [row for row in rows if row in near or row in most]


def _score(row: PublishedRow) -> tuple[float, float]:
    return row.auc or 0.0, row.acc or 0.0


def _best(values: Sequence[Sequence[float]], metrics: Sequence[str], *, first: int) -> Iterator[tuple[int, int]]:
    """Yield the cells of the best value of each metric, as they are shown."""
    for k, name in enumerate(metrics):
        shown = [round(row[k], 3) * (-1 if name in _LOWER else 1) for row in values]
        best = max((value for value in shown if math.isfinite(value)), default=math.inf)
        yield from ((i, first + k) for i, value in enumerate(shown) if value == best)


def _without_last(table: Table) -> Table:
    """Return a table without its column of sources, of which there are none."""
    rows = tuple(row[:-1] for row in table.rows)
    return Table(table.title, table.columns[:-1], rows, table.notes, bold=table.bold, ruled=table.ruled)


def _notes(comparison: Comparison, rows: Sequence[PublishedRow]) -> Iterator[str]:
    if comparison.runs:
        over = counted(comparison.runs[0].test.n, "test sample")
        yield f"In brackets: 95 % interval over {over}. Bold: the best of a column. Our runs by val."
    if len(rows) < len(comparison.rows):
        some = f"{len(rows)} of {len(comparison.rows)} rows"
        yield f"Published: {some}, the nearest protocols and the best of each kind of training."
    for name in dict.fromkeys(row.source for row in rows):
        yield f"{name}: {published.sources()[name].citation}."
