"""Our runs beside published results: the difference, whether it matters, and where the protocols part."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from medfeat.evaluation.compare import published
from medfeat.evaluation.compare.published import PublishedRow
from medfeat.evaluation.measures.evaluate import without_nan
from medfeat.evaluation.runs.run import Run
from medfeat.tasks import OFFICIAL
from medfeat.types import Interval

_TRAINING_ORDER = (
    "linear probe",
    "kNN",
    "frozen, larger head",
    "frozen, classifier not stated",
    "fine-tuned",
    "from scratch",
    "end-to-end",
    "AutoML",
)


@dataclass(frozen=True)
class Gap:
    """Ours minus published for one metric, and whether the published value lies in our interval (None without one)."""

    difference: float
    inside: bool | None


@dataclass(frozen=True)
class Beside:
    """One run beside one published row.

    Attributes
    ----------
    run
        Key of ours.
    row
        The published one.
    auc, acc
        None where the row does not give that metric, or ours is undefined.
    differs
        In what the protocols differ, in words; empty when they are alike in training and pixels.
    """

    run: str
    row: PublishedRow
    auc: Gap | None
    acc: Gap | None
    differs: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Everything about one dataset: our runs (best on val first), the published rows, and each pair of both.

    The pairs are made when they are asked for, one at a time: of thousands of runs there are hundreds of thousands, and
    a table shows those of a few.
    """

    dataset: str
    runs: tuple[Run, ...]
    rows: tuple[PublishedRow, ...]
    task: str = OFFICIAL

    @property
    def pairs(self) -> Iterator[Beside]:
        """Each run beside each published row, run after run."""
        return (beside(run, row) for run in self.runs for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; runs by key and scores, the whole of them is in their folders."""
        place = {id(row): i for i, row in enumerate(self.rows)}
        facts: dict[str, Any] = without_nan(
            {
                "dataset": self.dataset,
                "task": self.task,
                "runs": [_run_facts(run) for run in self.runs],
                "published": [asdict(row) for row in self.rows],
                "pairs": [
                    {
                        "run": pair.run,
                        "published": place[id(pair.row)],
                        "auc": asdict(pair.auc) if pair.auc else None,
                        "acc": asdict(pair.acc) if pair.acc else None,
                        "differs": list(pair.differs),
                    }
                    for pair in self.pairs
                ],
            }
        )
        return facts


def compare_dataset(dataset: str, runs: Sequence[Run]) -> Comparison:
    """Put runs on a dataset's own task beside every published row of it.

    Parameters
    ----------
    dataset
        A MedMNIST name.
    runs
        Any runs; those of other datasets and tasks are left out.
    """
    mine = [run for run in runs if run.dataset == dataset and run.task["name"] == "official"]
    mine.sort(key=_val_auc, reverse=True)
    rows = sorted(published.rows(dataset), key=lambda row: _row_order(row, mine[0] if mine else None))
    return Comparison(dataset, tuple(mine), tuple(rows))


def own_comparisons(dataset: str, runs: Sequence[Run]) -> list[Comparison]:
    """Put runs on images of one's own beside each other, a question at a time; nothing is published on them."""
    mine = [run for run in runs if run.shown == dataset]  # of several versions each has its own test
    return [
        Comparison(dataset, tuple(sorted((run for run in mine if run.task["name"] == task), key=_val_first)), (), task)
        for task in dict.fromkeys(run.task["name"] for run in mine)
    ]


def beside(run: Run, row: PublishedRow) -> Beside:
    """Compare one run with one published row."""
    return Beside(run.key, row, _gap(run.test.auc, row.auc), _gap(run.test.acc, row.acc), _differences(run, row))


def _gap(ours: Interval, theirs: float | None) -> Gap | None:
    if theirs is None or ours.value != ours.value:
        return None
    unknown = ours.low != ours.low  # NaN: the run has no interval
    return Gap(ours.value - theirs, None if unknown else ours.low <= theirs <= ours.high)


def _differences(run: Run, row: PublishedRow) -> tuple[str, ...]:
    found = []
    if row.training != run.protocol["training"]:
        found.append(row.training)
    if row.pixels != run.protocol["pixels"]:
        found.append(row.pixels)
    if row.test_selected:
        found.append("epoch chosen on test")
    if run.protocol["refit"]:
        found.append("ours refitted on train+val")
    if run.protocol.get("choose") == "cv":
        found.append("ours cross-validated over train+val")
    return tuple(found)


def _row_order(row: PublishedRow, run: Run | None) -> tuple[Any, ...]:
    """Order rows: those nearest to our protocol first, then by training, image size and score."""
    far: tuple[bool, ...] = ()
    if run is not None:
        protocol = run.protocol
        far = (row.training != protocol["training"], row.native_size != run.size, row.pixels != protocol["pixels"])
    words = _TRAINING_ORDER.index(row.training), row.native_size or 0, row.pixels
    return far, words, -(row.auc or 0), -(row.acc or 0), row.system


def _val_first(run: Run) -> float:
    """Return what sorts the best on val first, by the first metric of its task."""
    value = run.val.values[run.headline[0]].value
    return -value if value == value else math.inf  # noqa: PLR0124 - NaN sorts last


def _val_auc(run: Run) -> float:
    value = run.val.auc.value
    return value if value == value else -1.0  # noqa: PLR0124 - NaN sorts last


def _run_facts(run: Run) -> dict[str, Any]:
    return {
        "key": run.key,
        "backbone": run.backbone,
        "head": run.head,
        "size": run.size,
        "embedding": run.store["embedding"],
        "protocol": dict(run.protocol),
        "val": {name: asdict(run.val.values[name]) for name in run.headline},
        "test": {"n": run.test.n} | {name: asdict(run.test.values[name]) for name in run.headline},
        "cautions": list(run.cautions),
        "folder": str(run.folder),
    }


@dataclass(frozen=True)
class CourseLine:
    """One line of the course project's table: its accuracy, and ours for the same network where it has been run."""

    system: str
    baseline: bool
    theirs: dict[str, PublishedRow]
    ours: dict[str, Run]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        facts: dict[str, Any] = without_nan(
            {
                "system": self.system,
                "baseline": self.baseline,
                "published": {dataset: asdict(row) for dataset, row in self.theirs.items()},
                "ours": {dataset: _run_facts(run) for dataset, run in self.ours.items()},
            }
        )
        return facts


def course_lines(runs: Sequence[Run]) -> list[CourseLine]:
    """Return the course project's table, 11 systems and five baselines, with our best run on val beside each."""
    tables = {dataset: {row.system: row for row in published.course(dataset)} for dataset in published.COURSE_DATASETS}
    first = tables[published.COURSE_DATASETS[0]]
    return [
        CourseLine(
            system,
            row.quoted,
            {dataset: table[system] for dataset, table in tables.items()},
            {} if row.quoted else _best_runs(runs, published.COURSE_SYSTEMS[system]),
        )
        for system, row in first.items()
    ]


def _best_runs(runs: Sequence[Run], backbones: tuple[str, ...]) -> dict[str, Run]:
    found = {}
    for dataset in published.COURSE_DATASETS:
        mine = [
            run
            for run in runs
            if run.dataset == dataset and run.backbone in backbones and run.task["name"] == "official"
            and "random weights" not in run.cautions
        ]  # fmt: skip
        if mine:
            found[dataset] = max(mine, key=_val_auc)
    return found
