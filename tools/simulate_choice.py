"""What choosing on val or by cross-validation, and by which heads, gives on real sets: re-splits without their test.

    python tools/simulate_choice.py measure RAW.jsonl STORE... [--draws 20] [--until HH:MM]
    python tools/simulate_choice.py write RAW.jsonl

Of each store only train and val are read. A fifth of them, drawn anew each time, stands for test; of the rest, a part
as large as val's share of both stands for val, and for the linear head parts of other sizes too. Every head of ``auto``
is fitted once a draw, and every mean of two or three; what each rule would have chosen is worked out afterwards.
``A.h5+B.h5`` is both side by side. What stands in RAW is not measured again, so that a run that was cut off goes on.
``write`` makes `benchmarks/results/choice.json` and the section of `docs/results.md` of it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from make_results import CHOICE, PAGE, put_section

from medfeat.evaluation.judging.averages import Stood
from medfeat.evaluation.judging.cross_validation import Setting, contenders_in_folds
from medfeat.evaluation.judging.protocol import contenders, val_scores
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.runs.wording import embedding
from medfeat.heads import HEADS
from medfeat.heads.inputs import mean_scores
from medfeat.report.tables import Table, markdown
from medfeat.tasks import Samples, fuse, gather, official
from medfeat.tasks.check import subset
from medfeat.types import Fitted, SilentProgress, Task
from medfeat_cache import FeatureStore

SIZES = (40, 80, 160, 320)
DRAWS_AT_ONCE = 5
# Stores of which fewer were measured are left out of what is written: they show nothing yet.
FEWEST_DRAWS = 3
RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "choice.json"
TODAY = ("linear", "val")
AUTO = "auto"


def resplit(task: Task, draw: int, n_val: int | None = None) -> Task | None:
    """Return a task whose test is a fifth of train and val, and whose val has `n_val` samples; None if too few."""
    known = subset(task, task.split != "test")
    order = np.random.default_rng(draw).permutation(len(known.ids))
    held, rest = order[: len(order) // 5], order[len(order) // 5 :]
    size = round(len(rest) * (known.split == "val").mean()) if n_val is None else n_val
    if len(rest) < 3 * size:
        return None
    split = np.full(len(order), "train", dtype="<U5")
    split[rest[:size]], split[held] = "val", "test"
    return replace(known, split=split)


def held_out(samples: Samples, stood: Sequence[Stood[Any]], models: dict[int, Fitted]) -> dict[str, list[float]]:
    """Return of each contender its score when it was chosen, and AUC and ACC on the held-out part."""
    task, X = samples.task, samples.X("test")
    y = task.labels[task.split == "test"]
    scores = {part: np.asarray(model.scores(X), np.float64) for part, model in models.items()}
    found = {}
    for one in stood:
        mean = mean_scores([scores[id(part)] for part in one.parts])
        first, second = val_scores(LabelledScores.of(y, mean, task.task_type))
        found[one.head or "linear"] = [round(value, 5) for value in (one.tried.first, one.tried.second, first, second)]
    return found


def by_val(samples: Samples, head: str, draw: int) -> dict[str, list[float]]:
    """Let val choose each head's settings."""
    train, val, task = samples.train, samples.val, samples.task
    offered = HEADS[head]().candidates(
        (train.X, train.y), (val.X, val.y), task.task_type, len(task.classes), seed=draw, progress=SilentProgress()
    )
    stood, _ = contenders(offered, val.X, val.y, task.task_type)
    return held_out(samples, stood, {id(part): part for one in stood for part in one.parts})


def by_folds(samples: Samples, head: str, draw: int) -> dict[str, list[float]]:
    """Let five folds of train and val choose each head's settings, and fit these on both."""
    stood, _ = contenders_in_folds(samples, HEADS[head](), seed=draw)
    train, val = samples.train, samples.val
    X, y = np.concatenate([train.X, val.X]), np.concatenate([train.y, val.y])
    parts: list[Setting] = [one.parts[0] for one in stood if len(one.parts) == 1]
    return held_out(samples, stood, {id(part): part.fitted(X, y) for part in parts})


