"""How long a cell will take: as long as one like it took on this machine, by how much there is to do; or not known."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from medfeat.backbones.features.pooling import PROJECTED
from medfeat.datasets import DATASETS
from medfeat.evaluation.judging.reading import takes_bags
from medfeat.extraction.network.slice_pooling import keeps
from medfeat.heads import HEADS, head_identity, reads_texts
from medfeat.workflows.studying.cells import Cell
from medfeat.workflows.studying.keys import EMBEDDING, TRAINING
from medfeat.workflows.studying.notes import Note, said

# What tells two cells apart, and hardly changes how long each takes for its amount of work.
_ALIKE = frozenset(
    {"data", "backbone", "weights", "seed", "size", "layer", "pool", "slices", "relabel", "drop", "keep"}
)
# Of a network, its name is most of the time an image takes.
_OF_NETWORK = _ALIKE - {"backbone", "weights"}
_OF_TRAINING = frozenset({"data", "seed"})
# What decides of which form embeddings are.
_FORM = ("layer", "pool", "slices")
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
        self._known: dict[str, list[Note]] = {}
        self._unsuited: set[tuple[str, ...]] = set()
        self._does: dict[str, str] = {}  # what a head does, by its name: thousands of cells have a dozen heads
        for note in notes:
            if note.unsuited:
                self._unsuited.add(_learning(note.options, note.head))
            elif note.machine == machine and note.seconds > 0:
                self._known.setdefault(_form(note.kind, note.options), []).append(note)

    def seconds(self, cell: Cell, work: float | None) -> float | None:
        """Return the seconds a cell will take, None where nothing tells.

        Parameters
        ----------
        cell
            Which.
        work
            Passes of the network, or bytes of the embeddings that are read; None where nobody knows.
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

    def foresees_unsuited(self, cell: Cell) -> bool:
        """Tell whether the head could not learn such a task from such embeddings before, where it is one of all."""
        if not cell.any_head:
            return False
        options = said(cell)
        head, pool, slices = str(cell.options["head"]), str(options.get("pool", "")), str(options.get("slices", ""))
        if reads_texts(head) and PROJECTED not in pool:
            return True
        if takes_bags(HEADS[head]()) and not (any(map(keeps, slices.split(","))) or "tokens" in pool):
            return True
        if not self._unsuited:
            return False
        if head not in self._does:
            self._does[head] = head_identity(head)
        return _learning(options, self._does[head]) in self._unsuited


def _learning(options: Mapping[str, Any], head: str) -> tuple[str, ...]:
    """Spell what a head is asked to learn: what it does, the type of the task, and the form of embeddings."""
    data = str(options.get("data"))
    task = DATASETS[data].task if data in DATASETS else data
    return (head, str(options.get("task") or task), *(str(options.get(name)) for name in _FORM))


def _form(kind: str, options: Mapping[str, Any]) -> str:
    """Spell what a cell has in common with those that take as long for as much work."""
    apart = {EMBEDDING: _OF_NETWORK, TRAINING: _OF_TRAINING}.get(kind, _ALIKE)
    return repr((kind, sorted((name, str(value)) for name, value in options.items() if name not in apart)))


def _middle(seconds: list[float]) -> float | None:
    return sorted(seconds)[len(seconds) // 2] if seconds else None
