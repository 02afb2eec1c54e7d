"""`medfeat runs verify`: which runs are as they were written, and which are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from medfeat.errors import DataError
from medfeat.evaluation.runs.places import run_folders
from medfeat.evaluation.runs.run import read_run, read_scores
from medfeat.evaluation.runs.saved_probe import find_run
from medfeat.evaluation.runs.vouching import disagreements
from medfeat_cache import resolve_root

State = Literal["ok", "not vouched", "damaged"]


@dataclass(frozen=True)
class VerifiedRun:
    """What became of one run.

    Attributes
    ----------
    folder
        Of the run.
    state
        ``ok``; ``not vouched`` for a run of before there were digests, which can be read; or ``damaged``.
    problems
        One line each.
    """

    folder: Path
    state: State
    problems: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"folder": str(self.folder), "state": self.state, "problems": list(self.problems)}


def verify_runs(runs: Sequence[str | Path] | None = None, *, cache_dir: str | Path | None = None) -> list[VerifiedRun]:
    """Compare every file of some runs with the digests that were written last.

    Parameters
    ----------
    runs
        Folders, or beginnings of keys; None means every run of the cache.
    cache_dir
        Where runs live.

    Raises
    ------
    UsageError
        A run that is not there, or a beginning that several have.
    """
    root = resolve_root(cache_dir)
    folders = run_folders(root) if runs is None else [find_run(root, run) for run in runs]
    return [_verified(folder) for folder in folders]


def _verified(folder: Path) -> VerifiedRun:
    wrong = disagreements(folder)
    if wrong:
        return VerifiedRun(folder, "damaged", tuple(wrong))
    try:
        read_run(folder)
        read_scores(folder)
    except DataError as error:
        return VerifiedRun(folder, "damaged", (str(error),))
    if wrong is None:
        return VerifiedRun(folder, "not vouched", ("it was made before runs had digests: nothing vouches for it",))
    return VerifiedRun(folder, "ok")
