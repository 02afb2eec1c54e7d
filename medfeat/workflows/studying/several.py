"""Several processes at one study: each takes cells by their locks, and one that dies loses nothing but its time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from medfeat.counted import counted
from medfeat.errors import ProcessesLostError
from medfeat.types import Progress, SilentProgress
from medfeat.workflows.jobs.each import Failure
from medfeat.workflows.studying.cells import Cell
from medfeat.workflows.studying.notes import Note, folder_of, keep_note, note_of, said
from medfeat.workflows.studying.requests import Here
from medfeat.workflows.studying.working import Limits, Worked, Worker
from medfeat_cache.lock import is_stale

Told = Callable[[], Progress] | None
_MOST_IN_VAIN = 3
_ENDED = "the process that made it was ended from outside, alone in it: memory may have run out"


def by_processes(
    cells: Sequence[Cell], here: Here, run: str, limits: Limits, *, jobs: int, progress: Progress, told: Told
) -> Worked:
    """Let so many processes work on the cells until none is left.

    Parameters
    ----------
    cells, here, run, limits
        As `Worker` takes them.
    jobs
        How many.
    progress
        Told of processes that died.
    told
        Makes what each process tells.
    """
    limits, found, in_vain = replace(limits, worker_of=os.getpid()), Worked(), 0
    tasks = [(cells, here, run, limits, told)] * jobs
    while not _in_processes(tasks, jobs, found):
        held = left_by_the_dead(cells, here)
        in_vain = 0 if held else in_vain + 1
        if in_vain == _MOST_IN_VAIN:
            raise ProcessesLostError(f"processes ended {in_vain} times before they took a cell: try --jobs 1")
        progress.say(
            f"a process was ended from outside: another goes on with {counted(len(held), 'cell')}, one at a time"
        )
        # Alone in a process, a cell that ends it again is the one.
        for cell in held:
            needed = [one for one in (cell.of, cell) if one is not None]
            if not _in_processes([(needed, here, run, limits, told)], 2, found):
                keep_note(here.root, cell, Note(cell.kind, said(cell), failed=_ENDED, run=run))
    gather_failures(cells, here, run, found)
    return found


def _in_processes(tasks: Iterable[tuple[Sequence[Cell], Here, str, Limits, Told]], jobs: int, found: Worked) -> bool:
    """Do tasks in processes of joblib and add up what they did; tell whether none of them died."""
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    try:
        done: list[Worked] = Parallel(n_jobs=jobs, backend="loky", batch_size=1)(
            delayed(_work)(*task) for task in tasks
        )
    except TerminatedWorkerError:
        return False
    add_up(done, found)
    return True


def _work(cells: Sequence[Cell], here: Here, run: str, limits: Limits, told: Told) -> Worked:
    progress = SilentProgress() if told is None else told()
    return replace(Worker(cells, here, run, limits, progress).work(), failed=[])


def add_up(done: Iterable[Worked], found: Worked) -> None:
    """Add what several workers did to what was found; failures are gathered from the notes."""
    for one in done:
        found.made += one.made
        found.seconds += one.seconds
        found.stopped = found.stopped or one.stopped


def left_by_the_dead(cells: Sequence[Cell], here: Here) -> list[Cell]:
    """Return the cells whose locks no living process holds."""
    folder = folder_of(here.root)
    return [cell for cell in cells if (lock := folder / f"{cell.key}.lock").exists() and is_stale(lock)]


def gather_failures(cells: Sequence[Cell], here: Here, run: str, found: Worked) -> None:
    """Add the failures of this run, whichever process had them, and what could not be done without."""
    why: dict[str, str] = {}
    for cell in cells:
        note = note_of(here.root, cell)
        if note is not None and note.failed and note.run == run:
            why[cell.key] = note.failed
        elif cell.of is not None and cell.of.key in why:
            why[cell.key] = f"its embedding failed: {why[cell.of.key]}"
        if cell.key in why:
            found.failed.append(Failure(cell, why[cell.key]))
