"""What an audit found, as CSV files, JSON and tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from medfeat.evaluation.audit.duplicates import Calibration, Pair
from medfeat.evaluation.audit.label_errors import RATE, LabelError
from medfeat.evaluation.measures.evaluate import Metrics, without_nan
from medfeat.evaluation.runs.run import headline
from medfeat.report.run_tables import NAMES
from medfeat.report.shown import Shown
from medfeat.report.spreadsheet import write_csv
from medfeat.report.tables import Table, number, with_interval
from medfeat_cache import make_folder
from medfeat_cache.errors import saying

SHOWN = 20


_ANOTHER_OUT = "choose another --out"


@dataclass(frozen=True, repr=False)
class AuditReport(Shown):
    """What an audit of a store found.

    Attributes
    ----------
    dataset, backbone, task, task_type, head
        What was looked at; the task is empty when there are no labels.
    pairs
        Duplicates, those across splits first.
    calibration
        Where the line was drawn, and what it finds.
    label_errors
        Labels that are doubted, the most doubted first; those that are likely errors say so.
    before, after
        Test metrics of the run as it is, and without the test images that are in train or val too; None without labels.
    removed
        How many test images that were.
    embedded
        Augmented copies that were embedded for the calibration; stored images never are.
    notes
        Lines that must stand beside this.
    out
        The folder that was written, None when none was asked for.
    """

    dataset: str
    backbone: str
    pairs: tuple[Pair, ...]
    calibration: Calibration
    embedded: int
    task: str = ""
    task_type: str = ""
    head: str = ""
    label_errors: tuple[LabelError, ...] = ()
    before: Metrics | None = None
    after: Metrics | None = None
    removed: int = 0
    notes: tuple[str, ...] = ()
    out: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        facts = {
            "dataset": self.dataset,
            "backbone": self.backbone,
            "task": self.task,
            "head": self.head,
            "calibration": asdict(self.calibration),
            "duplicates": [asdict(pair) | {"across": pair.across} for pair in self.pairs],
            "label_errors": [asdict(error) for error in self.label_errors],
            "removed": self.removed,
            "test": None if self.before is None else self.before.to_dict(),
            "test_without_duplicates": None if self.after is None else self.after.to_dict(),
            "embedded": self.embedded,
            "notes": list(self.notes),
            "out": None if self.out is None else str(self.out),
        }
        plain: dict[str, Any] = without_nan(facts)
        return plain

    def write(self, out: Path) -> None:
        """Write `duplicates.csv` and `label_errors.csv` into a folder."""
        with saying(out, "writing the audit to", _ANOTHER_OUT):
            make_folder(out)
        names = [*Pair.__dataclass_fields__, "across"]
        pairs = ({**asdict(pair), "across": pair.across} for pair in self.pairs)
        _write(out / "duplicates.csv", names, pairs)
        errors = (asdict(error) for error in self.label_errors)
        _write(out / "label_errors.csv", list(LabelError.__dataclass_fields__), errors)

    def tables(self) -> list[Table]:
        """Return duplicates by split, the scores without them, and the likeliest label errors."""
        tables = [self._duplicates()]
        if self.before is not None and self.after is not None:
            tables.append(self._scores(self.before, self.after))
        if self.task_type != "regression" and self.task:
            tables.append(self._errors())
        return tables

    def _duplicates(self) -> Table:
        counts: dict[tuple[str, str, str], list[Pair]] = {}
        for pair in self.pairs:
            counts.setdefault((pair.kind, pair.split_first, pair.split_second), []).append(pair)
        rows = tuple(
            (kind, f"{a} and {b}" if a != b else a, str(len(found)), str(_conflicts(found)),
             f"{found[0].first} = {found[0].second}")
            for (kind, a, b), found in counts.items()
        )  # fmt: skip
        columns = ("duplicates", "splits", "pairs", "labels differ", "such as")
        return Table(f"{self.dataset}: images that are there twice", columns, rows, (*self._lines(), *self.notes),
                     less=("such as", "labels differ"))  # fmt: skip

    def _lines(self) -> list[str]:
        line = self.calibration
        if line.detail is None and line.threshold >= 1.0:
            return []  # nothing was near enough to be looked at, and a note says why
        near = f"near: cosine of {self.backbone} embeddings at least {line.threshold:.4f}"
        if line.detail is None:
            return [f"{near}; the images themselves were not looked at"]
        lines = [f"{near}, and correlation of fine detail at least {line.detail:.3f}"]
        if line.found:
            share = ", ".join(f"{kind} {part:.0%}" for kind, part in line.found.items())
            lines.append(f"calibrated on {line.copies} augmented copies; found of these: {share}")
            lines.append(f"{line.strangers:.1%} of the sampled images have a stored image that passes as their copy")
        return lines

    def _scores(self, before: Metrics, after: Metrics) -> Table:
        best, other = headline(self.task_type)
        rows = tuple(
            (name, str(found.n), with_interval(found.values[best]), with_interval(found.values[other]))
            for name, found in (("as it is", before), ("without duplicates", after))
        )
        title = f"{self.dataset}: {self.head} on {self.backbone}, test without images that are in train or val too"
        return Table(title, ("test", "n", NAMES[best], NAMES[other]), rows, less=(NAMES[other],))

    def _errors(self) -> Table:
        rows = tuple(
            (one.id, one.split, one.label, one.suggested, number(one.probability), number(one.margin))
            for one in self.label_errors[:SHOWN]
        )
        likely, doubted = sum(one.likely for one in self.label_errors), len(self.label_errors)
        columns = ("id", "split", "label", "suggested", "probability of label", "margin")
        more = doubted - len(rows)
        notes = [f"{more} more in label_errors.csv and --json"] if more > 0 else []
        notes.append(
            f"likely: were {RATE:.0%} of labels wrong, half of those doubted so much would be; the others "
            "this head cannot tell from labels that are right"
        )
        notes.append("by cross-validated scores: look at each before changing a label")
        title = f"{self.dataset}: {likely} likely label errors among {doubted} doubted labels"
        return Table(title, columns, rows, tuple(notes), less=("margin", "split"), prose=("label", "suggested"))


def _conflicts(pairs: Sequence[Pair]) -> int:
    return sum(pair.same_label is False for pair in pairs)


def _write(path: Path, names: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    cells = ([_cell(row.get(name)) for name in names] for row in rows)
    write_csv(path, chain([names], cells), "writing the audit", _ANOTHER_OUT)


def _cell(value: Any) -> Any:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value
