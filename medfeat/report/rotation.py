"""Folds, and groups left out one after another, as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping

from medfeat.evaluation.judging.rotation import GROUPS, Rotation
from medfeat.evaluation.measures.evaluate import Metrics
from medfeat.evaluation.runs import wording
from medfeat.evaluation.runs.run import headline
from medfeat.report.run_tables import NAMES
from medfeat.report.tables import Table, number, with_interval

_INTERVAL = "in brackets: 95 % interval of the samples of a part"


def rotation_table(one: Rotation, within: Mapping[str, Metrics] | None = None) -> Table:
    """Return a part a row, then the mean over parts and all samples together.

    Parameters
    ----------
    one
        What was found.
    within
        By group, scores of its test samples by a head that was trained on all groups by the task's own split.
    """
    first, second = headline(one.task_type)
    left = "left out, " if one.kind == GROUPS else ""
    scores = (f"{left}{NAMES[first]}", f"{left}{NAMES[second]}")
    extra = () if within is None else ("trained with, n", f"trained with, {NAMES[first]}")
    columns = ("group" if one.kind == GROUPS else "fold", "n", *scores, *extra, "chosen on val")
    rows = [
        (
            part.name,
            f"{part.test.n:,}",
            with_interval(part.test.values[first]),
            with_interval(part.test.values[second]),
            *(() if within is None else _within(within.get(part.name), first)),
            wording.chosen(part.settings),
        )
        for part in one.parts
    ]
    gap = ("",) * len(extra)
    mean = tuple(_spread(*one.over_parts(name)) for name in (first, second))
    rows.append(("mean ± sd over parts", "", *mean, *gap, ""))
    whole = tuple(with_interval(one.together.values[name]) for name in (first, second))
    rows.append(("all, each left out once", f"{one.together.n:,}", *whole, *gap, ""))
    named = one.dataset if one.task == "official" else f"{one.dataset}, task {one.task}"
    title = f"{named}: {wording.network(one.backbone, one.weights)}, {one.head}, {len(one.parts)} {one.kind}"
    notes = dict.fromkeys(f"{part.name}: {note}" for part in one.parts for note in part.test.notes)
    last = len(rows)
    less = ("chosen on val", *extra[:1], "n", scores[1])
    return Table(title, columns, tuple(rows), (_INTERVAL, *notes), strong=frozenset({last - 1}), less=less)


def _within(found: Metrics | None, metric: str) -> tuple[str, str]:
    return ("–", "–") if found is None else (f"{found.n:,}", with_interval(found.values[metric]))


def _spread(mean: float, spread: float) -> str:
    return number(mean) if not math.isfinite(spread) else f"{number(mean)} ± {number(spread)}"