def measure(store: Any, draw: int) -> Iterator[dict[str, Any]]:
    """Yield one record a way of choosing; the official share of val first."""
    task = official(store)
    for size in (None, *SIZES):
        drawn = resplit(task, draw, size)
        if drawn is None:
            continue
        ways = (("val", by_val), ("cv", by_folds)) if size is None else (("val", by_val),)
        for way, choosing in ways:
            samples, started = gather(store, drawn), time.process_time()
            found = choosing(samples, AUTO if size is None else "linear", draw)
            yield {
                "way": way,
                "val": int((drawn.split == "val").sum()),
                "official": size is None,
                "heads": found,
                "seconds": round(time.process_time() - started, 2),
            }


def opened(place: str, stack: ExitStack) -> Any:
    """Open a store, or several side by side."""
    stores = [stack.enter_context(FeatureStore(part)) for part in place.split("+")]
    return stores[0] if len(stores) == 1 else fuse(stores)


def named(place: str) -> dict[str, str]:
    """Return what a store, or several side by side, is called."""
    with ExitStack() as stack:
        stores = [stack.enter_context(FeatureStore(part)) for part in place.split("+")]
        recipes = [store.recipe for store in stores]
    return {
        "dataset": recipes[0]["dataset"],
        "backbone": " + ".join(dict.fromkeys(one["backbone"] for one in recipes)),
        "embedding": " + ".join(embedding(one) for one in recipes),
    }


def measure_all(raw: Path, places: Sequence[str], draws: int, until: str | None) -> None:
    """Measure what is missing, a few draws of every store in turn, so that a run that is cut off is an even one."""
    there = {(json.dumps(one["of"]), one["draw"]) for one in records(raw)}
    for start in range(0, draws, DRAWS_AT_ONCE):
        for place in places:
            of = named(place)
            for draw in range(start, min(start + DRAWS_AT_ONCE, draws)):
                if until and f"{datetime.datetime.now():%H:%M}" >= until:
                    return
                if (json.dumps(of), draw) in there:
                    continue
                with ExitStack() as stack:
                    lines = [json.dumps({"of": of, "draw": draw, **one}) for one in measure(opened(place, stack), draw)]
                with raw.open("a") as file:
                    file.write("".join(f"{line}\n" for line in lines))
                print(of["dataset"], of["backbone"], of["embedding"], draw, flush=True)


def records(raw: Path) -> list[dict[str, Any]]:
    """Return what was measured."""
    return [json.loads(line) for line in raw.read_text().splitlines()] if raw.is_file() else []


def picked(heads: dict[str, list[float]], rule: str) -> list[float]:
    """Return the numbers of what a rule chooses: a head by its name, or ``auto`` among all and their means."""
    if rule != AUTO:
        return heads[rule]
    # ties go to what stood first: heads before means, simple ones before others
    return max(heads.values(), key=lambda one: (one[0], one[1]))


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return a mean and its standard error."""
    return float(np.mean(values)), float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else float(
        "nan"
    )


def by_store(found: list[dict[str, Any]]) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
    """Group records by what they are of."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for one in found:
        groups[(one["of"]["dataset"], one["of"]["backbone"], one["of"]["embedding"])].append(one)
    return groups


