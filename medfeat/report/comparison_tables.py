"""Comparisons with published results, and the course project's table, as words."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np

from medfeat.counted import counted
from medfeat.evaluation.compare import published
from medfeat.evaluation.compare.comparison import Beside, Comparison, CourseLine, Gap, beside
from medfeat.evaluation.compare.paired import Difference
from medfeat.evaluation.judging.baselines import BASELINE_BACKBONES
from medfeat.evaluation.runs import wording
from medfeat.evaluation.runs.apart import told_apart
from medfeat.evaluation.runs.run import Run, networks_of
from medfeat.report.tables import Table, number, with_interval
from medfeat_cache.commands import command

_SHOWN_RUNS = 3
_LEGEND = (
    "vs: ours minus published, AUC / ACC; • the published value lies inside our 95 % interval; ≠ the protocols differ"
    " (training or pixels), so it is no like-for-like comparison"
)
_CONFIDENCE = (
    "confidence: high = primary source, checked; medium = README or secondary table; low = known problem, no target"
)
_COURSE_NOTES = (
    "† low confidence: most of the course's OCT rows were trained on the official val split by mistake, and its VGG-16"
    " Blood figure comes from OCT data",
    "ours: probes of frozen features, the course fine-tuned its networks; the best run on val stands for each network",
)
_RANDOM_HEADS = ("xgboost", "mlp", "finetune")
_PAIR_COLUMNS = (
    "dataset", "run", "backbone", "px", "embedding", "head", "our training", "our pixels", "val AUC",
    "AUC", "AUC low", "AUC high", "ACC", "ACC low", "ACC high",
    "published", "training", "pixels", "published AUC", "published AUC std", "published ACC", "published ACC std",
    "AUC difference", "AUC inside", "ACC difference", "ACC inside", "differs in", "source", "confidence", "note",
    "our cautions",
)  # fmt: skip


def comparison_table(comparison: Comparison, *, shown: int = _SHOWN_RUNS) -> Table:
    """Return one table for people: our runs in bold, then every published row with a column for each of our best runs.

    Parameters
    ----------
    comparison
        From `medfeat.evaluation.compare.comparison.compare_dataset`.
    shown
        How many of our runs get a column, best on val first; `pair_table` has them all.
    """
    runs = _shown(comparison.runs, shown)
    columns = ("system", "val AUC", "training", "pixels", "AUC", "ACC", "source", "confidence", *_run_columns(runs))
    names = network_names(comparison.runs)
    ours = [_our_row(run, name, len(runs)) for run, name in zip(comparison.runs, names, strict=True)]
    theirs = [
        (
            row.system + (" (chosen on test)" if row.test_selected else ""),
            "",
            row.training,
            row.pixels,
            number(row.auc),
            number(row.acc),
            row.source,
            row.confidence,
            *(_cell(beside(run, row)) for run in runs),
        )
        for row in comparison.rows
    ]
    return Table(
        f"{comparison.dataset}: {len(ours)} of our runs beside {len(theirs)} published results",
        columns,
        (*ours, *theirs),
        tuple(_notes(comparison, shown)),
        strong=frozenset(range(len(ours))),
        less=("confidence", "source", *reversed(_run_columns(runs)), "val AUC", "ACC", "pixels"),
        prose=("system", "training", "pixels"),
        either=("AUC", "ACC"),
    )


def _shown(runs: Sequence[Run], shown: int) -> list[Run]:
    """Return the runs that get a column: networks before baselines, best on val first."""
    return sorted(runs, key=lambda run: run.backbone in BASELINE_BACKBONES)[:shown]


def _run_columns(runs: Sequence[Run]) -> list[str]:
    """Name each run's column, where networks and heads repeat with what tells them apart."""
    names = [f"vs {name} {run.head}" for run, name in zip(runs, networks_of(runs), strict=True)]
    alike = Counter(names)
    full = [
        ", ".join((f"vs {name} {run.head}", *wording.unusual(run.protocol)))
        for run, name in zip(runs, network_names(runs), strict=True)
    ]
    return [longer if alike[name] > 1 else name for name, longer in zip(names, full, strict=True)]


