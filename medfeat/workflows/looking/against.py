"""Two collections of runs beside each other: another cache, or the runs that an earlier report wrote down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from medfeat.errors import DataError, MissingFileError, UsageError
from medfeat.evaluation.compare.paired import compare_runs
from medfeat.evaluation.measures.evaluate import without_nan
from medfeat.evaluation.runs import wording
from medfeat.evaluation.runs.places import RUNS
from medfeat.evaluation.runs.run import NOT_WRITTEN, Run, list_runs
from medfeat.report.against_table import Twice, against_table
from medfeat.report.tables import Table
from medfeat.types import Interval
from medfeat_cache.commands import command
from medfeat_cache.reading import read_json

RUNS_FILE = "runs.json"
_HOW = f"give --against another cache, or a {RUNS_FILE} that {command('report', tables='DIR')} wrote"


def others_in(path: Path) -> tuple[list[Run], list[str]]:
    """Return the runs of another cache or of a saved report, and a line for each that cannot be read.

    Raises
    ------
    MissingFileError, UsageError
        Nothing is there, or no runs are.
    """
    path = path.expanduser()
    if not path.exists():
        raise MissingFileError(f"there is no {path}: {_HOW}")
    if path.is_dir() and not (path / RUNS_FILE).is_file():
        runs, notes = list_runs(path) if (path / RUNS).is_dir() else ([], [])
    else:
        runs, notes = _saved(path / RUNS_FILE if path.is_dir() else path), []
    if not runs:
        raise UsageError(f"no runs in {path}: {_HOW}")
    return runs, notes


def _saved(path: Path) -> list[Run]:
    try:
        return [Run.from_dict(stored) for stored in read_json(path)["runs"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} holds no saved runs ({type(error).__name__}): {_HOW}") from error


def runs_as_json(runs: Sequence[Run]) -> bytes:
    """Return runs as a file that `others_in` reads; where they lay is left out."""
    plain = [{key: value for key, value in run.to_dict().items() if key not in NOT_WRITTEN} for run in runs]
    return json.dumps(without_nan({"runs": plain}), indent=1, allow_nan=False).encode()


def beside_others(here: Sequence[Run], there: Sequence[Run], *, name: str, seed: int = 0) -> Table:
    """Return the same runs of both sides beside each other, and how many only one side has.

    Parameters
    ----------
    here, there
        Runs of this report, and of the other.
    name
        Of the other.
    seed
        Of the paired test, which is made where both sides kept the scores of the same samples.
    """
    mine, theirs = _newest(here), _newest(there)
    both = [_twice(run, theirs[key], seed) for key, run in mine.items() if key in theirs]
    return against_table(both, name=name, only_here=len(mine.keys() - theirs), only_there=len(theirs.keys() - mine))


def _newest(runs: Sequence[Run]) -> dict[tuple[object, ...], Run]:
    return {_identity(run): run for run in sorted(runs, key=lambda run: run.created_utc)}


def _identity(run: Run) -> tuple[object, ...]:
    of_store = (run.dataset, run.backbone, run.size, run.store["embedding"])
    return (*of_store, run.task["name"], run.head, run.protocol["seed"], *wording.made_with(run.protocol).items())


def _twice(here: Run, there: Run, seed: int) -> Twice:
    same = here.key == there.key and here.test == there.test
    difference, why = None, ""
    if not same:
        try:
            difference = compare_runs([here, there], metric=here.headline[0], seed=seed)[0].difference
        except (DataError, OSError, ValueError, KeyError):
            why = "not paired: scores of the same samples are not at hand"
            one, other = (run.test.values[here.headline[0]].value for run in (here, there))
            difference = Interval(one - other, float("nan"), float("nan"))
    return Twice(here, there, difference, why)