RULES = tuple((rule, way) for rule in ("linear", "svm", "knn", AUTO) for way in ("val", "cv"))


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return of every store each rule's mean held-out AUC, its gap to today's default, and what larger val sets do."""
    stores = []
    for (dataset, backbone, view), group in sorted(by_store(found).items()):
        chosen: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(dict)
        sizes: dict[int, dict[int, float]] = defaultdict(dict)
        for one in group:
            if one["official"]:
                for rule, way in RULES:
                    if way == one["way"]:
                        chosen[rule, way][one["draw"]] = picked(one["heads"], rule)
            else:
                sizes[one["val"]][one["draw"]] = one["heads"]["linear"][2]
        today = chosen[TODAY]
        if len(today) < FEWEST_DRAWS:
            continue
        rules = {
            f"{rule}, {way}": {
                "auc": round(float(np.mean([one[2] for one in by_draw.values()])), 4),
                "said": round(float(np.mean([one[0] for one in by_draw.values()])), 4),
                "minus_today": [
                    round(x, 4) for x in mean_and_error([one[2] - today[d][2] for d, one in by_draw.items()])
                ],
            }
            for (rule, way), by_draw in chosen.items()
        }
        cv = chosen["linear", "cv"]
        gains = {
            str(size): [round(x, 4) for x in mean_and_error([cv[d][2] - auc for d, auc in aucs.items() if d in cv])]
            for size, aucs in sorted(sizes.items())
        }
        seconds = {
            way: round(float(np.mean([o["seconds"] for o in group if o["official"] and o["way"] == way])), 1)
            for way in ("val", "cv")
        }
        stores.append(
            {
                "dataset": dataset, "backbone": backbone, "embedding": view, "draws": len(today),
                "val": next(one["val"] for one in group if one["official"]),
                "rules": rules, "cv_minus_val_linear": gains, "seconds_auto": seconds,
            }
        )  # fmt: skip
    return {"what": "held-out AUC of re-splits of train + val; mean, and standard error over draws", "stores": stores}


def tables(facts: dict[str, Any]) -> list[Table]:
    """Return both tables of the section."""
    best = Table(
        "Mean held-out AUC, and the gap to the linear head chosen on val",
        ("dataset", "backbone", "embedding", "draws", "val", *(f"{rule}, {way}" for rule, way in RULES)),
        tuple(
            (
                one["dataset"], one["backbone"], one["embedding"], str(one["draws"]), str(one["val"]),
                *(_cell(one["rules"].get(f"{rule}, {way}")) for rule, way in RULES),
            )
            for one in facts["stores"]
        ),
    )  # fmt: skip
    gains = Table(
        "What cross-validation gains over val sets of several sizes, linear head",
        ("dataset", "backbone", "embedding", *(f"val of {size}" for size in SIZES)),
        tuple(
            (one["dataset"], one["backbone"], one["embedding"],
             *("–" if str(size) not in one["cv_minus_val_linear"] else _gap(one["cv_minus_val_linear"][str(size)])
               for size in SIZES))
            for one in facts["stores"]
        ),
    )  # fmt: skip
    return [best, gains]


def _cell(rule: dict[str, Any] | None) -> str:
    return "–" if rule is None else f"{rule['auc']:.3f} ({_gap(rule['minus_today'])})"


def _gap(both: Sequence[float]) -> str:
    return f"{both[0]:+.3f} ± {both[1]:.3f}"


HEAD = """
Each row: {draws} re-splits of train and val alone; a fifth, drawn anew, stands for test, and of the rest a part of the
official share stands for val. Each cell: mean AUC on the held-out fifth, and in brackets its difference to the linear
head chosen on val, with the standard error over re-splits. `auto` is the best of all heads and of the means of two and
three of them. Test was not read. Stores of which fewer than {fewest} re-splits were measured are left out. Made by
`tools/simulate_choice.py`.

"""


def write(raw: Path) -> None:
    """Write the summary, and the section of the page."""
    facts = summary(records(raw))
    RESULTS.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    counts = sorted({one["draws"] for one in facts["stores"]})
    words = HEAD.format(draws=" to ".join(map(str, counts)), fewest=FEWEST_DRAWS)
    put_section(CHOICE, words + markdown(tables(facts)))
    print(f"wrote {RESULTS} and {PAGE}")


def main() -> None:
    """Measure, or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("measure", "write"))
    parser.add_argument("raw", type=Path)
    parser.add_argument("stores", nargs="*")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--until", help="begin no draw after this time of day")
    asked = parser.parse_args()
    if asked.what == "measure":
        measure_all(asked.raw, asked.stores, asked.draws, asked.until)
    else:
        write(asked.raw)


if __name__ == "__main__":
    main()
