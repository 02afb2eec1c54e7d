"""Bytes on disk: exact reads and writes at an offset, and files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medfeat_cache.errors import StoreDamaged, saying

CHUNK_BYTES = 8 << 20
TEMPORARY = ".tmp"
# A name of 255 bytes, the longest there is, holds it with the marks of a temporary file.
_LONGEST_STEM = 200
_SEEKING = threading.Lock()


def raw(values: NDArray[Any]) -> memoryview:
    """Return the bytes of a contiguous array, without a copy."""
    return values.reshape(-1).view(np.uint8).data


def read_at(file: BinaryIO, offset: int, out: NDArray[Any]) -> None:
    """Fill `out` with the bytes at `offset`; a file that ends before is damaged.

    Plain reads, not a mapping: what was read does not stay in the memory of the process. Threads, and processes that
    were forked, may read the same open file at once.
    """
    left = raw(out)
    while left:
        count = _read_some(file, offset, left)
        if not count:
            raise StoreDamaged(f"{getattr(file, 'name', 'file')} is truncated: {len(left)} bytes are missing")
        offset, left = offset + count, left[count:]


def _read_some(file: BinaryIO, offset: int, out: memoryview) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(file.fileno(), [out], offset)
    with _SEEKING:  # Windows has no read that leaves the position alone
        file.seek(offset)
        return int(file.readinto(out))  # type: ignore[attr-defined]  # BinaryIO lacks it, every real file has it


def write_at(file: BinaryIO, offset: int, values: NDArray[Any]) -> None:
    """Write the bytes of `values` at `offset`, all of them."""
    left = raw(np.ascontiguousarray(values))
    file.seek(offset)
    while left:
        left = left[file.write(left) :]


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable, where the system can."""
    with suppress(
        OSError
    ):  # Windows and some network folders cannot open a folder; their renames are durable or nothing is
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def temporary_name(path: Path) -> Path:
    """Name a file beside `path` that no reader takes for a store and that tells whose it is."""
    stem = os.fsencode(path.name.lstrip("."))[:_LONGEST_STEM].decode(errors="ignore")
    return path.with_name(f".{stem}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY}")


def share(path: Path) -> None:
    """Give the group of the folder around `path` the rights it has there; everything else is as the umask says.

    A cache in a folder of a group, where its members may write, stays theirs: what one of them makes, the others can
    mend and take away. Only the folder's own group gains, and only where it may write already.
    """
    with suppress(OSError):  # somebody else's file, or a file system without such rights
        around, own = path.parent.stat(), path.stat()
        if around.st_mode & stat.S_IWGRP and around.st_gid == own.st_gid:
            rights = stat.S_IRWXG if stat.S_ISDIR(own.st_mode) else stat.S_IRGRP | stat.S_IWGRP
            path.chmod(stat.S_IMODE(own.st_mode) | (around.st_mode & rights))


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, shared as `share` says; one that is there is left as it is."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in reversed(missing):
        share(folder)


@contextmanager
def replacing(path: Path, doing: str, instead: str = "") -> Iterator[Path]:
    """Yield a temporary path; on success it is synced and takes the place of `path`, on any error it is removed.

    Parameters
    ----------
    path
        What appears whole, or stays as it was. A link is followed, and a file that is replaced keeps its mode. What
        is no file (a pipe, ``/dev/stdout``) is written into, once everything is there.
    doing
        What is being done, as the error says it.
    instead
        What else the user can do; by default, choose another cache.

    Raises
    ------
    StoreWriteError
        One line: the disk is full, there is no permission, a folder is in the place.
    """
    if _is_stream(path):
        with saying(path, doing, instead), tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / path.name
            yield temporary
            with temporary.open("rb") as file, os.fdopen(_open_stream(path), "wb") as out:
                shutil.copyfileobj(file, out)
        return
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    temporary = temporary_name(target)
    try:
        with saying(path, doing, instead):
            mode = _mode_of_new(temporary)
            yield temporary
            if stat.S_IMODE(temporary.stat().st_mode) != mode:  # some libraries make files that nobody else may read
                temporary.chmod(mode)
            _as_before(target, temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(target)
            sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _mode_of_new(path: Path) -> int:
    """Return the rights that a new file gets here, by the umask and the folder."""
    with path.open("xb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    path.unlink()
    return mode


def _is_stream(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _open_stream(path: Path) -> int:
    """Open a pipe or device for writing; a pipe that nobody reads is an error, not a wait without end."""
    handle = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
    os.set_blocking(handle, True)
    return handle


def _as_before(target: Path, temporary: Path) -> None:
    """Give a new file the mode of the file whose place it takes, else what its folder says."""
    try:
        mode = stat.S_IMODE(target.stat().st_mode)
    except OSError:
        share(temporary)
    else:
        with suppress(OSError):
            temporary.chmod(mode)


def write_whole(path: Path, pieces: Iterable[bytes | memoryview], doing: str, instead: str = "") -> None:
    """Write a file that appears under its name whole and durable, or not at all; see `replacing`."""
    with replacing(path, doing, instead) as temporary, temporary.open("xb") as file:
        for piece in pieces:
            file.write(piece)
