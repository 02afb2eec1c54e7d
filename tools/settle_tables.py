"""What `tools/settle_default.py` measured, as a section of docs/results.md and benchmarks/results/default.json.

    python tools/settle_tables.py RAW.jsonl

Every cell is a mean over re-splits of train and val, and its difference to the linear head on the last layer, chosen
on val, in the same re-splits, with the standard error of that difference over them. Test was not read.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from make_results import DEFAULT, PAGE, put_section
from settle_default import (
    ATTENTION,
    AXES,
    FUSED,
    LAST,
    NARROW,
    NETWORKS,
    QUICK,
    RULES,
    SETS,
    SMALL_SET,
    VIEWS,
    WAYS,
    WHOLE,
)
from simulate_choice import AUTO, FEWEST_DRAWS, mean_and_error, records

from medfeat.heads.auto import ROUNDS
from medfeat.report.tables import Table, markdown

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "default.json"
CHOSEN = "chosen"
"""The view that what chose the settings says most of."""
Found = dict[str, dict[str, Any]]  # view to {"rules": {rule: {"held": [auc, acc], "said": auc}}}

HEAD = """
A fifth of train and val, drawn anew in each re-split, stands for test; of the rest a part of the official share stands
for val. Each cell: mean AUC on the held-out fifth, and in brackets its difference to the linear head on the last layer
chosen on val, paired by re-split, with the standard error over re-splits. Test was not read. `last`: the network's last
layer; `quarter`: the layers at each quarter of depth side by side; `all`: all stages (left out where {small} samples or
more are held out, since they are the quarters and 16 numbers more); `fused`: the mean of what is chosen on each;
`chosen`: the view for which what chose claims most. Volumes: three slices of each axis (`--slices keep:3`), averaged by
axis. `quick` is `auto` without {rounds}; the whole of it, and attention over the layers at each quarter (images) or the
{axes} x 3 slices (volumes), have a table of their own, with the seconds of one core that val and folds take together on
the last layer (attention: on what it weighs). What has fewer than {fewest} re-splits is left out. Made by
`tools/settle_default.py` and `tools/settle_tables.py`.

"""


def with_chosen(views: Found) -> Found:
    """Add to the views of one way the one that each rule's own scores prefer, the first among equals."""
    alone = {name: one for name, one in views.items() if name != FUSED}
    rules: dict[str, Any] = {}
    for rule in RULES:
        there = [one["rules"][rule] for one in alone.values() if rule in one["rules"]]
        if there:
            rules[rule] = max(there, key=lambda one: one["said"])
    return {**views, CHOSEN: {"rules": rules}} if len(alone) > 1 else views


def cells(found: Iterable[dict[str, Any]], today: dict[int, float]) -> dict[str, Any]:
    """Return of ``"view, rule, way"`` the mean held-out AUC, the gap to today's default, what was said, how many."""
    held: dict[str, dict[int, tuple[float, float]]] = defaultdict(dict)
    for one in found:
        if one["draw"] not in today:
            continue
        for way in WAYS:
            for view, rules in with_chosen(one["ways"][way]).items():
                for rule, facts in rules["rules"].items():
                    name = f"{view}, {rule}, {way}"
                    held[name][one["draw"]] = facts["held"][0], facts.get("said", float("nan"))
    return {
        name: {
            "auc": round(mean_and_error([auc for auc, _ in by.values()])[0], 4),
            "minus_today": [round(x, 4) for x in mean_and_error([auc - today[draw] for draw, (auc, _) in by.items()])],
            "said": None if name.startswith(FUSED) else round(mean_and_error([said for _, said in by.values()])[0], 4),
            "draws": len(by),
        }
        for name, by in held.items()
        if len(by) >= FEWEST_DRAWS
    }


