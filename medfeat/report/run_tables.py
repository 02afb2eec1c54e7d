"""Our own runs as tables: sorted by val, val first, so that nobody chooses on test."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from medfeat.cost import total_energy
from medfeat.evaluation.judging.baselines import BASELINE_BACKBONES
from medfeat.evaluation.judging.best_run import best_run
from medfeat.evaluation.judging.select_stores import Selection
from medfeat.evaluation.measures.evaluate import Metrics
from medfeat.evaluation.runs import wording
from medfeat.evaluation.runs.apart import told_apart
from medfeat.evaluation.runs.run import Run, networks_of
from medfeat.report.tables import Table, number, with_interval
from medfeat.tasks import OFFICIAL

NAMES = {"auc": "AUC", "acc": "ACC", "r2": "R2", "mae": "MAE"}


def runs_tables(runs: Sequence[Run], *, baselines: Sequence[Run] = ()) -> list[Table]:
    """Return one table a dataset and task: runs, baseline runs and the majority class, sorted by val.

    Parameters
    ----------
    runs
        What was asked for.
    baselines
        Runs to be shown beside them, marked as baselines.
    """
    extra = {run.key for run in baselines}
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in {run.key: run for run in (*runs, *baselines)}.values():
        groups.setdefault((run.shown, run.task["name"]), []).append(run)
    return [_table(group, extra) for group in groups.values()]


def _table(runs: Sequence[Run], extra: set[str]) -> Table:
    first = runs[0]
    best, other = first.headline
    ordered = sorted(runs, key=lambda run: -_sortable(run.val.values[best].value))
    scores = (f"val {NAMES[best]}", f"test {NAMES[best]}", f"test {NAMES[other]}")
    names, costs = ("backbone", "px", "embedding", "head", "chosen on val"), ("extract s", "probe s", "Wh")
    columns = (*names, *scores, *costs, "run", "note")
    rows = [_row(run, name, run.key in extra) for run, name in zip(ordered, networks_of(ordered), strict=True)]
    rows += _majority(first)
    table = Table(_title(first), columns, tuple(rows), (*_notes(ordered), *_grades(first), *_numbers(ordered)),
                  less=("Wh", "extract s", "probe s", "chosen on val", scores[2], "embedding", "px", "run"),
                  prose=("chosen on val", "note"), either=scores[1:])  # fmt: skip
    return _with_settings(table, ordered, besides=wording.USUAL)  # which the note says


def _notes(runs: Sequence[Run]) -> list[str]:
    """Return what is to be known of runs, once each, with the networks it is said of."""
    said: dict[str, dict[str, None]] = {}
    for run in runs:
        for note in run.notes:
            said.setdefault(note, {})[run.network] = None
    everyone = len({run.network for run in runs})
    return [f"{'all' if len(names) == everyone > 1 else ', '.join(names)}: {note}" for note, names in said.items()]


def _grades(run: Run) -> list[str]:
    """Return the scale of an ordinal task: a wrong order is seen where it is shown."""
    ordinal = run.task["type"] == "ordinal-regression"
    return [f"grades from least to most: {' < '.join(run.task['classes'])}"] if ordinal else []


def _numbers(runs: Sequence[Run]) -> list[str]:
    """Return the other metrics of a regression, which have no column of their own."""
    return [
        f"{run.network}, {run.head}: test RMSE {with_interval(run.test.values['rmse'])}, "
        f"Spearman {with_interval(run.test.values['spearman'])}"
        for run in runs
        if run.task["type"] == "regression"
    ]


def _majority(run: Run) -> list[tuple[str, ...]]:
    best, other = run.headline
    return [
        (name, *[""] * 4, *map(number, (of["val"][best], of["test"][best], of["test"][other])), *[""] * 4, "baseline")
        for name, of in run.baselines.items()
    ]


def _row(run: Run, network: str, baseline: bool) -> tuple[str, ...]:
    best, other = run.headline
    extraction, probe = run.costs["extraction"], run.costs["probe"]
    remarks = list(run.cautions)
    remarks += wording.unusual(run.protocol)
    remarks += ["baseline"] if baseline or run.backbone in BASELINE_BACKBONES else []
    return (
        network,
        str(run.size or "own"),
        run.store["embedding"],
        run.head,
        wording.chosen(run.choice["settings"]),
        number(run.val.values[best].value),
        with_interval(run.test.values[best]),
        with_interval(run.test.values[other]),
        number(extraction.get("seconds"), 1),
        number(probe["seconds"], 1),
        number(total_energy((extraction, probe)), 2),
        run.key[:12],
        ", ".join(remarks),
    )


def selection_tables(selections: Iterable[Selection]) -> list[Table]:
    """Return what val chose among, one table a dataset, the chosen one first and in bold."""
    columns = ("backbone", "px", "embedding", "head", "chosen on val", "val", "val, second")
    tables = []
    for one in selections:
        winner = one.contenders[one.chosen]
        ordered = sorted(one.contenders, key=lambda c: (c is not winner, -c.best.first))
        names = wording.networks((c.backbone, c.weights) for c in ordered)
        rows = tuple(
            (name, str(c.size or "own"), c.embedding, c.head, wording.chosen(c.best.settings), number(c.best.first),
             number(c.best.second))
            for name, c in zip(names, ordered, strict=True)
        )  # fmt: skip
        title = f"{one.dataset}: chosen among {len(rows)} by {one.rule}"
        less = ("val, second", "chosen on val", "embedding", "px")
        tables.append(Table(title, columns, rows, strong=frozenset({0}), less=less, prose=("chosen on val",)))
    return tables


def class_tables(runs: Iterable[Run]) -> list[Table]:
    """Return the table of classes of each run's test scores."""
    return [
        Table(
            f"{run.shown}: {run.network}, {run.head}, classes of test",
            ("class", "support", "precision", "recall", "F1", "AUC"),
            tuple(
                (row.name, str(row.support), *map(number, (row.precision, row.recall, row.f1, row.auc)))
                for row in run.test.per_class
            ),
            run.test.notes,
            less=("precision", "recall"),
        )
        for run in runs
    ]


