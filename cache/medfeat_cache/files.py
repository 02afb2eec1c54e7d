"""Bytes on disk: exact reads and writes at an offset, and files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
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
    return path.with_name(f".{path.name.lstrip('.')}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY}")


@contextmanager
def replacing(path: Path, doing: str) -> Iterator[Path]:
    """Yield a temporary path; on success it is synced and takes the place of `path`, on any error it is removed."""
    temporary = temporary_name(path)
    try:
        with saying(path, doing):
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, pieces: Iterable[bytes | memoryview], doing: str) -> None:
    """Write a file that appears under its name whole and durable, or not at all."""
    with replacing(path, doing) as temporary, temporary.open("xb") as file:
        for piece in pieces:
            file.write(piece)