def network_names(runs: Sequence[Run]) -> list[str]:
    """Name the network of each run; where tables would show some alike, with its embedding and its settings."""
    shown = networks_of(runs)
    words = [
        (name, run.head, wording.trained(run.protocol), run.protocol["pixels"])
        for run, name in zip(runs, shown, strict=True)
    ]
    alike = Counter(words)
    named = [
        ", ".join(filter(None, (name, run.store["embedding"]))) if alike[one] > 1 else name
        for run, name, one in zip(runs, shown, words, strict=True)
    ]
    apart = told_apart(runs, list(zip(words, named, strict=True)), besides=wording.USUAL)
    return [", ".join(filter(None, both)) for both in zip(named, apart, strict=True)]


def cautions(run: Run) -> str:
    """Return what must stand beside a run's name, in brackets; nothing where nothing must."""
    return f" ({', '.join(run.cautions)})" if run.cautions else ""


def _our_row(run: Run, network: str, width: int) -> tuple[str, ...]:
    scores = with_interval(run.test.auc), with_interval(run.test.acc)
    return (
        f"ours: {network}{cautions(run)}",
        number(run.val.auc.value),
        wording.trained(run.protocol),
        run.protocol["pixels"],
        *scores,
        "this cache",
        "",
        *[""] * width,
    )


def _cell(pair: Beside) -> str:
    words = " / ".join(_gap(gap) for gap in (pair.auc, pair.acc))
    return f"{'≠ ' if pair.differs else ''}{words}"


def _gap(gap: Gap | None) -> str:
    return "–" if gap is None else f"{gap.difference:+.3f}{'•' if gap.inside else ''}"


def _notes(comparison: Comparison, shown: int) -> Iterable[str]:
    sources = published.sources()
    if comparison.runs:
        yield _LEGEND
        yield f"our intervals: test-set uncertainty of {counted(comparison.runs[0].test.n, 'sample')}"
    else:
        extract = command("extract", data=comparison.dataset, backbone="NAME")
        yield f"none of ours yet: {extract}, then {command('probe')}"
    yield from _seed_notes(comparison.runs)
    if len(comparison.runs) > shown:
        yield f"{len(comparison.runs) - shown} more of our runs have no column here: CSV and JSON hold every pair"
    yield _CONFIDENCE
    for name in dict.fromkeys(row.source for row in comparison.rows):
        yield f"{name}: {sources[name].citation}. {sources[name].caution}"


def _seed_notes(runs: Sequence[Run]) -> Iterable[str]:
    """Say how scores spread over seeds where a head was run with several; that is no confidence interval."""
    same: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        # A tuned network has a store of its own a seed; its settings say what was trained alike.
        tuned = run.protocol.get("fine_tuning")
        alike = run.store["digest"] if tuned is None else json.dumps([run.size, tuned], sort_keys=True)
        same.setdefault((run.backbone, run.head, alike, json.dumps(wording.made_with(run.protocol))), []).append(run)
    for (backbone, head, *_), repeated in same.items():
        group = list({run.protocol["seed"]: run for run in repeated}.values())  # one a seed, however often it was run
        if head in _RANDOM_HEADS and len(group) > 1:
            auc, acc = (np.std([getattr(run.test, name).value for run in group], ddof=1) for name in ("auc", "acc"))
            yield (
                f"{backbone}, {head}: over {len(group)} seeds the standard deviation is {auc:.4f} AUC and"
                f" {acc:.4f} ACC (spread over seeds, not a confidence interval)"
            )