def listed_tables(runs: Sequence[Run]) -> list[Table]:
    """Return one row a run, with what it is called by, in a table for each dataset and task."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(_title(run), []).append(run)
    columns = ("key", "backbone", "px", "embedding", "head", "val", "test", "made")
    less = ("made", "embedding", "px", "val")
    return [
        _with_settings(
            Table(title, columns, tuple(map(_listed, mine, networks_of(mine))), _best(mine), less=less), mine
        )
        for title, mine in groups.items()
    ]


def _with_settings(table: Table, runs: Sequence[Run], *, besides: Collection[str] = ()) -> Table:
    """Return a table of runs with a column of the settings in which some differ that it shows alike, if any do.

    Parameters
    ----------
    table
        Its first rows are those of the runs.
    runs
        In its order.
    besides
        Names of settings that a column of the table says.
    """
    at = [table.columns.index(name) for name in ("backbone", "px", "embedding", "head")]
    words = told_apart(runs, [tuple(row[i] for i in at) for row in table.rows[: len(runs)]], besides=besides)
    if not any(words):
        return table
    place = at[-1] + 1
    words += [""] * (len(table.rows) - len(runs))
    rows = ((*row[:place], said, *row[place:]) for row, said in zip(table.rows, words, strict=True))
    columns = (*table.columns[:place], "settings", *table.columns[place:])
    return replace(table, columns=columns, rows=tuple(rows), prose=(*table.prose, "settings"))


def _best(runs: Sequence[Run]) -> tuple[str, ...]:
    """Say which run `best` means where that is not the first one of the list."""
    found = best_run(runs)
    return () if found.run is runs[0] else (found.line(),)


def _listed(run: Run, network: str) -> tuple[str, ...]:
    best, _ = run.headline
    return (
        run.key[:12],
        network,
        str(run.size or "own"),
        run.store["embedding"],
        run.head,
        f"{NAMES[best]} {number(run.val.values[best].value)}",
        with_interval(run.test.values[best]),
        run.created_utc[:16].replace("T", " "),
    )


def _title(run: Run) -> str:
    return run.shown if run.task["name"] == OFFICIAL else f"{run.shown}, task {run.task['name']}"


def confusion_table(run: Run) -> Table:
    """Return how often each class of test was taken for each other one."""
    names = run.task["classes"]
    rows = tuple(
        (name, *(str(count) for count in counts)) for name, counts in zip(names, run.test.confusion, strict=True)
    )
    return Table(f"{run.shown}: {run.network}, {run.head}, confusion on test", ("truth", *names), rows,
                 ("rows: true class; columns: the class that was given",))  # fmt: skip


def patient_table(test: Metrics, metrics: Sequence[str], left_out: int) -> Table:
    """Return scores in which each patient is one sample, whose score is the mean over its images."""
    rows = ((f"{test.n:,}", *(with_interval(test.values[name]) for name in metrics)),)
    notes = ["the score of a patient is the mean over its images; in brackets: 95 % interval over patients"]
    notes += [f"{left_out:,} patients have images of different labels and are left out"] if left_out else []
    return Table("By patient", ("patients of test", *(f"test {NAMES[name]}" for name in metrics)), rows,
                 (*notes, *test.notes))  # fmt: skip


def _sortable(value: float) -> float:
    return value if value == value else float("-inf")  # noqa: PLR0124 - NaN sorts last
