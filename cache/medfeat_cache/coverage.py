"""Which images of a group are dealt with: stored, bad, or still missing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medfeat_cache.errors import StoreConflictError, StoreInputError
from medfeat_cache.parts import BadRow, Part

# Paths are shorter; one id of a million letters would make a table of a million ids four terabytes.
_ID_LIMIT = 1000


@dataclass(frozen=True)
class GroupSpec:
    """One group of the source, all of its images.

    Attributes
    ----------
    ids
        (n,) unique ids; no other group may hold one of them.
    labels
        (n, k) or (n,) official labels, whole numbers or floats; None when there are none.
    """

    ids: ArrayLike
    labels: ArrayLike | None = None


def as_ids(values: ArrayLike, group: str) -> NDArray[np.str_]:
    """Return ids as a string array, or say which cannot be one."""
    refuse_long(values, group)
    ids = np.asarray(values)
    if not ids.size:
        return np.empty(0, "<U1")
    if ids.dtype.kind not in "UO" or ids.ndim != 1 or not all(isinstance(name, str) for name in ids):
        raise StoreInputError(f"ids of {group!r} must be a flat list of strings, got {ids.dtype} of shape {ids.shape}")
    ids = ids.astype(np.str_)
    wrong = [name for name in ids.tolist() if not name or "\0" in name or not _encodes(name)]
    if wrong:
        raise StoreInputError(f"ids of {group!r} must be non-empty UTF-8 without NUL, got {wrong[0]!r}")
    return ids


def refuse_long(values: Any, group: str) -> None:
    """Refuse ids of more than `_ID_LIMIT` characters, before they are held: every id takes the room of the longest.

    Raises
    ------
    StoreInputError
        Naming the group, the beginning of the id and its length.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "US":
        width = values.dtype.itemsize // (4 if values.dtype.kind == "U" else 1)
        lengths = np.char.str_len(values.reshape(-1)) if width > _ID_LIMIT else np.zeros(0, int)
        longest = values.reshape(-1)[int(lengths.argmax())] if len(lengths) else ""
    else:
        texts = (one for one in values if isinstance(one, str))
        longest = max(texts, key=len, default="")
    if len(longest) > _ID_LIMIT:
        raise StoreInputError(
            f"ids of {group!r} must have at most {_ID_LIMIT} characters, got one of {len(longest)}: {longest[:40]!r}..."
        )


def _encodes(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_labels(values: ArrayLike | None, rows: int, group: str) -> NDArray[Any] | None:
    """Return labels as (n, k) int64 or float64."""
    if values is None:
        return None
    labels = np.asarray(values)
    labels = labels[:, None] if labels.ndim == 1 else labels
    if labels.ndim != 2 or len(labels) != rows or labels.dtype.kind not in "biuf":
        raise StoreInputError(
            f"labels of {group!r} must be numbers of shape ({rows}, k), got {labels.dtype} of shape {labels.shape}"
        )
    return labels.astype("<f8" if labels.dtype.kind == "f" else "<i8")


def refuse_repeated(ids: Iterable[NDArray[np.str_]]) -> None:
    """Raise when an id occurs twice in a group or in two groups: everything joins by id."""
    names, counts = np.unique(np.concatenate([*ids, np.empty(0, "<U1")]), return_counts=True)
    repeated = names[counts > 1]
    if len(repeated):
        raise StoreInputError(f"ids must be unique, {len(repeated)} occur more than once, first {str(repeated[0])!r}")


@dataclass
class Coverage:
    """The state of one group while it is written: a flag or two an image, and its parts."""

    group: str
    ids: NDArray[np.str_]
    labels: NDArray[Any] | None
    parts: list[Part] = field(init=False)

    def __post_init__(self) -> None:
        self._rows: dict[str, int] | None = None
        self.clear()

    def clear(self) -> None:
        """Forget all parts."""
        self.parts = []
        self.stored = np.zeros(len(self.ids), bool)
        self.covered = np.zeros(len(self.ids), bool)

    def missing(self) -> NDArray[np.int64]:
        """Return the rows that are neither stored nor bad."""
        return np.flatnonzero(~self.covered)

    def bad_rows(self, bad: Iterable[Any]) -> list[BadRow]:
        """Turn (id, reason) pairs, or objects with these fields, into rows."""
        pairs = [(entry.id, entry.reason) if hasattr(entry, "reason") else tuple(entry) for entry in bad]
        if pairs and self._rows is None:
            self._rows = {name: row for row, name in enumerate(self.ids.tolist())}
        unknown = [name for name, _ in pairs if name not in (self._rows or {})]
        if unknown:
            raise StoreInputError(f"bad image {unknown[0]!r} is not an id of group {self.group!r}")
        return sorted(
            (BadRow((self._rows or {})[name], name, str(why)) for name, why in pairs), key=lambda one: one.row
        )

    def check(self, rows: NDArray[np.int64], bad: list[BadRow]) -> None:
        """Refuse rows outside the group, given twice or out of order."""
        both = np.sort(np.concatenate([rows, np.array([entry.row for entry in bad], np.int64)]))
        where = f"rows of a part of {self.group!r}"
        if not len(both):
            raise StoreInputError(f"{where} must hold at least one image, stored or bad")
        if (np.diff(rows) <= 0).any() or (np.diff(both) == 0).any():
            raise StoreInputError(f"{where} must ascend, none twice, none both stored and bad")
        if both[0] < 0 or both[-1] >= len(self.ids):
            raise StoreInputError(f"{where} must lie in [0, {len(self.ids)}), got {both[0]}..{both[-1]}")
        taken = both[self.covered[both]]
        if len(taken):
            raise StoreConflictError(f"{where} are already written: {len(taken)} of them, first {taken[0]}")

    def add(self, part: Part, rows: NDArray[np.int64]) -> None:
        """Count a durable part in."""
        self.stored[rows] = True
        self.covered[rows] = True
        self.covered[[entry.row for entry in part.bad]] = True
        self.parts.append(part)
