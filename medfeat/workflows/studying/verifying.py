"""Whether the figures of a study are reproduced by this cache: bit for bit, within a tolerance, or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from medfeat.counted import counted
from medfeat.datasets import DATASETS
from medfeat.report.shown import Shown
from medfeat.report.tables import Table
from medfeat.workflows.studying.manifest import TOML, figures_of
from medfeat.workflows.studying.planning import Planned
from medfeat.workflows.studying.standing import DONE, LEFT_OUT, NOT_HERE

TOLERANCE = 0.01
"""Of every score; of a mean or a standard deviation of embeddings, and of errors in units, as a share of it."""
EQUAL, CLOSE, DIFFERS, AWAY, NOT_MADE, NOT_THEIRS = (
    "equal", "within tolerance", "differs", "data not here", "not made here", "not made there",
)  # fmt: skip
_RELATIVE = ("mean", "standard deviation", "mae", "rmse")


@dataclass(frozen=True)
class Checked:
    """A cell of somebody's study beside the same cell here.

    Attributes
    ----------
    cell, kind
        Which.
    verdict
        ``equal`` bit for bit, ``within tolerance``, ``differs``, ``data not here``, ``not made here``, or ``not made
        there``: it failed, or was left.
    off
        The figure that is furthest off, or why it is not here, in words; empty where nothing is.
    data
        Of which dataset.
    """

    cell: str
    kind: str
    verdict: str
    off: str = ""
    data: str = ""


@dataclass(frozen=True, repr=False)
class VerifyReport(Shown):
    """What became of every cell of a folder.

    Attributes
    ----------
    study, cells
        Its name, and each cell.
    tolerance
        Of what is no longer bit for bit the same.
    how
        The command that makes what is not made here.
    """

    study: str
    cells: tuple[Checked, ...]
    tolerance: float
    how: str

    @property
    def reproduced(self) -> bool:
        """Whether every cell that was made there is the same here."""
        return all(one.verdict in (EQUAL, CLOSE, NOT_THEIRS) for one in self.cells)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "study": self.study,
            "reproduced": self.reproduced,
            "tolerance": self.tolerance,
            "counts": dict(Counter(one.verdict for one in self.cells)),
            "cells": [asdict(one) for one in self.cells],
        }

    def tables(self) -> list[Table]:
        """Return how many cells of each kind are which, and each that is not equal."""
        verdicts = (EQUAL, CLOSE, DIFFERS, AWAY, NOT_MADE, NOT_THEIRS)
        rows = []
        for kind in dict.fromkeys(one.kind for one in self.cells):
            counts = Counter(one.verdict for one in self.cells if one.kind == kind)
            rows.append((kind, *(str(counts[verdict]) for verdict in verdicts)))
        notes = [f"equal: bit for bit; tolerance: {self.tolerance:g} of a score"]
        if any(one.verdict in (AWAY, NOT_MADE) for one in self.cells):
            notes.append(f"what is not made here is made by {self.how}")
        away = {one.data: one.off for one in self.cells if one.verdict == AWAY}
        notes += [f"data not here: {why}; --data-root FOLDER says where its files lie" if name in DATASETS else
                  f"data not here: {why}" for name, why in away.items()]  # fmt: skip
        table = Table(f"study {self.study} beside this cache", ("kind", *verdicts), tuple(rows), tuple(notes))
        others = tuple((one.kind, one.cell, one.verdict, one.off) for one in self.cells
                       if one.verdict not in (EQUAL, AWAY))  # fmt: skip
        listed = Table("not equal", ("kind", "cell", "", "furthest off"), others, prose=("furthest off",))
        return [table, listed] if others else [table]


def checked(
    cells: Sequence[Mapping[str, Any]], here: Mapping[str, Planned], *, tolerance: float = TOLERANCE
) -> tuple[Checked, ...]:
    """Compare each cell of a manifest with the one of the same key here.

    Parameters
    ----------
    cells
        Of the manifest.
    here
        What this cache knows, by key.
    tolerance
        See `TOLERANCE`.
    """
    held = {str(cell.get("weights_digest") or "") for cell in cells if cell["key"] in here}
    # a head that could not learn the task has no figures
    return tuple(_one(cell, here.get(cell["key"]), held, tolerance) for cell in cells if cell["state"] != LEFT_OUT)


def _one(cell: Mapping[str, Any], here: Planned | None, held: Collection[str], tolerance: float) -> Checked:
    name, kind, data = cell["cell"], cell["kind"], cell["data"]
    if cell["state"] != DONE:
        return Checked(name, kind, NOT_THEIRS, cell["why"])
    if here is None:
        return Checked(name, kind, NOT_MADE, _no_such(cell, held))
    if here.standing.state != DONE:
        away = here.standing.state == NOT_HERE
        said = f"{data}: {here.standing.why}" if away else here.standing.why
        return Checked(name, kind, AWAY if away else NOT_MADE, said, data)
    mine, theirs = figures_of(here), cell["figures"]
    if len(mine) != len(theirs):
        return Checked(name, kind, DIFFERS, f"{counted(len(mine), 'result')} here, {len(theirs)} there")
    pairs = list(zip(_in_order(mine), _in_order(theirs), strict=True))
    if all(one.get("bits") == other.get("bits") for one, other in pairs):
        return Checked(name, kind, EQUAL)
    worst, said = max((_furthest(one, other) for one, other in pairs), key=lambda found: found[0])
    return Checked(name, kind, CLOSE if worst <= tolerance else DIFFERS, said)


def _no_such(cell: Mapping[str, Any], held: Collection[str]) -> str:
    """Say why the study beside a manifest has no cell of it; `held` are the digests of weights that others have."""
    digest = str(cell.get("weights_digest") or "")
    if digest and digest not in held:
        return f"no cell of {TOML} has its weights ({digest[:20]}...): name a file that holds them as 'weights'"
    return f"{TOML} asks for no such cell here: its text was changed, or a package that brings a name is not installed"


def _in_order(figures: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(figures, key=lambda one: [str(one.get(name)) for name in ("layer", "pool", "slices", "embedding")])


def _furthest(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> tuple[float, str]:
    """Return the largest difference of two results, and which it is; one without the other is infinitely far off."""
    ours, known = mine["figures"], theirs.get("figures")
    if not isinstance(known, Mapping) or set(ours) != set(known):
        return float("inf"), "other figures"
    found = (0.0, "other scores of samples, the same figures")
    for name, value in ours.items():
        other = known[name]
        if not isinstance(value, int | float) or not isinstance(other, int | float):
            off = 0.0 if value == other else float("inf")
        else:
            scale = max(abs(value), abs(other), 1e-12) if name.rpartition(" ")[2] in _LAST else 1.0
            off = abs(value - other) / scale
        if off > found[0]:
            found = off, f"{name}: {_number(value)} here, {_number(other)} there"
    return found


_LAST = frozenset(name.rpartition(" ")[2] for name in _RELATIVE)


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) else str(value)