def summary(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the cells of every pair of a set and a network, of each kind of measurement."""
    pairs = []
    for dataset in SETS:
        for network in NETWORKS:
            mine = [one for one in found if (one["dataset"], one["network"]) == (dataset, network)]
            whole = [one for one in mine if one["kind"] == QUICK]
            there = {one["draw"] for one in whole}
            quick = whole + [one for one in mine if one["kind"] == NARROW and one["draw"] not in there]
            today = {one["draw"]: one["ways"]["val"][LAST]["rules"]["linear"]["held"][0] for one in quick}
            if len(today) < FEWEST_DRAWS:
                continue
            took = {kind: [_seconds(one) for one in mine if one["kind"] == kind] for kind in (QUICK, WHOLE, ATTENTION)}
            seconds = {kind: round(mean_and_error(several)[0], 1) for kind, several in took.items() if several}
            others = {kind: cells([o for o in mine if o["kind"] == kind], today) for kind in (WHOLE, ATTENTION)}
            kinds = {QUICK: cells(quick, today), **others}
            facts = {"dataset": dataset, "network": network, "val": quick[0]["val"], "draws": len(today)}
            pairs.append({**facts, "seconds": seconds, "cells": kinds})
    return {
        "what": "held-out AUC of re-splits of train + val; today: last layer, linear, chosen on val",
        "pairs": pairs,
    }


def _seconds(one: dict[str, Any]) -> float:
    """Return what both ways to choose took in one draw: on the last layer, or on what attention weighs."""
    return sum(float(next(view["seconds"] for view in one["ways"][way].values() if "seconds" in view)) for way in WAYS)


def tables(facts: dict[str, Any]) -> list[Table]:
    """Return a table a set, and one of the whole of auto and of attention."""
    shown = [(rule, way) for rule in ("linear", "svm", AUTO) for way in WAYS]
    found = []
    for dataset in SETS:
        rows = [
            (
                one["network"],
                view,
                str(one["cells"][QUICK][f"{view}, linear, val"]["draws"]),
                *(_cell(one, QUICK, f"{view}, {r}, {w}") for r, w in shown),
            )
            for one in facts["pairs"]
            for view in (*VIEWS, CHOSEN)
            if one["dataset"] == dataset and f"{view}, linear, val" in one["cells"][QUICK]
        ]
        heads = [f"{QUICK if rule == AUTO else rule}, {way}" for rule, way in shown]
        columns = ("network", "view", "re-splits", *heads)
        found.append(Table(f"{dataset}, by layers, head and who chooses", columns, tuple(rows)))
    rows = [
        (
            one["dataset"], one["network"], *(str(one["seconds"].get(kind, "–")) for kind in (QUICK, WHOLE, ATTENTION)),
            *(_cell(one, WHOLE, f"{LAST}, {AUTO}, {way}", counted=True) for way in WAYS),
            *(_cell(one, ATTENTION, f"{_weighed(one)}, {AUTO}, {way}", counted=True) for way in WAYS),
        )
        for one in facts["pairs"]
        if one["cells"][WHOLE] or one["cells"][ATTENTION]
    ]  # fmt: skip
    took = (f"seconds of {name}" for name in (QUICK, AUTO, ATTENTION))
    said = (f"{name}, {way}" for name in (AUTO, ATTENTION) for way in WAYS)
    columns = ("dataset", "network", *took, *said)
    return [
        *(one for one in found if one.rows),
        *([Table("All of auto, and attention", columns, tuple(rows))] if rows else []),
    ]


def _weighed(pair: dict[str, Any]) -> str:
    return next((name.partition(",")[0] for name in pair["cells"][ATTENTION]), LAST)


def _cell(pair: dict[str, Any], kind: str, name: str, *, counted: bool = False) -> str:
    one = pair["cells"][kind].get(name)
    if one is None:
        return "–"
    gap, error = one["minus_today"]
    return f"{one['auc']:.3f} ({gap:+.3f} ± {error:.3f})" + (f" of {one['draws']}" if counted else "")


def main() -> None:
    """Write the summary and the section."""
    facts = summary(records(Path(sys.argv[1])))
    RESULTS.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    words = HEAD.format(small=SMALL_SET, rounds=" and ".join(ROUNDS), axes=AXES, fewest=FEWEST_DRAWS)
    put_section(DEFAULT, words + markdown(tables(facts)))
    print(f"wrote {RESULTS} and {PAGE}")


if __name__ == "__main__":
    main()
