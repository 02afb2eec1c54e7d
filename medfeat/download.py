"""Fetch a file, of data or of weights: resumed where it stopped, checked, published whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from medfeat.errors import DataError, MissingFileError
from medfeat.types import Progress, SilentProgress
from medfeat_cache.files import sync_folder

CHUNK_BYTES = 1 << 18
_TIMEOUT_SECONDS = 30
_ATTEMPTS = 3
_WRONG_RANGE = 416


@dataclass(frozen=True)
class Expected:
    """What a file must hash to: the hexadecimal digits of its digest, or the first of them."""

    algorithm: Literal["md5", "sha256"]
    digits: str

    @property
    def called(self) -> str:
        """The algorithm as it is written."""
        return {"md5": "MD5", "sha256": "SHA-256"}[self.algorithm]

    def of(self, path: Path) -> str:
        """Return the digest of a file."""
        with path.open("rb") as file:
            return hashlib.file_digest(file, self.algorithm).hexdigest()


class _CutShortError(OSError):
    """The connection ended before the file did."""


_NETWORK = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, _CutShortError)


def download(
    url: str,
    target: Path,
    *,
    expected: Expected | None,
    otherwise: str,
    progress: Progress | None = None,
    pause: float = 1.0,
) -> None:
    """Fetch `url` to `target`.

    What arrives is kept beside the target as ``<name>.part``, so that the next call goes on from there; it takes
    the target's name only after its digest was right. Two processes that want one file wait for each other.

    Parameters
    ----------
    url
        Where the file is.
    target
        Where it goes; the folder is made.
    expected
        What the file must hash to. None where nobody says: then a part of an earlier call, which may be of another
        file, is not gone on with.
    otherwise
        What the user can do instead, in words that end a sentence, as "name its folder with --data-root".
    progress
        Told of each piece, in bytes.
    pause
        Seconds before a connection that broke is tried again.

    Raises
    ------
    MissingFileError
        When the file cannot be had; what arrived so far is kept.
    DataError
        When what arrived has another digest, even after a fresh start; it is removed. Or when there is no place.
    """
    bar = progress or SilentProgress()
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as held, _only_one(held, bar, target):
            if target.exists():
                return  # another process fetched it while this one waited
            _fetch_checked(url, part, expected, bar, pause)
            part.replace(target)
            sync_folder(target.parent)
    except _NETWORK as error:
        raise _unreachable(url, target, otherwise, error) from error
    except OSError as error:
        raise DataError(f"cannot write {part}: {error.strerror or error}; {otherwise}") from error
    finally:
        with suppress(OSError):
            if part.stat().st_size == 0:
                part.unlink()


def _fetch_checked(url: str, part: Path, expected: Expected | None, bar: Progress, pause: float) -> None:
    """Fetch to `part` until its digest is right; a resumed file that turns out wrong is fetched once more from zero."""
    part.touch()  # a process waited for may have removed it
    if expected is None:
        os.truncate(part, 0)
        return _fetch(url, part, bar, pause)
    resumed = part.stat().st_size > 0
    _fetch(url, part, bar, pause)
    found = expected.of(part)
    if not found.startswith(expected.digits) and resumed:
        bar.say(f"{part.name}: what was there from before does not belong to the file; fetching it from the start")
        os.truncate(part, 0)
        _fetch(url, part, bar, pause)
        found = expected.of(part)
    if not found.startswith(expected.digits):
        part.unlink()
        raise DataError(
            f"{url} gave a file of {expected.called} {found} where {expected.digits} is expected: the server or the "
            f"connection damaged it; run the command again, or put the right file at {part.with_suffix('')}"
        )
    return None


def _fetch(url: str, part: Path, bar: Progress, pause: float) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _fetch_once(url, part, bar)
        except urllib.error.HTTPError:
            raise  # the server answered; asking again changes nothing
        except (OSError, http.client.HTTPException) as error:
            stalled = isinstance(error, urllib.error.URLError) and not part.stat().st_size
            if attempt == _ATTEMPTS or stalled or not isinstance(error, _NETWORK):
                raise
            time.sleep(pause)
    return None


def _fetch_once(url: str, part: Path, bar: Progress) -> None:
    have = part.stat().st_size
    request = urllib.request.Request(url, headers={"User-Agent": "medfeat"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == _WRONG_RANGE and have:
            return  # nothing is left to fetch; the MD5 decides
        raise
    with response:
        start = _first_byte(response)
        if start > have:
            raise DataError(f"{url} was asked from byte {have} and answered from byte {start}; delete {part}")
        left = int(response.headers.get("Content-Length") or 0)
        _receive(response, part, start, left, bar)


def _first_byte(response: http.client.HTTPResponse) -> int:
    """Return where in the file the answer begins: servers without resume answer from 0."""
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found.group(1)) if response.status == http.client.PARTIAL_CONTENT and found else 0


def _receive(response: http.client.HTTPResponse, part: Path, start: int, left: int, bar: Progress) -> None:
    total, received = start + left, start
    bar.start(total, f"downloading {part.stem}", "bytes")
    try:
        bar.advance(start)
        with part.open("r+b") as file:
            file.seek(start)
            file.truncate()
            while chunk := response.read(CHUNK_BYTES):
                file.write(chunk)
                received += len(chunk)
                bar.advance(len(chunk))
            file.flush()
            os.fsync(file.fileno())
    finally:
        bar.finish()
    if left and received < total:
        raise _CutShortError(f"the connection ended after {received} of {total} bytes")


def _unreachable(url: str, target: Path, otherwise: str, error: Exception) -> MissingFileError:
    reason = str(getattr(error, "reason", "") or error).splitlines()[0]
    return MissingFileError(
        f"cannot download {url} ({reason}): run again to go on where it stopped, or get it another way and put it "
        f"at {target}, or {otherwise}"
    )


@contextmanager
def _only_one(held: IO[bytes], bar: Progress, target: Path) -> Iterator[None]:
    """Hold the lock of a download; it goes with the process, so that no stale lock is left."""
    try:
        import fcntl
    except ImportError:  # Windows: two downloads of one file at once are then not kept apart
        yield
        return
    with suppress(OSError):  # network file systems without locks
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            bar.say(f"waiting for another process that downloads {target.name}")
            fcntl.flock(held, fcntl.LOCK_EX)
    yield
