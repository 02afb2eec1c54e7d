"""Read the official test once: what was settled beside the linear head chosen on val, for each set and network.

    python tools/settle_test.py CACHE

To be run when the default is settled and written down, and not before. CACHE is that of `tools/settle_default.py`. Last
layer; the linear head chosen on val, and what is settled, each by the protocol of `medfeat probe`: it chooses, and then
test is read. Both are compared by `medfeat compare`'s paired test. Writes benchmarks/results/settled.json and a section
of docs/results.md.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from make_results import PAGE, SETTLED, put_section
from settle_default import LAST, NETWORKS, SETS, Held, by_axis, layers_of, official_of, places, views

from medfeat.evaluation.compare.paired import judged
from medfeat.evaluation.judging.cross_validation import choose_by, way_for
from medfeat.evaluation.judging.protocol import run_protocol
from medfeat.evaluation.measures.bootstrap import RESAMPLES
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.measures.score_intervals import score_intervals
from medfeat.heads import make_head
from medfeat.report.tables import Table, markdown, with_interval
from medfeat.types import Interval

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "settled.json"
TODAY, NEW = ("linear", "val"), ("quick", "cv")
SHOWN = ("auc", "acc")

HEAD = """
Read once, after the tables above and the [record](decisions/0056-quick-by-folds-is-the-default.md) were written: last
layer, official split, the linear head chosen on val beside `--head quick --choose cv`. Volumes as above. Intervals of
95 %; the difference with its interval, and p of the paired test. These sets are small: an interval that holds 0 says
that either may be the better one. Made by `tools/settle_test.py`.

"""


def read(cache: Path, dataset: str, network: str) -> dict[str, Any]:
    """Choose twice, then read test, and compare."""
    task = official_of(cache, dataset, network)
    features = views([by_axis(layer) for layer in layers_of(cache, dataset, network, task)[-1:]], whole=False)[LAST]
    given, found = [], {}
    for head, how in (TODAY, NEW):
        samples = Held(task, features)
        scored = run_protocol(
            samples,  # type: ignore[arg-type]  # it reads no store
            make_head(head),
            write_down=lambda _: None,
            choosing=partial(choose_by, how),
        )
        scores = LabelledScores.of(scored.test.y, scored.test_scores, task.task_type)
        given.append(scores)
        sure = score_intervals(scores)
        chosen = scored.choice.chosen
        found[f"{head}, {how}"] = {
            "chosen_by": way_for(how, int((task.split == "val").sum())),
            "settings": dict(chosen.settings),
            "said": round(chosen.first, 4),
            **{name: _numbers(sure[name]) for name in SHOWN},
        }
    pairs = {name: judged(given, name, seed=0, resamples=RESAMPLES) for name in SHOWN}
    gaps = {
        name: {"gap": _numbers(pair.gap(1, 0)), "p": round(pair.p_values(1, [0])[0], 4)} for name, pair in pairs.items()
    }
    return {"dataset": dataset, "network": network, "test": len(given[0]), "ways": found, "new_minus_today": gaps}


def _numbers(one: Interval) -> list[float]:
    return [round(x, 4) for x in (one.value, one.low, one.high)]


def row(one: dict[str, Any]) -> tuple[str, ...]:
    """One line a pair of a set and a network."""
    before, after = one["ways"].values()
    gap = one["new_minus_today"]["auc"]
    return (
        one["dataset"],
        one["network"],
        str(after["settings"].get("head", "")),
        after["chosen_by"],
        f"{after['said']:.3f}",
        *(with_interval(Interval(*way[name])) for name in SHOWN for way in (before, after)),
        with_interval(Interval(*gap["gap"])),
        f"{gap['p']:.3f}",
    )


def main() -> None:
    """Read test of what was not read before, and write both."""
    cache = Path(sys.argv[1])
    pairs: list[dict[str, Any]] = json.loads(RESULTS.read_text())["pairs"] if RESULTS.exists() else []
    there = {(one["dataset"], one["network"]) for one in pairs}
    for dataset, network in product(SETS, NETWORKS):
        if places(cache, dataset, network) and (dataset, network) not in there:
            pairs.append(read(cache, dataset, network))
            print(dataset, network, flush=True)
    pairs.sort(key=lambda one: (SETS.index(one["dataset"]), NETWORKS.index(one["network"])))
    facts = {"what": "official test, read once: last layer, the linear head chosen on val beside the new default"}
    RESULTS.write_text(json.dumps({**facts, "pairs": pairs}, indent=1) + "\n", encoding="utf-8")
    columns = (
        "dataset", "network", "quick took", "chosen by", "said AUC", "AUC, linear on val", "AUC, quick",
        "ACC, linear on val", "ACC, quick", "AUC, quick minus linear", "p",
    )  # fmt: skip
    put_section(SETTLED, HEAD + markdown([Table("", columns, tuple(map(row, pairs)))]))
    print(f"wrote {RESULTS} and {PAGE}")


if __name__ == "__main__":
    main()
