"""Headers of stores as they were last read, so that many stores are listed without opening each: a file to throw away.

It saves time and never decides anything: an entry counts only while its file has the stamp it had when its header was
read, and an index that cannot be read is an empty one. Opening a store never asks it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from medfeat_cache.errors import StoreError
from medfeat_cache.files import write_whole
from medfeat_cache.header import StoreHeader, listed_header
from medfeat_cache.key import digest, recipe_digest
from medfeat_cache.stamp import Stamp

_INDEX_NAME = "headers.json"
VERSION = 2
_KEPT = ("digest", "recipe", "info", "counts", "dim", "dtype", "shape", "created_by", "created_utc")
# Reading a header costs less than a millisecond, on network folders ten: fewer spare a cache the file.
WORTH_WRITING = 32


class HeaderIndex:
    """The headers below one root.

    Parameters
    ----------
    root
        From `medfeat_cache.resolve_root`; the index lies in it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known = _load(root / _INDEX_NAME, _stamp(root / _INDEX_NAME))
        self._new: dict[str, dict[str, Any]] = {}

    def header(self, path: Path) -> StoreHeader:
        """Return the header of a store: as it was read from this very file before, else from the file."""
        name, before = path.relative_to(self.root).as_posix(), _stamp(path)
        entry = self._known.get(name)
        if before is not None and isinstance(entry, dict) and entry.get("stamp") == vars(before):
            found = _header(path, entry.get("header"), before.size)
            if found is not None:
                return found
        now, header = time.time_ns(), listed_header(path)
        if before is not None and before.settled(now) and before == _stamp(path):
            self._new[name] = {"stamp": vars(before), "header": {key: getattr(header, key) for key in _KEPT}}
        return header

    def save(self, among: Collection[Path] | None = None) -> None:
        """Write down what is new, if it is worth a file; a folder that cannot be written is left alone.

        Parameters
        ----------
        among
            All the stores there are, where they are known: what is remembered of others goes.
        """
        if len(self._new) < WORTH_WRITING:
            return
        place = self.root / _INDEX_NAME
        entries = _load(place, _stamp(place)) | self._new  # another process may have added to it meanwhile
        if among is not None:
            there = {path.relative_to(self.root).as_posix() for path in among}
            entries = {name: entry for name, entry in entries.items() if name in there}
        body = json.dumps(entries, separators=(",", ":"))
        head = json.dumps({"version": VERSION, "digest": digest(body.encode())})
        with suppress(StoreError, OSError):  # a read-only cache costs reading again, nothing else
            write_whole(place, [f"{head}\n{body}\n".encode()], "noting the headers of stores")


@lru_cache(maxsize=1)  # one command looks for stores several times
def _load(path: Path, stamp: Stamp | None) -> dict[str, Any]:
    """Read an index of this stamp; one that is not there, not whole, changed, or of another version is empty."""
    del stamp
    try:
        head, _, body = path.read_text(encoding="utf-8").rstrip("\n").partition("\n")
        if json.loads(head) != {"version": VERSION, "digest": digest(body.encode())}:
            return {}
        found: dict[str, Any] = json.loads(body)
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _stamp(path: Path) -> Stamp | None:
    try:
        return Stamp.of(path)
    except OSError:
        return None


def _header(path: Path, kept: Any, size: int) -> StoreHeader | None:
    try:
        header = StoreHeader(path=path, size_bytes=size, **{**kept, "shape": tuple(kept["shape"])})
        return header if recipe_digest(header.recipe) == header.digest else None
    except (KeyError, TypeError, ValueError, StoreError):
        return None
