"""A run that was made before is used again only when everything in it is as it was written."""

from __future__ import annotations

from pathlib import Path

from medfeat.errors import DataError
from medfeat.evaluation.runs.places import RUN_FILE
from medfeat.evaluation.runs.run import Run, read_run
from medfeat.evaluation.runs.vouching import disagreements
from medfeat.types import Progress


def believed_run(folder: Path, progress: Progress | None) -> Run | None:
    """Return the run in a folder, when there is one and all its files agree with their digests.

    Parameters
    ----------
    folder
        Where it would lie.
    progress
        Told of a run that is there and is not believed; None says nothing.
    """
    if not (folder / RUN_FILE).exists():
        return None
    try:
        run = read_run(folder)
        wrong = disagreements(folder)
    except DataError as error:
        _say(progress, str(error))
        return None
    if wrong:
        _say(progress, f"{folder} is not the run that was written ({'; '.join(wrong[:3])}): it is not used")
        return None
    return run


def _say(progress: Progress | None, words: str) -> None:
    if progress is not None:
        progress.say(words)