def pair_table(comparison: Comparison) -> Table:
    """Return one row for each of our runs and each published row; published rows alone when nothing has been run."""
    runs = {run.key: run for run in comparison.runs}
    empty = () if comparison.runs else (Beside("", row, None, None, ()) for row in comparison.rows)
    rows = tuple(_pair_row(comparison.dataset, runs.get(pair.run), pair) for pair in chain(comparison.pairs, empty))
    return Table(comparison.dataset, _PAIR_COLUMNS, rows)


def _pair_row(dataset: str, run: Run | None, pair: Beside) -> tuple[str, ...]:
    row = pair.row
    ours = ("", *[""] * 13) if run is None else _run_words(run)
    scores = (row.auc, row.auc_std, row.acc, row.acc_std)
    return (
        dataset,
        *ours,
        row.system,
        row.training,
        row.pixels,
        *(_plain(value) for value in scores),
        *(word for gap in (pair.auc, pair.acc) for word in _gap_words(gap)),
        "; ".join(pair.differs),
        row.source,
        row.confidence,
        row.note,
        "; ".join(run.cautions) if run else "",
    )


def _run_words(run: Run) -> tuple[str, ...]:
    intervals = (run.test.auc, run.test.acc)
    return (
        run.key[:12],
        run.network,
        str(run.size),
        run.store["embedding"],
        run.head,
        run.protocol["training"],
        run.protocol["pixels"],
        *map(_digits, (run.val.auc.value, *(value for one in intervals for value in (one.value, one.low, one.high)))),
    )


def _digits(value: float) -> str:
    return f"{value:.6f}" if math.isfinite(value) else ""


def _gap_words(gap: Gap | None) -> tuple[str, str]:
    if gap is None:
        return "", ""
    return f"{gap.difference:.6f}", "" if gap.inside is None else "yes" if gap.inside else "no"


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def difference_table(differences: Sequence[tuple[str, Difference]], twins: Sequence[str] = ()) -> Table:
    """Return our best run on val against each other one, a line a pair and metric; `twins` says what counts once."""
    columns = ("dataset", "metric", "run", "minus", "difference", "p", "p by Holm")
    rows = tuple(
        (dataset, one.metric.upper(), one.first, one.second, with_interval(one.difference), number(one.p),
         number(one.p_holm))
        for dataset, one in differences
    )  # fmt: skip
    best = [
        f"the best of {dataset} on val: {first}"
        for dataset, first in dict.fromkeys((d, one.first) for d, one in differences)
    ]
    note = (
        "scores swapped in pairs, or a paired bootstrap for what is no AUC or ACC; p is two-sided, Holm's correction is"
        " over a metric's pairs"
    )
    return Table(
        "Our best run on val against the others",
        columns,
        rows,
        (*best, *twins, note),
        less=("p", "dataset", "run"),
        prose=("run", "minus"),
    )


def course_table(lines: Sequence[CourseLine]) -> Table:
    """Return the course project's table with a column of ours for each set that has been run on."""
    sets = published.COURSE_DATASETS
    columns = ("system", *(f"{name} {who} ACC" for name in sets for who in ("course", "our")))
    rows = tuple(
        (
            f"{line.system} (baseline)" if line.baseline else line.system,
            *(word for name in sets for word in (_their_acc(line, name), _our_acc(line, name))),
        )
        for line in lines
    )
    ran = sum(len(line.ours) for line in lines)
    note = (
        f"{ran} of {11 * len(sets)} have been run here; the others: {command('extract', data='NAME', backbone='NAME')}"
    )
    return Table("The course project's table", columns, rows, (*_COURSE_NOTES, note), prose=columns)


def _their_acc(line: CourseLine, dataset: str) -> str:
    row = line.theirs[dataset]
    return number(row.acc) + ("†" if row.confidence == "low" else "")


def _our_acc(line: CourseLine, dataset: str) -> str:
    run = line.ours.get(dataset)
    if run is None:
        return ""
    gap = run.test.acc.value - (line.theirs[dataset].acc or 0.0)
    return f"{with_interval(run.test.acc)} ({gap:+.3f}, {run.protocol['training']}, {run.protocol['pixels']})"
