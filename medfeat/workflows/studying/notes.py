"""What the last try of a cell took, and what came of it: beside the cache's own memory, never in place of it.

A note says how long, on which machine, and where the answer is. It is believed where the answer is really there; a
cache that loses its notes loses estimates, and the trainings are looked at once more.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from medfeat.evaluation.runs.places import OF_STUDIES, runs_root
from medfeat.workflows.studying.cells import Cell
from medfeat_cache import make_folder, write_whole
from medfeat_cache.lock import Lock
from medfeat_cache.reading import read_json


@dataclass(frozen=True)
class Note:
    """What is known of the last try of a cell.

    Attributes
    ----------
    kind, options
        Of the cell, those of its embedding among them.
    seconds
        Of work that it took when all of it was made, which other programs do not stretch; 0 where it was not.
    work
        What the time grows with: passes of a network, or bytes of the embeddings that were read.
    machine
        Device, name and cores.
    failed, run
        Why it failed, and in which run of a study; empty where it did not.
    unsuited
        Why its head cannot learn the task, and ``head``: what that head does.
    answer
        Keys of runs, as the folders of a cache begin with them.
    store
        Digest of the store that a training began from.
    """

    kind: str
    options: dict[str, Any]
    seconds: float = 0.0
    work: float = 0.0
    machine: str = ""
    failed: str = ""
    run: str = ""
    unsuited: str = ""
    head: str = ""
    answer: tuple[str, ...] = ()
    store: str = ""


def folder_of(root: Path) -> Path:
    """Return where notes and locks of cells lie; where the cache belongs to somebody else, in one's own."""
    return runs_root(root) / OF_STUDIES


def lock_of(root: Path, cell: Cell) -> Lock:
    """Return the lock of a cell: whoever holds it makes the cell."""
    folder = folder_of(root)
    make_folder(folder)
    return Lock(folder / f"{cell.key}.lock")


def note_of(root: Path, cell: Cell) -> Note | None:
    """Return the note of a cell; None where there is none that can be read."""
    return _read(_path(root, cell))


def keep_note(root: Path, cell: Cell, note: Note) -> None:
    """Write the note of a cell; losing one costs an estimate, so a folder that cannot be written is passed over."""
    with suppress(OSError):
        make_folder(folder_of(root))
        write_whole(_path(root, cell), [json.dumps(asdict(note), indent=1).encode()], "noting what a cell took in")


def all_notes(root: Path) -> Iterator[Note]:
    """Yield every note of a cache that can be read."""
    for path in sorted(folder_of(root).glob("*.json")):
        note = _read(path)
        if note is not None:
            yield note


def new_run() -> str:
    """Name a run of a study: within one, a cell that failed is not tried again; `$MEDFEAT_STUDY_RUN` joins several."""
    return os.environ.get("MEDFEAT_STUDY_RUN") or os.urandom(8).hex()


def said(cell: Cell) -> dict[str, Any]:
    """Return all that a cell says, its embedding included."""
    return {**({} if cell.of is None else cell.of.options), **cell.options}


def _path(root: Path, cell: Cell) -> Path:
    return folder_of(root) / f"{cell.key}.json"


def _read(path: Path) -> Note | None:
    try:
        stored = read_json(path)
        found = Note(**{field.name: stored[field.name] for field in fields(Note) if field.name in stored})
        texts = (found.kind, found.machine, found.failed, found.run, found.unsuited, found.head, found.store)
        numbers = (found.seconds, found.work)
        if not all(isinstance(one, str) for one in (*texts, *found.answer)) or not isinstance(found.options, dict):
            return None
        return found if all(isinstance(one, int | float) and one >= 0 for one in numbers) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
