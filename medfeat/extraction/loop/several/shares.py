"""Which images each process embeds: cut into parts beforehand, so that no batch depends on who embeds it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Parts a process gets at least, as far as there are batches enough: so finely can images go to others.
_PARTS_EACH = 4


@dataclass(frozen=True)
class Piece:
    """Images that become one part.

    Attributes
    ----------
    group
        Whose they are.
    rows
        (n,) positions in it, ascending.
    """

    group: str
    rows: NDArray[np.int64]


def batches_a_part(batches: int, processes: int, most: int) -> int:
    """Choose how many batches a part has, at most `most`, so that every process gets several parts.

    Examples
    --------
    >>> batches_a_part(1000, 2, 64), batches_a_part(40, 2, 64), batches_a_part(3, 2, 64)
    (64, 5, 1)
    """
    return max(1, min(most, math.ceil(batches / (processes * _PARTS_EACH))))


def pieces_of(missing: Mapping[str, NDArray[np.int64]], size: int) -> list[Piece]:
    """Cut the missing rows of each group into pieces of `size`, in order; the last of a group may be shorter."""
    return [
        Piece(group, rows[start : start + size])
        for group, rows in missing.items()
        for start in range(0, len(rows), size)
    ]


def dealt(pieces: Sequence[Piece], processes: int) -> list[list[Piece]]:
    """Deal pieces out in turn: each process reads its own in one pass through the data, and all end at about once."""
    return [list(pieces[first::processes]) for first in range(processes)]


def by_group(pieces: Iterable[Piece]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield each group of some pieces once, with all their rows of it, ascending."""
    groups: dict[str, list[NDArray[np.int64]]] = {}
    for piece in pieces:
        groups.setdefault(piece.group, []).append(piece.rows)
    return ((group, np.sort(np.concatenate(rows))) for group, rows in groups.items())
