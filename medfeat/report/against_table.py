"""Runs that two caches or two reports both have, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medfeat.counted import counted_are
from medfeat.evaluation.runs.run import Run
from medfeat.report.run_tables import NAMES
from medfeat.report.tables import Table, number, with_interval
from medfeat.tasks import OFFICIAL
from medfeat.types import Interval


@dataclass(frozen=True)
class Twice:
    """One run of both sides: here and there, their difference (None where they are the same run), and what to mind."""

    here: Run
    there: Run
    difference: Interval | None
    note: str = ""


def against_table(both: Sequence[Twice], *, name: str, only_here: int, only_there: int) -> Table:
    """Return a line for each run that both sides have; the metric is the one that heads its task."""
    columns = ("dataset", "network", "head", "metric", "here", "there", "here minus there", "mind")
    rows = tuple(
        (_question(one.here), one.here.network, one.here.head, NAMES[one.here.headline[0]],
         *(with_interval(run.test.values[one.here.headline[0]]) for run in (one.here, one.there)),
         "the same run" if one.difference is None else _signed(one.difference), _mind(one))
        for one in both
    )  # fmt: skip
    counts = f"{counted_are(len(both), 'run')} in both; {only_here} only here, {only_there} only in {name}"
    notes = (
        counts,
        "in brackets: 95 % interval, of a difference paired on test; one that holds 0 shows none",
    )
    return Table("", columns, rows, notes if rows else (counts,))


def _question(run: Run) -> str:
    return run.shown if run.task["name"] == OFFICIAL else f"{run.shown}, task {run.task['name']}"


def _signed(one: Interval) -> str:
    low, high = number(one.low), number(one.high)
    return f"{one.value:+.3f}" if "–" in (low, high) else f"{one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"


def _mind(one: Twice) -> str:
    """Return what differs between the two but the scores."""
    parts = [one.note] if one.note else []
    changed = [
        name
        for name in sorted({*one.here.versions, *one.there.versions})
        if one.here.versions.get(name) != one.there.versions.get(name)
    ]
    if changed:
        parts.append("other versions: " + ", ".join(
            f"{name} {one.here.versions.get(name, 'none')} and {one.there.versions.get(name, 'none')}"
            for name in changed
        ))  # fmt: skip
    parts += ["other images or weights"] if one.here.store["digest"] != one.there.store["digest"] else []
    parts += ["another rule"] if one.here.protocol["version"] != one.there.protocol["version"] else []
    return "; ".join(parts)
