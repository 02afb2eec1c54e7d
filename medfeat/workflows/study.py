"""`medfeat study`: a whole grid from one file, shared by any number of processes, that ends in a folder to send."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfeat.counted import counted, counted_are
from medfeat.errors import UsageError
from medfeat.report.shown import Shown
from medfeat.report.tables import Table
from medfeat.saying import heard
from medfeat.types import Progress
from medfeat.workflows.jobs.each import Failure
from medfeat.workflows.report import page_of_runs
from medfeat.workflows.studying.alike import paired
from medfeat.workflows.studying.cells import Cell, cells_of
from medfeat.workflows.studying.cluster import by_cluster
from medfeat.workflows.studying.doing import machine_here
from medfeat.workflows.studying.manifest import PAGE, TOML, read_folder, write_folder
from medfeat.workflows.studying.notes import new_run
from medfeat.workflows.studying.planning import StudyPlan, plan_of
from medfeat.workflows.studying.requests import Here, check
from medfeat.workflows.studying.several import by_processes
from medfeat.workflows.studying.study_file import Study, study_named
from medfeat.workflows.studying.verifying import TOLERANCE, VerifyReport, checked
from medfeat.workflows.studying.working import Limits, Worked, Worker
from medfeat_cache.commands import command


@dataclass(frozen=True, repr=False)
class StudyReport(Shown):
    """What a study did.

    Attributes
    ----------
    plan
        What there is now, a cell a line.
    made
        How many cells this command made; others may have made more of them meanwhile.
    planned_seconds, unknown, seconds
        What the plan said these would take and of how many it did not know, and what they took, of one worker.
    failed
        Cells that failed, and why.
    stopped
        The limit that ended it before everything was done.
    out
        The folder to send: the study, its manifest and the page.
    notes
        Lines that belong below.
    """

    plan: StudyPlan
    made: int
    planned_seconds: float
    unknown: int
    seconds: float
    failed: tuple[Failure[Cell], ...]
    stopped: str
    out: Path
    notes: tuple[str, ...] = ()

    @property
    def left(self) -> int:
        """How many cells are neither there nor failed."""
        failed = {failure.job.key for failure in self.failed}
        return sum(one.cell.key not in failed for one in self.plan.missing)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            **self.plan.to_dict(),
            "made": self.made,
            "planned_seconds": self.planned_seconds,
            "planned_unknown": self.unknown,
            "took_seconds": self.seconds,
            "failed": [failure.to_dict() for failure in self.failed],
            "stopped": self.stopped,
            "left": self.left,
            "out": str(self.out),
            "notes": list(self.notes),
        }

    def tables(self) -> list[Table]:
        """Return how many cells of each kind there are now."""
        return self.plan.tables()[:1]

    def lines(self) -> list[str]:
        """Return what is to be said below the table."""
        said = f"made {counted(self.made, 'cell')} in {self.seconds:.1f} s"
        if self.made:
            known = f"{self.planned_seconds:.1f} s" if self.unknown < self.made else "not known"
            more = f", {counted(self.unknown, 'cell')} not known" if 0 < self.unknown < self.made else ""
            said += f" (planned: {known}{more})"
        left = [f"{counted_are(self.left, 'cell')} left: {self.stopped}; the same command goes on from there"] * bool(
            self.stopped
        )
        return [said, *left, f"wrote {self.out}"]

    def exit_code(self) -> int:
        """Return 0 when every cell is there."""
        return int(bool(self.failed or self.stopped or self.left))


def study(
    which: str | Path | Study,
    *,
    out: str | Path | None = None,
    jobs: int = 1,
    max_hours: float | None = None,
    max_disk: float | None = None,
    data_root: str | Path | None = None,
    cache_dir: str | Path | None = None,
    device: str = "auto",
    offline: bool = False,
    scheduler: str | Path | None = None,
    progress: Progress | None = None,
    worker_progress: Callable[[], Progress] | None = None,
) -> StudyReport:
    """Make every cell of a study that is not in the cache, and write the folder to send.

    Parameters
    ----------
    which
        A TOML file, or the name of a study that comes with medfeat.
    out
        The folder; None means ``study-NAME``.
    jobs
        Processes that share the cells.
    max_hours, max_disk
        Stop between two cells after so many hours, or before the cache takes more than so many GB.
    data_root, cache_dir, device, offline
        As `medfeat.extract` takes them.
    scheduler
        Address of a Dask cluster, or its scheduler file: its workers share the cells, instead of processes here.
    progress
        Told of each cell. None is a bar in a notebook and a log elsewhere; `medfeat.types.SilentProgress()` shows
        nothing.
    worker_progress
        Makes what a process of several tells; None says nothing.

    Returns
    -------
    StudyReport
        What is there now, what failed and what is left. A cell that fails raises nothing here, even where each does.

    Raises
    ------
    UsageError
        A study that cannot be meant, or a cluster that cannot work on it.
    MissingExtraError
        A scheduler is given, and the package of its client is not installed.
    """
    if jobs < 1:
        raise UsageError(f"--jobs must be 1 or more, got {jobs}")
    if scheduler is not None and jobs != 1:
        raise UsageError("--jobs counts processes here, and a cluster has the workers it has: leave one of them out")
    for name, limit in (("hours", max_hours), ("disk", max_disk)):
        if limit is not None and not limit > 0:
            raise UsageError(f"--max-{name} must be above 0, got {limit}")
    asked, here, progress = study_named(which), Here(cache_dir, data_root, device, offline), heard(progress)
    cells, limits = checked_cells(asked), Limits.of(max_hours, max_disk)
    planned = plan_of(asked.name, cells, here, progress)
    progress.say(f"study {asked.name}: {len(planned.missing)} of {len(cells)} cells to make, {planned.time()}")
    run = new_run()
    if scheduler is not None and planned.missing:
        worked = by_cluster(cells, here, run, limits, scheduler=str(scheduler), progress=progress)
    elif jobs == 1 or not planned.missing:
        worked = Worker(cells, here, run, limits, progress).work()
    else:
        worked = by_processes(cells, here, run, limits, jobs=jobs, progress=progress, told=worker_progress)
    return _ended(asked, cells, here, planned, worked=worked, out=out, progress=progress)


def plan(
    which: str | Path,
    *,
    data_root: str | Path | None = None,
    cache_dir: str | Path | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> StudyPlan:
    """Say what `study` would do; nothing is fetched, embedded or trained."""
    asked = study_named(which)
    return plan_of(asked.name, checked_cells(asked), Here(cache_dir, data_root, device, True), heard(progress))


def verify_study(
    folder: str | Path,
    *,
    tolerance: float = TOLERANCE,
    data_root: str | Path | None = None,
    cache_dir: str | Path | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> VerifyReport:
    """Compare the figures of somebody's study with what this cache holds; nothing is made.

    Parameters
    ----------
    folder
        That `study` wrote.
    tolerance
        Of scores that are not bit for bit the same.
    data_root, cache_dir, device
        As `medfeat.extract` takes them.
    progress
        Told how far it is. None is a bar in a notebook and a log elsewhere; `medfeat.types.SilentProgress()` shows
        nothing.
    """
    place = Path(folder).expanduser()
    text, kept = read_folder(place)
    asked = Study.of(str(kept.get("study", place.name)), text)
    cells, here = checked_cells(asked), Here(cache_dir, data_root, device, True)
    pairs = paired(kept["cells"], cells, here)
    found = plan_of(asked.name, cells, here, heard(progress), theirs=pairs)
    mine = {pairs[one.cell.key]["key"]: one for one in found.cells if one.cell.key in pairs}
    # where files lay there is nobody else's business, but that they were not in the usual place is
    root = data_root or ("FOLDER" if kept.get("data_root_given") else None)
    how = command("study", place / TOML, cache_dir=cache_dir, data_root=root)
    return VerifyReport(asked.name, checked(kept["cells"], mine, tolerance=tolerance), tolerance, how)


def checked_cells(asked: Study) -> tuple[Cell, ...]:
    """Return the cells of a study, each of which can be meant."""
    cells = cells_of(asked)
    check(cells)
    return cells


def _ended(
    asked: Study,
    cells: Sequence[Cell],
    here: Here,
    planned: StudyPlan,
    *,
    worked: Worked,
    out: str | Path | None,
    progress: Progress,
) -> StudyReport:
    """Look at every cell again, and write what is there into the folder to send."""
    folder = Path(f"study-{asked.name}" if out is None else out).expanduser()
    now = plan_of(asked.name, cells, here, progress)
    mine = [one for one in planned.cells if one.cell.key in set(worked.made)]
    said, unknown = sum(one.seconds or 0.0 for one in mine), sum(one.seconds is None for one in mine)
    failed = {failure.job.key: failure.error for failure in worked.failed}
    written = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    facts = {"study": asked.name, "machine": machine_here(here), "written": written,
             "data_root_given": here.data_root is not None}  # fmt: skip
    write_folder(folder, asked.text, now.cells, failed, facts)
    runs = {run.key: run for one in now.cells for run in one.standing.runs}
    notes: tuple[str, ...] = ()
    if runs:
        page = page_of_runs(list(runs.values()), out=folder / PAGE, root=here.root, progress=progress)
        notes = page.notes
    return StudyReport(
        now, len(mine), said, unknown, worked.seconds, tuple(worked.failed), worked.stopped, folder, notes
    )
