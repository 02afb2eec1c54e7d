"""Whoever works on a study takes its cells one by one, by a lock of each: so any number of processes share them."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from medfeat.saying import SaidOnce
from medfeat.types import Progress
from medfeat.workflows.jobs.each import Failure, Overall, each
from medfeat.workflows.studying.cells import Cell
from medfeat.workflows.studying.doing import Maker
from medfeat.workflows.studying.keys import EMBEDDING
from medfeat.workflows.studying.notes import lock_of, note_of
from medfeat.workflows.studying.requests import Here
from medfeat.workflows.studying.standing import DONE, LEFT_OUT, Known, Standing
from medfeat_cache import StoreBusy
from medfeat_cache.lock import is_stale

_POLL_S = 0.5
_GB = 1e9


@dataclass(frozen=True)
class Limits:
    """Where a study stops, between two cells.

    Attributes
    ----------
    until
        By the clock of the system, in seconds; None for no end.
    disk_bytes
        That the cache may take in all; None for no limit.
    worker_of
        The process that a worker belongs to: where that has ended, so does the worker. 0 for none.
    command
        The lock of a command elsewhere that a worker belongs to: where nobody holds it, the worker ends. None for none.
    """

    until: float | None = None
    disk_bytes: float | None = None
    worker_of: int = 0
    command: Path | None = None

    @classmethod
    def of(cls, hours: float | None, gigabytes: float | None) -> Limits:
        """Begin to count hours now."""
        until = None if hours is None else time.time() + 3600 * hours
        return cls(until, None if gigabytes is None else _GB * gigabytes)

    def reached(self, root: Path, more: int = 0) -> str:
        """Say which limit forbids another cell; nothing where none does.

        Parameters
        ----------
        root
            Of the cache.
        more
            Bytes that the cell will add.
        """
        if self.until is not None and time.time() >= self.until:
            return "the hours of --max-hours are over"
        orphan = self.command is not None and (not self.command.exists() or is_stale(self.command))
        if orphan or (self.worker_of and os.getppid() != self.worker_of):
            return "the command it works for has ended"
        if self.disk_bytes is not None:
            taken = _bytes_below(root)
            if taken + more > self.disk_bytes:
                adds = f", and the next cell adds {more / _GB:.2f}" if more else ""
                return f"the cache takes {taken / _GB:.2f} GB{adds}: --max-disk allows {self.disk_bytes / _GB:g}"
        return ""


@dataclass
class Worked:
    """What a worker did.

    Attributes
    ----------
    made
        Keys of the cells that it made.
    seconds
        That these took.
    failed
        Those that failed in this run, here or in another process.
    stopped
        The limit that ended it; empty where nothing was left.
    """

    made: list[str] = field(default_factory=list)
    seconds: float = 0.0
    failed: list[Failure[Cell]] = field(default_factory=list)
    stopped: str = ""


class Worker:
    """Takes cells until none is left.

    Parameters
    ----------
    cells
        Of the study, in the order in which they are tried.
    here, run
        The machine, and the name of this run of the study.
    limits
        Where to stop.
    progress
        Told of each cell.
    """

    def __init__(self, cells: Sequence[Cell], here: Here, run: str, limits: Limits, progress: Progress) -> None:
        self._cells, self._root, self._run = cells, here.root, run
        self._limits, self._progress = limits, progress
        # What is true of every cell of a network or a device is said with the first of them.
        self._maker, self._known = Maker(here, run, SaidOnce(progress)), Known(here)
        self._ended: dict[str, str] = {}  # by key: why it failed, or nothing
        self._overall = Overall(progress, "cell", len(cells))
        self._done = Worked()

    def work(self) -> Worked:
        """Make what nobody else makes; wait for what others do, and take it over where they die."""
        left = list(self._cells)
        while left and not self._done.stopped:
            before = len(left)
            left = [cell for cell in left if not self._done.stopped and not self._tried(cell)]
            if left and len(left) == before and not self._done.stopped:
                time.sleep(_POLL_S)
        self._overall.end()
        return self._done

    def _tried(self, cell: Cell) -> bool:
        """Tell whether nothing is left to do of a cell."""
        if cell.of is not None and self._ended.get(cell.of.key) is None:
            return False  # somebody else is at its embedding
        if cell.of is not None and self._ended[cell.of.key]:
            return self._failed(cell, f"its embedding failed: {self._ended[cell.of.key]}")
        standing = self._known.of(cell)
        if standing.state in (DONE, LEFT_OUT):
            return self._over(cell)
        note = note_of(self._root, cell)
        if note is not None and note.failed and note.run == self._run:
            return self._failed(cell, note.failed)
        adds = standing.disk_bytes or 0 if cell.kind == EMBEDDING else 0
        self._done.stopped = self._limits.reached(self._root, adds)
        return False if self._done.stopped else self._taken(cell)

    def _taken(self, cell: Cell) -> bool:
        lock = lock_of(self._root, cell)
        try:
            lock.acquire(wait=False)
        except StoreBusy:
            return False
        try:
            return self._made(cell)
        finally:
            lock.release()

    def _made(self, cell: Cell) -> bool:
        if self._known.of(cell).state in (DONE, LEFT_OUT):  # by whoever had the lock until now
            return self._over(cell)
        self._overall.done = len(self._ended)
        started = time.perf_counter()
        found = each([cell], self._make, overall=self._overall)
        self._progress.finish()
        seconds = time.perf_counter() - started
        for failure in found.failures:
            return self._failed(cell, failure.error)
        self._done.made.append(cell.key)
        self._done.seconds += seconds
        self._progress.say(f"{cell.kind} {cell.name}: {seconds:.1f} s")
        return self._over(cell)

    def _make(self, cell: Cell) -> Standing:
        return self._maker.make(cell, self._known)

    def _over(self, cell: Cell) -> bool:
        self._ended[cell.key] = ""
        return True

    def _failed(self, cell: Cell, why: str) -> bool:
        self._ended[cell.key] = why
        self._done.failed.append(Failure(cell, why))
        self._progress.say(f"{cell.kind} {cell.name} failed: {why}")
        return True


def _bytes_below(root: Path) -> int:
    found = 0
    for path in root.rglob("*"):
        with suppress(OSError):  # gone while it was looked at
            found += path.lstat().st_size if not path.is_dir() else 0
    return found
