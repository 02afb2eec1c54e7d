"""Finding damage: digests first, then values that no frozen backbone should give."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from medfeat_cache.commands import command
from medfeat_cache.errors import StoreDamaged, StoreError, StoreNotFoundError
from medfeat_cache.files import raw
from medfeat_cache.format import Layout, chunk_rows, column_digest, digest_blocks, finite_rows, read_rows
from medfeat_cache.layout import open_layout

Level = Literal["damage", "suspect", "note"]
_SAME_IMAGE_COSINE = 0.999
_WEIGHTS_FREE = "weights-free"


@dataclass(frozen=True)
class Problem:
    """One finding.

    Attributes
    ----------
    group
        Empty when it concerns the whole file.
    rows
        Positions in the store, ascending; empty when it concerns the whole group or file.
    what
        In words.
    level
        ``damage``: not the bytes that were written, or not finite. ``suspect``: as written, yet no frozen backbone
        should give it. ``note``: worth knowing, nothing to mend; zero and equal embeddings of a weights-free
        backbone are no more than that.
    """

    group: str
    rows: tuple[int, ...]
    what: str
    level: Level = "damage"

    def __str__(self) -> str:
        where = f"{self.group}: " if self.group else ""
        return f"{where}{self.what}{f' ({spell_rows(self.rows)})' if self.rows else ''}"


@dataclass(frozen=True)
class Report:
    """What `verify_store` found.

    Attributes
    ----------
    path
        Of the store.
    rows
        How many rows were read.
    problems
        Worst first.
    """

    path: Path
    rows: int
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged or suspect; notes do not count."""
        return all(problem.level == "note" for problem in self.problems)

    @property
    def damaged(self) -> bool:
        """Whether anything is not what was written."""
        return any(problem.level == "damage" for problem in self.problems)

    def rows_to_repair(self) -> dict[str, NDArray[np.int64]]:
        """Return, for each group, the rows whose embeddings must be computed again."""
        rows: dict[str, set[int]] = {}
        for problem in self.problems:
            if problem.level != "note" and problem.rows:
                rows.setdefault(problem.group, set()).update(problem.rows)
        return {group: np.array(sorted(found), np.int64) for group, found in rows.items()}


def spell_rows(rows: tuple[int, ...] | NDArray[np.int64], most: int = 8) -> str:
    """Spell rows as ranges, the first few of them.

    Examples
    --------
    >>> spell_rows((1, 2, 3, 7))
    'rows 1-3, 7'
    """
    cuts = np.flatnonzero(np.diff(rows) != 1) + 1
    ranges = [f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in np.split(np.asarray(rows), cuts)]
    rest = f" and {len(ranges) - most} more ranges" if len(ranges) > most else ""
    return f"{'rows' if len(rows) > 1 else 'row'} {', '.join(ranges[:most])}{rest}"


def damaged_columns(layout: Layout, file: BinaryIO, group: str) -> list[str]:
    """Return the columns of a group whose bytes are not the ones that were written (embeddings have blocks instead)."""
    facts = layout.groups[group]
    written = json.loads(facts.attributes["digests"])
    small = {name: column for name, column in facts.columns.items() if name != "embeddings"}
    return [name for name, column in small.items() if column_digest(file, column) != written.get(name)]


