"""What killed commands left hidden among the runs and notes of a cache: nobody looks at it again."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

from medfeat.evaluation.runs.places import OF_STUDIES, RUNS, WRITER_LOCK, runs_roots
from medfeat_cache import Garbage
from medfeat_cache.lock import is_stale

# `.<key>.<process>-<random>.tmp`, and `.<key>.<random>` of an older medfeat.
_RUN = re.compile(r"\.[0-9a-f]{12}\.([0-9]+-[0-9a-f]{8}\.tmp|[a-z0-9_]{8})")
_FILE = re.compile(r"\..+\.[0-9]+-[0-9a-f]{8}\.tmp")
# Notes are written in a moment: a temporary one this old is nobody's any more. A run of an older medfeat has no lock.
FILE_HOURS, RUN_HOURS = 1, 24
# Where medfeat writes files beside its stores, which the store's own collection looks after.
_PLACES = (
    ".*.tmp", ".asked/.*.tmp", f"{OF_STUDIES}/.*.tmp", "*/.*.tmp", "*/tasks/.*.tmp", "*/*/.*.tmp", "*/*/tasks/.*.tmp",
)  # fmt: skip
# Who makes a cell of a study, or trains; and guards of those who removed such a lock when they were killed.
_LOCKS = (f"{OF_STUDIES}/*.lock", "tuned/*/.unfinished-*.lock")
_WHY = "left by a killed process"


def collect_leftovers(root: Path, *, dry_run: bool = False) -> list[Garbage]:
    """Remove hidden folders of runs, temporary files, and locks of studies and trainings, that no living process holds.

    Parameters
    ----------
    root
        Of the cache.
    dry_run
        Only say what would go.

    Returns
    -------
    list of Garbage
        What went, or would go.
    """
    hidden = (path for one in runs_roots(root) for path in sorted(one.glob(f"{RUNS}/*/.*")))
    runs = [path for path in hidden if _RUN.fullmatch(path.name) and path.is_dir()]
    files = sorted({path for place in _PLACES for path in root.glob(place) if _is_file_of_ours(path)})
    locks = [path for one in runs_roots(root) for place in _LOCKS for path in sorted(one.glob(place))]
    files += [path for one in runs_roots(root) for place in _LOCKS for path in sorted(one.glob(f"{place}.break"))]
    gone = [Garbage(path, _bytes(path), _WHY) for path in runs if _is_abandoned(path)]
    gone += [Garbage(path, _bytes(path), _WHY) for path in locks if is_stale(path)]
    gone += [Garbage(path, _bytes(path), _WHY) for path in files if _hours(path) > FILE_HOURS]
    if not dry_run:
        for one in gone:
            if one.path.is_dir() and not one.path.is_symlink():
                shutil.rmtree(one.path, ignore_errors=True)
            else:
                one.path.unlink(missing_ok=True)
    return gone


def _is_file_of_ours(path: Path) -> bool:
    of_a_store = re.match(r"\.[0-9a-f]{12}\.h5\.", path.name)
    return bool(_FILE.fullmatch(path.name)) and not of_a_store and not path.is_dir()


def _is_abandoned(folder: Path) -> bool:
    lock = folder / WRITER_LOCK
    return is_stale(lock) if lock.exists() else _hours(folder) > RUN_HOURS


def _hours(path: Path) -> float:
    """Return how long ago something was written, in hours; a time that lies ahead says nothing and counts as now."""
    return max(time.time() - path.lstat().st_mtime, 0) / 3600


def _bytes(path: Path) -> int:
    if path.is_dir() and not path.is_symlink():
        return sum(one.lstat().st_size for one in path.rglob("*"))
    return path.lstat().st_size
