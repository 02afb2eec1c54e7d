"""`medfeat runs`: which runs there are, what one of them says, taking some away, and which one is meant."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfeat.errors import DataError, UsageError
from medfeat.evaluation.judging.best_run import best_run
from medfeat.evaluation.runs.card import CARD_FILE
from medfeat.evaluation.runs.places import run_folders
from medfeat.evaluation.runs.run import NOT_SAVED, Run, list_runs, read_run
from medfeat.evaluation.runs.saved_probe import find_run
from medfeat.evaluation.runs.vouching import refuse_changed
from medfeat.report.frame import runs_frame
from medfeat.report.run_tables import class_tables, confusion_table, listed_tables, runs_tables
from medfeat.report.shown import Shown
from medfeat.report.tables import Table
from medfeat.tasks import OFFICIAL
from medfeat.workflows.asking.given_names import refuse_objects
from medfeat.workflows.compare import kept_runs
from medfeat.workflows.stores.runs_of_data import of_data
from medfeat_cache import resolve_root
from medfeat_cache.commands import command, elsewhere
from medfeat_cache.reading import JSON_BYTES, read_bounded

BEST = "best"


@dataclass(frozen=True, repr=False)
class RunList(Shown):
    """The runs of a cache, by dataset and best on val first; `problems` names those that cannot be used."""

    runs: tuple[Run, ...]
    problems: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"runs": [run.to_dict() for run in self.runs], "problems": list(self.problems)}

    def tables(self) -> list[Table]:
        """Return one row a run, in a table for each dataset and task."""
        return listed_tables(self.runs)

    def frame(self) -> Any:
        """Return a pandas.DataFrame of a row a run, see `medfeat.report.frame.runs_frame`."""
        return runs_frame(self.runs)


@dataclass(frozen=True)
class RunShown:
    """One run, its card as it lies in the run's folder (empty where there is none), and how it was found, if asked."""

    run: Run
    card: str
    found: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"run": self.run.to_dict(), "card": self.card, "found": self.found}

    def tables(self) -> list[Table]:
        """Return its scores, its classes and where they were confused."""
        confused = [confusion_table(self.run)] if self.run.test.confusion else []
        classes = class_tables([self.run]) if self.run.test.per_class else []
        return [*runs_tables([self.run]), *classes, *confused]


def list_of_runs(
    data: str | Sequence[str] | None = None,
    *,
    backbone: str | Sequence[str] | None = None,
    head: str | Sequence[str] | None = None,
    size: int | None = None,
    class_weight: str | Sequence[str] | None = None,
    cache_dir: str | Path | None = None,
) -> RunList:
    """List the runs of the cache.

    Parameters
    ----------
    data, backbone, head
        Names, several as a sequence or comma list; None means any.
    size
        Side of the stored images in pixels; None means any.
    class_weight
        How classes were weighed: ``none``, ``balanced`` or ``auto``, one or several; None means any.
    cache_dir
        Where runs live.

    Returns
    -------
    RunList
        Shows a table in a notebook; `frame` gives it to pandas.

    Raises
    ------
    UsageError
        A name that no run has.
    """
    root = resolve_root(cache_dir)
    found, problems = list_runs(root)
    runs = of_data(found, data, root)
    if not runs:
        what = "" if data is None else f" of {data if isinstance(data, str) else ', '.join(data)}"
        problems.append(f"no runs{what} in {root}: {command('probe', cache_dir=elsewhere(root))} makes some")
    kept = kept_runs(runs, backbone=backbone, head=head, size=size, class_weight=class_weight) if runs else []
    return RunList(tuple(sorted(kept, key=lambda run: (run.dataset, run.task["name"], -_val(run)))), tuple(problems))


def show_run(run: str | Path, *, data: str | None = None, cache_dir: str | Path | None = None) -> RunShown:
    """Read one run: by its folder, the beginning of its key, or as the ``best`` one of `data`.

    Raises
    ------
    UsageError
        There is none, or several begin so.
    DataError
        It cannot be read, or was changed after it was written.
    """
    said: list[str] = []
    folder = named_run(resolve_root(cache_dir), run, data=data, say=said.append)
    found = read_run(folder)
    path = folder / CARD_FILE
    if not path.is_file():
        return RunShown(found, "", "".join(said))
    content = read_bounded(path, JSON_BYTES)
    refuse_changed(folder, CARD_FILE, content)
    return RunShown(found, content.decode("utf-8", errors="replace"), "".join(said))


def delete_runs(runs: Sequence[str | Path], *, cache_dir: str | Path | None = None) -> list[Path]:
    """Remove the folders of runs, and nothing else; return them.

    Raises
    ------
    UsageError
        One is not there, or a beginning that several have: nothing was removed.
    """
    folders = folders_of(runs, cache_dir=cache_dir)
    for folder in folders:
        shutil.rmtree(folder)
    return folders


def folders_of(runs: Sequence[str | Path], *, cache_dir: str | Path | None = None) -> list[Path]:
    """Return the folder of each run that is named; only what lies among the runs of the cache is one.

    Raises
    ------
    UsageError
        As `delete_runs` says.
    """
    root = resolve_root(cache_dir)
    there = {folder.resolve(): folder for folder in run_folders(root)}
    refuse_objects(run=runs)
    found = [find_run(root, run).resolve() for run in runs]
    strange = next((folder for folder in found if folder not in there), None)
    if strange is not None:
        raise UsageError(f"{strange} is no run of the cache {root}: remove it by hand if it is yours")
    return [there[folder] for folder in dict.fromkeys(found)]


def named_run(
    root: Path, run: str | Path, *, data: str | None = None, say: Callable[[str], None] | None = None
) -> Path:
    """Return the folder of a run named by its path, by the beginning of its key, or as ``best`` of a dataset.

    Parameters
    ----------
    root
        Of the cache.
    run
        What was said.
    data
        With ``best``: whose runs; None where the cache holds runs of one dataset alone.
    say
        With ``best``: told which run that is, and by what.

    Raises
    ------
    UsageError
        There is none, or more than one is meant.
    """
    refuse_objects(run=run)
    if run != BEST:
        return find_run(root, run)
    found, _ = list_runs(root)
    runs = [one for one in of_data(found, data, root) if not any(note.startswith(NOT_SAVED) for note in one.notes)]
    datasets = sorted({one.dataset for one in runs})
    if not runs:
        what = f" of {data}" if data else ""
        how = command("probe", data=data, cache_dir=elsewhere(root))
        raise UsageError(f"--run best: no run{what} in {root}: {how} makes some")
    if len(datasets) > 1:
        raise UsageError(f"--run best: there are runs of {', '.join(datasets)}: say which with --data NAME")
    tasks = sorted({one.task["name"] for one in runs})
    if len(tasks) > 1 and OFFICIAL not in tasks:
        raise UsageError(
            f"--run best: the runs of {datasets[0]} answer {', '.join(tasks)}, and none its own labels: name a run by "
            f"its key, as {command('runs', 'list', data=datasets[0])} shows them"
        )
    task = OFFICIAL if OFFICIAL in tasks else tasks[0]
    best = best_run([one for one in runs if one.task["name"] == task])
    if best.run.folder is None:
        raise DataError(f"run {best.run.key[:12]} has no folder")
    if say is not None:
        say(best.line())
    return best.run.folder


def _val(run: Run) -> float:
    value = run.val.values[run.headline[0]].value
    return value if value == value else float("-inf")  # noqa: PLR0124 - NaN is worst
