"""One writer a store: a lock file that says who holds it, since when, and can be told from one left by the dead.

Made with O_CREAT|O_EXCL alone, so it also works in folders where flock fails. A lock is stale when its process is
gone (same machine: pid and start time) or, for a process elsewhere, when its heartbeat has stopped.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medfeat_cache.create import now_utc
from medfeat_cache.errors import StoreBusy, saying
from medfeat_cache.files import temporary_name
from medfeat_cache.reading import read_json

HEARTBEAT_S = 20.0
STALE_S = 300.0
EMPTY_S = 10.0
_POLL_S = 0.2
_BREAKER = "whoever removes a stale lock"
_LOCK_BYTES, _PIDS = 1 << 16, 1 << 31
# When this process first saw a file with its present time: (that time, by the monotonic clock).
_seen: dict[Path, tuple[float, float]] = {}


@dataclass(frozen=True)
class Holder:
    """Who holds a lock: the facts that tell a live process from a dead one."""

    host: str
    pid: int
    since: str
    start: str
    machine: str
    token: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _machine() -> str:
    # Boot and process namespace: only where both are equal does a pid mean the same process.
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = ""
    return f"{_text('/proc/sys/kernel/random/boot_id')} {space}"


def _start(pid: int) -> str:
    """Return when a process started, in clock ticks since boot; empty when it is dead or a zombie, or unknowable."""
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in "ZX" else ""


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def me() -> Holder:
    """Return this process, as a lock names it."""
    pid = os.getpid()
    return Holder(socket.gethostname(), pid, now_utc(), _start(pid), _machine(), secrets.token_hex(8))


def _read(path: Path) -> Holder | None:
    """Return who holds a lock, None when there is none or its holder is just writing its name."""
    try:
        found = Holder(**read_json(path, limit=_LOCK_BYTES))
    except (OSError, ValueError, TypeError):
        return None
    texts = (found.host, found.since, found.start, found.machine, found.token)
    known = all(isinstance(one, str) for one in texts) and type(found.pid) is int and 0 < found.pid < _PIDS
    return found if known else None


def _silence_s(path: Path) -> float:
    """Return how long nobody touched a file, in seconds.

    Its time is the file server's, so it is compared with the server's, whatever our clock says. A time that lies
    ahead, as after a clock was set back, says nothing: then counts how long this process saw it unchanged.
    """
    try:
        touched = path.stat().st_mtime
    except OSError:
        return 0.0
    known, since = _seen.get(path, (None, 0.0))
    if known != touched:
        since = time.monotonic()
        _seen[path] = (touched, since)
    age = _now_at(path.parent) - touched
    return age if age >= 0 else time.monotonic() - since


def _now_at(folder: Path) -> float:
    """Return the time by the clock that stamps files in a folder; where nothing can be written, by our own."""
    probe = temporary_name(folder / "clock")
    try:
        handle = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        try:
            return os.fstat(handle).st_mtime
        finally:
            os.close(handle)
            probe.unlink(missing_ok=True)
    except OSError:
        return time.time()


def is_stale(path: Path) -> bool:
    """Tell whether nobody alive can hold the lock at `path`."""
    holder = _read(path)
    if holder is None:
        return path.exists() and _silence_s(path) > EMPTY_S
    here = me()
    if os.name == "posix" and (holder.host, holder.machine) == (here.host, here.machine):
        if not _alive(holder.pid):
            return True
        if holder.start:
            return _start(holder.pid) != holder.start
    return _silence_s(path) > STALE_S


def _guard(path: Path) -> Path:
    return path.with_name(f"{path.name}.break")


def _break_stale(path: Path) -> bool:
    """Remove a stale lock; of several processes that try, one does, and never removes a new one.

    Returns
    -------
    bool
        Whether this was the one; False while another is at it, or died while it was.
    """
    guard = _guard(path)
    try:
        os.close(os.open(guard, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        if _silence_s(guard) > EMPTY_S:
            guard.unlink(missing_ok=True)
        return False
    try:
        if is_stale(path):
            path.unlink(missing_ok=True)
    finally:
        guard.unlink(missing_ok=True)
    return True


def log_wait(message: str) -> None:
    """Tell the log, which Python shows on stderr unless it is told otherwise."""
    logging.getLogger("medfeat_cache").warning(message)


class Lock:
    """The right to write one store, held until `release` or the end of the process.

    Parameters
    ----------
    path
        The lock file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.holder = me()
        self._stop = threading.Event()
        self._release: weakref.finalize[Any, Any] | None = None

    def acquire(self, *, wait: bool = True, on_wait: Callable[[str], None] = log_wait) -> Lock:
        """Take the lock; wait for whoever holds it, or refuse.

        Parameters
        ----------
        wait
            False raises `StoreBusy` at once, naming the holder.
        on_wait
            Called with one line for each holder that is waited for.
        """
        named = None
        while not self._try():
            if is_stale(self.path):
                with saying(self.path, "removing the stale lock"):
                    gone = _break_stale(self.path)
                if not gone:  # somebody else removes it, or was killed while doing so
                    if named != _BREAKER:
                        on_wait(f"waiting for {_BREAKER} ({self.path}), at most {EMPTY_S:.0f} seconds")
                        named = _BREAKER
                    time.sleep(_POLL_S)
                continue
            holder = _read(self.path)
            who = str(holder) if holder else "another process"
            mine = holder is not None and (holder.machine, holder.pid) == (self.holder.machine, self.holder.pid)
            if mine or not wait:
                reason = "this very process" if mine else who
                raise StoreBusy(f"the store of {self.path} is being written by {reason}: wait until it is done")
            if named != who:
                on_wait(f"waiting for {who}, which writes the same store ({self.path})")
                named = who
            time.sleep(_POLL_S)
        return self

    def _try(self) -> bool:
        with saying(self.path, "locking"):
            try:
                handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                return False
            try:
                os.write(handle, json.dumps(asdict(self.holder)).encode())
                os.fsync(handle)
            except OSError:
                self.path.unlink(missing_ok=True)
                raise
            finally:
                os.close(handle)
        # A writer that is forgotten, not closed, must not block its own process: the finalizer lets go.
        self._release = weakref.finalize(self, _let_go, self.path, self.holder, self._stop)
        threading.Thread(target=_beat, args=(self.path, self.holder, self._stop), daemon=True).start()
        return True

    def check(self) -> None:
        """Raise `StoreBusy` when the lock was taken over meanwhile, as after a long suspension."""
        holder = _read(self.path)
        if holder != self.holder:
            raise StoreBusy(f"the lock {self.path} was taken over by {holder or 'nobody'}: run the same command again")

    @property
    def held(self) -> bool:
        """Whether this object holds it."""
        return self._release is not None and self._release.alive

    def release(self) -> None:
        """Let go; doing so twice is harmless."""
        if self._release is not None:
            self._release()


def _let_go(path: Path, holder: Holder, stop: threading.Event) -> None:
    stop.set()
    if os.getpid() == holder.pid and _read(path) == holder:  # a forked child owns nothing
        with suppress(OSError):
            # Of a breaker that was killed once the stale lock was gone: nobody else comes by it.
            _guard(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)


def _beat(path: Path, holder: Holder, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_S):
        found = _read(path)
        if found is not None and found != holder:  # a read that failed tells nothing: the lock may well be ours
            return
        with suppress(OSError):
            os.utime(path)
