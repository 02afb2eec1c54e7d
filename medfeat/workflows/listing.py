"""What there is to choose from: datasets, backbones, heads, published results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from medfeat.comma_lists import as_names
from medfeat.errors import unknown_name
from medfeat.report.tables import Table


@dataclass(frozen=True)
class Listing:
    """A table of names and what a person needs to choose among them."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    problems: tuple[str, ...] = ()
    less: tuple[str, ...] = ()
    prose: tuple[str, ...] = ()

    def tables(self) -> list[Table]:
        """Return one row a name."""
        return [Table("", self.columns, self.rows, less=self.less, prose=self.prose)]

    def to_dict(self) -> dict[str, Any]:
        """Return one plain JSON object a row, and a line for each name that an installed package brings broken."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {"rows": rows, **({"problems": list(self.problems)} if self.problems else {})}


def listing(kind: str, *, data: str | None = None) -> Listing:
    """List everything of one kind.

    Parameters
    ----------
    kind
        ``datasets``, ``backbones``, ``heads`` or ``published``.
    data
        For ``published``: a dataset, None for all of them.

    Raises
    ------
    UsageError
        When there is no such kind.
    """
    if kind not in _KINDS:
        raise unknown_name("list", kind, _KINDS)
    return _KINDS[kind](data)


def _datasets(_data: str | None) -> Listing:
    from medfeat.datasets import DATASETS, dataset_names, describe

    rows, problems = [], DATASETS.problems()
    for name in (name for name in dataset_names() if name not in problems):
        entry = describe(name)
        counts = "/".join(str(count) for count in entry.counts.values())
        sizes = ", ".join(str(size) for size in entry.sizes)
        task, classes = entry.task or "none", str(len(entry.classes))
        rows.append((name, task, classes, f"{entry.ndim}D", counts, sizes, entry.licence))
    columns = ("name", "task", "classes", "kind", "train/val/test", "sizes", "licence")
    less = ("licence", "sizes", "kind", "classes")
    return Listing(columns, tuple(rows), tuple(problems.values()), less, prose=("train/val/test", "licence"))


def _backbones(_data: str | None) -> Listing:
    from medfeat.backbones import BACKBONES, backbone_names, describe

    problems = BACKBONES.problems()
    infos = [describe(name) for name in backbone_names() if name not in problems]
    columns = ("name", "source", "weights", "input", "filter", "pool", "licence", "pretraining", "overlap", "note")
    return Listing(
        columns,
        tuple(
            (
                info.name,
                info.source,
                info.source_id,
                f"{info.input_size} px" if info.input_size else "as it is",
                info.interpolation,
                info.pool,
                info.licence,
                info.pretraining,
                ", ".join(info.overlap) or "none known",
                info.note,
            )
            for info in infos
        ),
        tuple(problems.values()),
        less=("note", "filter", "pool", "input", "pretraining", "overlap", "licence", "weights"),
        prose=("licence", "pretraining", "overlap", "note"),
    )


def _heads(_data: str | None) -> Listing:
    from medfeat.heads import HEADS, describe

    problems = HEADS.problems()
    rows = tuple((name, describe(name)) for name in HEADS if name not in problems)
    return Listing(("name", "what it is"), rows, tuple(problems.values()), prose=("what it is",))


def _published(data: str | None) -> Listing:
    from medfeat.evaluation.compare import published

    datasets = published.datasets() if data in (None, "all") else as_names(data)
    columns = ("dataset", "method", "protocol", "AUC", "ACC", "source", "confidence", "note")
    rows = [
        (
            row.dataset,
            row.system,
            row.protocol,
            _score(row.auc),
            _score(row.acc),
            row.source,
            row.confidence,
            row.note,
        )
        for dataset in datasets
        for row in published.rows(dataset)
    ]
    less = ("note", "confidence", "source", "protocol")
    return Listing(columns, tuple(rows), less=less, prose=("method", "protocol", "note"))


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


_KINDS: dict[str, Callable[[str | None], Listing]] = {
    "datasets": _datasets,
    "backbones": _backbones,
    "heads": _heads,
    "published": _published,
}
