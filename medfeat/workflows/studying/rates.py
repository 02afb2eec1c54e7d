"""How long a cell will take: as long as one like it took on this machine, by how much there is to do; or not known."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from medfeat.workflows.studying.cells import Cell
from medfeat.workflows.studying.keys import EMBEDDING, TRAINING
from medfeat.workflows.studying.notes import Note, said

# What tells two cells apart, and hardly changes how long each takes for its amount of work.
_ALIKE = frozenset(
    {"data", "backbone", "weights", "seed", "size", "layer", "pool", "slices", "relabel", "drop", "keep"}
)
# Of a network, its name is most of the time an image takes.
_OF_NETWORK = frozenset({"data", "seed"})
# Beyond so many times as much work, or as little, nobody knows.
_FARTHEST = math.log(100.0)


class Rates:
    """Looks up the notes of cells that were made for those that tell how long the next one will take.

    Parameters
    ----------
    notes
        Of a cache.
    machine
        As `medfeat.workflows.studying.doing.machine_here` names it.
    """

    def __init__(self, notes: Iterable[Note], machine: str) -> None:
        mine = (note for note in notes if note.machine == machine and note.seconds > 0)
        self._known: dict[str, list[Note]] = {}
        for note in mine:
            self._known.setdefault(_form(note.kind, note.options), []).append(note)

    def seconds(self, cell: Cell, work: float | None) -> float | None:
        """Return the seconds a cell will take, None where nothing tells.

        Parameters
        ----------
        cell
            Which.
        work
            Bytes of the embeddings it reads or makes; None where nobody knows, as of a training.
        """
        options = said(cell)
        known = self._known.get(_form(cell.kind, options), [])
        same = [note for note in known if note.options.get("data") == options.get("data")]
        if not work:
            return _middle([note.seconds for note in same])
        near = [note for note in known if note.work and abs(math.log(work / note.work)) <= _FARTHEST]
        if not near:
            return None
        nearest = min(near, key=lambda note: (note not in same, abs(math.log(work / note.work))))
        return nearest.seconds * work / nearest.work


def _form(kind: str, options: Mapping[str, Any]) -> str:
    """Spell what a cell has in common with those that take as long for as much work."""
    apart = _OF_NETWORK if kind in (EMBEDDING, TRAINING) else _ALIKE
    return repr((kind, sorted((name, str(value)) for name, value in options.items() if name not in apart)))


def _middle(seconds: list[float]) -> float | None:
    return sorted(seconds)[len(seconds) // 2] if seconds else None
