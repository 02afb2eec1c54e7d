"""Many runs in one table: networks down, datasets across."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medfeat.evaluation.runs.run import Run, networks_of
from medfeat.report.run_tables import NAMES
from medfeat.report.tables import Table, number

Key = tuple[str, str]


def pivot_table(runs: Sequence[Run]) -> Table:
    """Return the test score of each network on each dataset; of several stores and heads, the one that val prefers.

    Where val prefers several heads, each cell names its own.

    Parameters
    ----------
    runs
        Any; each dataset and task is a column, each network a row, the best mean of val first. A network that lacks a
        column is sorted by those it has.
    """
    chosen: dict[tuple[str, Key], Run] = {}
    for run, network in zip(runs, networks_of(runs), strict=True):
        cell = network, _column(run)
        if cell not in chosen or _val(run) > _val(chosen[cell]):
            chosen[cell] = run
    columns = list(dict.fromkeys(column for _, column in chosen))
    networks = list(dict.fromkeys(network for network, _ in chosen))
    means = {name: np.mean([_val(run) for (network, _), run in chosen.items() if network == name]) for name in networks}
    heads = sorted({run.head for run in chosen.values()})

    def shown(run: Run | None) -> str:
        score = "" if run is None else number(run.test.values[run.headline[0]].value)
        return score if run is None or len(heads) == 1 else f"{score} {run.head}"

    rows = [
        (name, *(shown(chosen.get((name, column))) for column in columns))
        for name in sorted(networks, key=lambda name: -means[name])
    ]
    one = f"head {heads[0]}" if len(heads) == 1 else "each with the head that val prefers"
    best = f"{one}, on the store and settings that val prefers" if len(chosen) < len(runs) else one
    notes = (f"{best}; intervals are in the tables of each dataset", "sorted by the mean of val, not of test")
    named = ("network", *map(" ".join, columns))
    return Table("Test scores, networks by datasets", named, tuple(rows), notes, turns=True)


def _column(run: Run) -> Key:
    name = run.shown if run.task["name"] == "official" else f"{run.shown}, {run.task['name']}"
    return name, NAMES[run.headline[0]]


def _val(run: Run) -> float:
    value = run.val.values[run.headline[0]].value
    return value if value == value else -np.inf  # noqa: PLR0124 - NaN is never preferred
