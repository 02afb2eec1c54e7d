"""What a study would do: which cells are there, which are missing, and what these take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from medfeat.counted import counted
from medfeat.errors import MedfeatError
from medfeat.report.shown import Shown
from medfeat.report.tables import Table
from medfeat.types import Progress, SilentProgress
from medfeat.workflows.studying import requests
from medfeat.workflows.studying.cells import Cell
from medfeat.workflows.studying.doing import machine_here, work_of
from medfeat.workflows.studying.keys import EMBEDDING, KINDS, TRAINING
from medfeat.workflows.studying.notes import all_notes
from medfeat.workflows.studying.rates import Rates
from medfeat.workflows.studying.requests import Here
from medfeat.workflows.studying.standing import DONE, LEFT_OUT, NOT_HERE, Known, Standing, waiting_for
from medfeat.workflows.tuning.finetune_plan import plan as plan_training

_SHOWN = 60
"""So many missing cells are listed one by one."""


@dataclass(frozen=True)
class Planned:
    """A cell, what is known of it, and what it would take; None where nobody knows."""

    cell: Cell
    standing: Standing
    seconds: float | None = 0.0
    disk_bytes: int | None = 0

    @property
    def to_do(self) -> bool:
        """Whether there is anything to make."""
        return self.standing.state not in (DONE, LEFT_OUT)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        state, why = self.standing.state, self.standing.why
        return {"cell": self.cell.name, "kind": self.cell.kind, "key": self.cell.key, "state": state, "why": why,
                "seconds": self.seconds, "passes": self.standing.passes, "disk_bytes": self.disk_bytes}  # fmt: skip


@dataclass(frozen=True, repr=False)
class StudyPlan(Shown):
    """What a study would do.

    Attributes
    ----------
    name
        Of the study.
    cells
        All of them, in the order in which they are done.
    """

    name: str
    cells: tuple[Planned, ...]

    @property
    def missing(self) -> tuple[Planned, ...]:
        """What would be made."""
        return tuple(one for one in self.cells if one.to_do)

    @property
    def seconds(self) -> float:
        """How long that takes, as far as it is known; of one worker."""
        return sum(one.seconds or 0.0 for one in self.missing)

    @property
    def unknown(self) -> int:
        """Of how many of them nobody knows how long they take."""
        return sum(one.seconds is None for one in self.missing)

    @property
    def disk_bytes(self) -> int:
        """The room that takes, as far as it is known."""
        return sum(one.disk_bytes or 0 for one in self.missing)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "study": self.name,
            "cells": [one.to_dict() for one in self.cells],
            "missing": len(self.missing),
            "seconds": self.seconds,
            "seconds_unknown": self.unknown,
            "disk_bytes": self.disk_bytes,
        }

    def tables(self) -> list[Table]:
        """Return a row a kind, then a row a missing cell."""
        rows = []
        for kind in KINDS:
            mine = [one for one in self.cells if one.cell.kind == kind]
            if mine:
                part = replace(self, cells=tuple(mine))
                states = Counter(one.standing.state for one in mine)
                counts = (str(len(mine)), str(states[DONE]), str(states[LEFT_OUT]), str(len(part.missing)))
                rows.append((kind, *counts, part.time(), f"{part.disk_bytes / 1e6:.1f} MB"))
        columns = ("kind", "cells", "there", "left out", "missing", "time", "disk")
        notes = [f"time of all that is missing: {self.time()}"]
        away = sorted({one.cell.data for one in self.cells if one.standing.state == NOT_HERE})
        notes += [f"data not here: {', '.join(away)}"] if away else []
        table = Table(f"study {self.name}: {counted(len(self.cells), 'cell')}", columns, tuple(rows), tuple(notes))
        missing = self.missing[:_SHOWN]
        listed = tuple((one.cell.kind, one.cell.name, _duration(one.seconds), one.standing.why) for one in missing)
        more = (f"and {len(self.missing) - _SHOWN} more",) if len(self.missing) > _SHOWN else ()
        each = Table("missing", ("kind", "cell", "time", "why"), listed, more, less=("why",), prose=("why",))
        return [table, each] if listed else [table]

    def time(self) -> str:
        """Say how long what is missing takes."""
        if self.missing and self.unknown == len(self.missing):
            return "not known"
        more = f" and {counted(self.unknown, 'cell')} not known" if self.unknown else ""
        return f"{_duration(self.seconds)}{more}"


def plan_of(
    name: str,
    cells: Sequence[Cell],
    here: Here,
    progress: Progress | None = None,
    *,
    theirs: Mapping[str, Mapping[str, Any]] | None = None,
) -> StudyPlan:
    """Ask the cache of every cell; nothing is fetched, loaded, embedded or trained.

    Parameters
    ----------
    name, cells
        Of a study.
    here
        The machine.
    progress
        Told how far it is.
    theirs
        As `Known` takes them.
    """
    known, progress = Known(here, theirs), progress or SilentProgress()
    rates = Rates(all_notes(here.root), machine_here(here))
    found: dict[str, Planned] = {}
    progress.start(len(cells), "looking for what is there", "cells")
    for cell in cells:
        embedded = None if cell.of is None else found[cell.of.key].standing
        # each embedding is asked for once, however many heads wait for it
        left = embedded is not None and embedded.state != DONE
        standing = waiting_for(embedded) if embedded is not None and left else known.of(cell)
        seconds, disk = _needs(cell, standing, found, rates=rates, here=here)
        found[cell.key] = Planned(cell, standing, seconds, disk)
        progress.advance(1)
    progress.finish()
    return StudyPlan(name, tuple(found.values()))


def _needs(
    cell: Cell, standing: Standing, found: dict[str, Planned], *, rates: Rates, here: Here
) -> tuple[float | None, int | None]:
    """Return seconds and bytes that a cell would take."""
    if standing.state in (DONE, LEFT_OUT):
        return 0.0, 0
    if cell.kind == EMBEDDING:
        # a note knows all that an embedding takes, the pace of a network but its run
        known = rates.seconds(cell, standing.passes)
        return standing.seconds if known is None else known, standing.disk_bytes
    if cell.kind == TRAINING:
        return _training(cell, rates, here)
    assert cell.of is not None  # what reads an embedding has one
    embedded = found[cell.of.key]
    done = embedded.standing.state == DONE
    work = work_of(embedded.standing.stores) if done else embedded.standing.disk_bytes
    if rates.foresees_unsuited(cell):
        return 0.0, 0
    return rates.seconds(cell, work), 0


def _training(cell: Cell, rates: Rates, here: Here) -> tuple[float | None, int | None]:
    seconds = rates.seconds(cell, None)
    try:
        planned = plan_training(requests.training_request(cell, here), progress=SilentProgress())
    except (MedfeatError, OSError):  # said when its turn comes
        return seconds, None
    return planned.seconds if seconds is None else seconds, planned.kept_bytes


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "not known"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