def chunks(layout: Layout, file: BinaryIO, group: str) -> Iterator[tuple[int, NDArray[Any], NDArray[np.bool_]]]:
    """Yield (first row, embeddings, which of these rows lie in a block that differs from its digest)."""
    facts = layout.groups[group]
    embeddings, step = facts.columns["embeddings"], int(facts.attributes["rows_per_block"])
    written = facts.columns["block_digests"]
    stride = chunk_rows(embeddings, step)
    for start in range(0, embeddings.shape[0], stride):
        rows = read_rows(file, embeddings, start, min(start + stride, embeddings.shape[0]))
        found = digest_blocks(rows, step)
        expected = read_rows(file, written, start // step, start // step + len(found))
        yield start, rows, np.repeat((found != expected).any(axis=1), step)[: len(rows)]


def damaged_rows(layout: Layout, file: BinaryIO, group: str) -> NDArray[np.int64]:
    """Return the rows of all blocks that differ from their digest."""
    found = [start + np.flatnonzero(bad) for start, _, bad in chunks(layout, file, group)]
    return np.concatenate([np.empty(0, np.int64), *found])


def check_columns(path: Path, layout: Layout, file: BinaryIO, group: str) -> None:
    """Raise `StoreDamaged` when ids, labels, rows, hashes or block digests of a group are not as written."""
    columns = damaged_columns(layout, file, group)
    if columns:
        raise StoreDamaged(
            f"{path}: {', '.join(columns)} of {group!r} are damaged: see {command('cache', 'verify', path)}"
        )


def refuse_rows(path: Path, group: str, rows: NDArray[np.int64]) -> None:
    """Raise `StoreDamaged` naming these rows, if there are any."""
    if len(rows):
        raise StoreDamaged(
            f"{path}: embeddings of {group!r} are damaged ({spell_rows(rows)}): mend them with "
            f"{command('cache', 'repair', path)}"
        )


def check_digests(path: Path, layout: Layout, file: BinaryIO) -> None:
    """Raise `StoreDamaged` when any byte that matters is not the one that was written."""
    for group in layout.groups:
        check_columns(path, layout, file, group)
        refuse_rows(path, group, damaged_rows(layout, file, group))


def verify_store(path: str | Path, *, progress: Callable[[int], None] | None = None) -> Report:
    """Check every byte that matters, and every embedding for values that cannot be meant.

    Parameters
    ----------
    path
        Of the store.
    progress
        Called with the number of rows that were just checked.

    Returns
    -------
    Report
        Damage is reported, not raised; only a file that is not there raises.
    """
    path = Path(path)
    try:
        layout, file = open_layout(path)
    except StoreNotFoundError:
        raise
    except StoreError as error:
        return Report(path, 0, [Problem("", (), str(error))])
    problems = []
    # What a formula gives of an image may well be zero, or that of another image: a network's features may not.
    odd: Level = "note" if json.loads(layout.attributes["recipe"]).get("source") == _WEIGHTS_FREE else "suspect"
    with file:
        for group in layout.groups:
            problems += _verify_group(layout, file, group, odd=odd, progress=progress or _silent)
    order: dict[Level, int] = {"damage": 0, "suspect": 1, "note": 2}
    rows = sum(group.columns["rows"].shape[0] for group in layout.groups.values())
    return Report(path, rows, sorted(problems, key=lambda problem: order[problem.level]))


def _silent(count: int) -> None:
    """Say nothing."""


def _verify_group(
    layout: Layout, file: BinaryIO, group: str, *, odd: Level, progress: Callable[[int], None]
) -> list[Problem]:
    problems = [
        Problem(group, (), f"{name} are not the ones that were written")
        for name in damaged_columns(layout, file, group)
    ]
    found: dict[str, list[NDArray[np.int64]]] = {"bad": [], "nan": [], "zero": []}
    keys = []
    for start, rows, bad in chunks(layout, file, group):
        finite = finite_rows(rows)
        found["bad"].append(start + np.flatnonzero(bad))
        found["nan"].append(start + np.flatnonzero(~finite))
        with np.errstate(invalid="ignore"):  # damaged bytes may well be a signalling NaN
            found["zero"].append(start + np.flatnonzero(~(rows != 0).any(axis=tuple(range(1, rows.ndim)))))
        keys.append(np.array([hashlib.blake2b(raw(row), digest_size=16).digest() for row in rows], "V16"))
        progress(len(rows))
    if not keys:
        return problems
    names: dict[str, tuple[str, Level]] = {
        "bad": ("embeddings are not the ones that were written", "damage"),
        "nan": ("embeddings hold NaN or infinity", "damage"),
        "zero": ("embeddings are all zero", odd),
    }
    for kind, pieces in found.items():
        rows = np.concatenate(pieces)
        if len(rows):
            problems.append(Problem(group, tuple(rows.tolist()), *names[kind]))
    broken = np.concatenate([*found["bad"], *found["nan"], *found["zero"]])
    return problems + _repeated(layout, file, group, np.concatenate(keys), broken, odd=odd)


def _repeated(
    layout: Layout, file: BinaryIO, group: str, keys: NDArray[Any], broken: NDArray[np.int64], *, odd: Level
) -> list[Problem]:
    """Compare equal embeddings with equal images: one without the other is suspect."""
    columns = layout.groups[group].columns
    hashes = read_rows(file, columns["image_hash"], 0, len(keys)).view("V16").reshape(-1)
    usable = np.ones(len(keys), bool)
    usable[broken] = False
    known = usable & (hashes != np.zeros(1, "V16"))
    problems = []
    same = np.flatnonzero(usable & _occurs_again(keys, usable))
    if len(same):
        alike = _one_value_each(keys[same], hashes[same])
        levels: dict[str, tuple[NDArray[np.int64], Level]] = {
            "embeddings are equal although the images differ": (same[~alike], odd),
            "the same image occurs more than once": (same[alike], "note"),
        }
        for what, (rows, level) in levels.items():
            if len(rows):
                problems.append(Problem(group, tuple(rows.tolist()), what, level))
    differ = _unlike(columns["embeddings"], file, hashes, np.flatnonzero(known & _occurs_again(hashes, known)))
    if differ:
        problems.append(Problem(group, tuple(differ), "the same image has different embeddings", "suspect"))
    return problems


def _occurs_again(values: NDArray[Any], among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    _, inverse, counts = np.unique(_sortable(values[among]), return_inverse=True, return_counts=True)
    out = np.zeros(len(values), bool)
    out[among] = counts[inverse] > 1
    return out


def _sortable(values: NDArray[Any]) -> NDArray[Any]:
    # numpy does not sort raw 16-byte values; as pairs of integers it does.
    return np.ascontiguousarray(values).view([("a", "<u8"), ("b", "<u8")])


def _one_value_each(keys: NDArray[Any], values: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell for each row whether all rows of its key have one value (an unknown value, zero, equals any)."""
    _, inverse = np.unique(_sortable(keys), return_inverse=True)
    kinds: dict[int, set[bytes]] = {}
    for key, value in zip(inverse.tolist(), values.tolist(), strict=True):
        kinds.setdefault(key, set()).add(bytes(value))
    return np.array([len(kinds[key] - {bytes(16)}) <= 1 for key in inverse.tolist()], bool)


def _unlike(column: Any, file: BinaryIO, hashes: NDArray[Any], rows: NDArray[np.int64]) -> list[int]:
    """Return rows whose embedding is far from the first one of the same image."""
    first: dict[bytes, NDArray[np.float64]] = {}
    found = []
    for row in rows.tolist():
        vector = read_rows(file, column, row, row + 1).reshape(-1).astype(np.float64)
        other = first.setdefault(bytes(hashes[row]), vector)
        if vector @ other < _SAME_IMAGE_COSINE * np.linalg.norm(vector) * np.linalg.norm(other):
            found.append(row)
    return found
