"""Files that others may have written: looked at before they are opened, bounded before they are held."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

from medfeat_cache.errors import StoreError, StoreInputError

# Parsed, the worst JSON of this size stays below a gigabyte: lists and objects are counted apart.
JSON_BYTES = 64 << 20
_JSON_CONTAINERS = 4_000_000
# A table of labels of some million images.
TABLE_BYTES = 256 << 20
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class NoFile(StoreError, OSError, ValueError):  # noqa: N818 - reads as what it says: there is no file
    """What is at a path is no regular file: a pipe, a device, a folder, a link to itself."""


def look_at(path: Path) -> os.stat_result:
    """Return what the file system says of a file, without opening it; links are followed.

    Opening a pipe waits for its other end, and a device may never end: what a path is, is asked first.

    Raises
    ------
    NoFile
        It is something else than a regular file; the message names it.
    OSError
        It is not there, or may not be looked at.
    """
    try:
        found = path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NoFile(f"{path} is a link that leads back to itself: it was not opened") from error
        raise
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for test, name in _KINDS if test(found.st_mode)), "no regular file")
        raise NoFile(f"{path} is {kind}, not a file: it was not opened")
    return found


def read_bounded(path: Path, limit: int) -> bytes:
    """Return the bytes of a regular file of at most `limit` bytes.

    Raises
    ------
    NoFile
        It is no regular file.
    StoreInputError
        It is larger.
    """
    size = look_at(path).st_size
    if size <= limit:
        with path.open("rb") as file:
            content = file.read(limit + 1)
        if len(content) <= limit:
            return content
    raise StoreInputError(f"{path} is larger than {limit >> 20} MB, which no such file is: it was not read")


def read_json(path: Path, *, limit: int = JSON_BYTES) -> Any:
    """Return the values of a JSON file, in bounded memory whatever it holds.

    Raises
    ------
    StoreInputError
        It is no JSON, is larger than `limit` bytes, or is nested deeper or wider than any file of ours; also a
        ValueError.
    OSError
        It cannot be read.
    """
    return parse_json(read_bounded(path, limit), path)


def parse_json(content: bytes, path: Path) -> Any:
    """Return the values of JSON that was read from `path`, as `read_json` does."""
    if content.count(b"[") + content.count(b"{") > _JSON_CONTAINERS:
        raise StoreInputError(f"{path} holds more than {_JSON_CONTAINERS} lists and objects: it was not read")
    try:
        return json.loads(content)
    except RecursionError as error:
        raise StoreInputError(f"{path} is nested deeper than any file of medfeat's: it was not read") from error
    except ValueError as error:
        raise StoreInputError(f"{path} is no JSON: {str(error).splitlines()[0]}") from error
