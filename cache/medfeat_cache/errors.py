"""Everything the store can say no to; each message is one line, each error also the builtin a caller would catch."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_ANOTHER_CACHE = "choose a writable folder with --cache-dir or $MEDFEAT_CACHE"


class StoreError(Exception):
    """Base of every error of the feature store; the command line prints it as one line."""

    exit_code = 1

    # KeyError and OSError would print their argument in their own way: one line means this line.
    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class StoreBusy(StoreError, BlockingIOError):  # noqa: N818 - reads as what it says: the store is busy
    """Another process writes this store; the message names it: host, pid, since when."""


class StoreDamaged(StoreError, ValueError):  # noqa: N818 - reads as what it says: the store is damaged
    """A file that is not what was written: truncated, changed, or not a store."""


class StoreVersionError(StoreError, ValueError):
    """A store of a format that this version cannot read."""


class StoreNotFoundError(StoreError, FileNotFoundError):
    """There is no store at this path."""


class StoreConflictError(StoreError, ValueError):
    """What is there and what was asked do not belong together: another recipe, other ids, rows given twice."""


class StoreInputError(StoreError, ValueError):
    """Values that may not enter a store: a wrong shape, NaN, an object array, a path with ``..``."""


class StoreWriteError(StoreError, OSError):
    """The disk said no: full, read-only, no permission."""


class UnknownIdsError(StoreError, KeyError):
    """Ids, or a group, that the store does not hold."""


def _write_error(error: OSError, path: Path, doing: str, instead: str) -> StoreWriteError:
    if error.errno in FULL:
        try:
            free = f"{shutil.disk_usage(path if path.is_dir() else path.parent).free / 1e6:.0f} MB free"
        except OSError:
            free = "free space unknown"
        return StoreWriteError(f"disk full while {doing} {path} ({free}): make room and run the same command again")
    if error.errno in _FORBIDDEN:
        return StoreWriteError(f"no permission while {doing} {path} ({error.strerror}): {instead or _ANOTHER_CACHE}")
    advice = instead or "check the disk and run the same command again"
    return StoreWriteError(f"{error.strerror or error} while {doing} {path}: {advice}")


@contextmanager
def saying(path: Path, doing: str, instead: str = "") -> Iterator[None]:
    """Turn the system's errors on `path` into one line: what was being done, and what to do `instead`."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise _write_error(error, path, doing, instead) from error
