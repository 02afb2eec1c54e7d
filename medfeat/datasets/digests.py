"""Digests of files, remembered by path and stamp, so that 16 GB are hashed once."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from medfeat.errors import DataError
from medfeat.types import Progress, SilentProgress
from medfeat_cache import Stamp, make_folder, write_whole
from medfeat_cache.reading import look_at, read_json

MEMORY_NAME = "digests.json"
# A larger memory is one of more than a million files, and is begun anew.
_MEMORY_BYTES = 256 << 20
CHUNK_BYTES = 1 << 20


def file_digest(path: Path, algorithm: str, *, progress: Progress | None = None) -> str:
    """Hash a file in bounded memory.

    Parameters
    ----------
    path
        The file.
    algorithm
        ``md5`` or ``blake2b`` (32 bytes).
    progress
        Told of each piece, in bytes.

    Returns
    -------
    str
        Hexadecimal digest.

    Raises
    ------
    OSError
        It cannot be read, or is no file: a pipe or a device would be read for ever.
    """
    bar = progress or SilentProgress()
    digest = (
        hashlib.blake2b(digest_size=32) if algorithm == "blake2b" else hashlib.new(algorithm, usedforsecurity=False)
    )
    look_at(path)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            bar.advance(len(chunk))
    return digest.hexdigest()


def changed_meanwhile(path: Path) -> DataError:
    """Build the error for a file that is not the one whose digest was taken when the command began."""
    return DataError(
        f"{path} was changed while it was read: what came of it is not kept; leave the images alone and run the same "
        "command again"
    )


class DigestMemory:
    """What the digests of files were when they were last read.

    Parameters
    ----------
    path
        A small JSON file, read on first use and written by `save`; None remembers only within this object.
        A file that cannot be read is taken for empty: the memory saves time and never decides anything else.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._new: dict[str, dict[str, Any]] = {}
        self._known: dict[str, dict[str, Any]] | None = None

    @classmethod
    def of_cache(cls, root: Path | None) -> DigestMemory:
        """Return the memory a cache folder keeps; None remembers nothing beyond the object."""
        return cls(root / MEMORY_NAME if root is not None else None)

    def digest(self, path: Path, algorithm: str, *, progress: Progress | None = None) -> str:
        """Return the file's digest, reading the file only when it changed since it was last read."""
        found = self.recall(path, algorithm)
        if found is None:
            before, now = Stamp.of(path), time.time_ns()
            found = file_digest(path, algorithm, progress=progress)
            if before.settled(now) and before == Stamp.of(path):
                self.remember(path, algorithm, found)
        return found

    def recall(self, path: Path, algorithm: str) -> str | None:
        """Return what is remembered of the file as it is now, or None."""
        key = os.path.realpath(path)
        entry = self._new.get(key) or self._read().get(key, {})
        stamp = asdict(Stamp.of(path))
        if not isinstance(entry, dict) or {name: entry.get(name) for name in stamp} != stamp:
            return None
        found = entry.get(algorithm)
        return found if isinstance(found, str) else None

    def remember(self, path: Path, algorithm: str, digest: str) -> None:
        """Note the digest of the file as it is now; `save` makes it last."""
        key, stamp = os.path.realpath(path), asdict(Stamp.of(path))
        entry = self._new.get(key, {})
        kept = entry if {k: entry.get(k) for k in stamp} == stamp else stamp
        self._new[key] = {**kept, algorithm: digest}

    def forget(self) -> None:
        """Forget everything, on disk too; the next look reads the files themselves."""
        self._new, self._known = {}, {}
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def save(self) -> None:
        """Add what is new to the JSON file, atomically; a folder that cannot be written is left alone."""
        if self.path is None or not self._new:
            return
        self._known = None  # another process may have added to it meanwhile
        merged = {**self._read(), **self._new}
        try:
            make_folder(self.path.parent)
            write_whole(self.path, [json.dumps(merged, indent=0).encode()], "remembering digests in")
        except OSError:
            return  # a read-only cache costs hashing again, nothing else
        self._known, self._new = merged, {}

    def _read(self) -> dict[str, dict[str, Any]]:
        if self._known is None:
            self._known = _read_json(self.path) if self.path is not None else {}
        return self._known


def _read_json(path: Path) -> dict[str, dict[str, Any]]:
    try:
        content = read_json(path, limit=_MEMORY_BYTES)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
