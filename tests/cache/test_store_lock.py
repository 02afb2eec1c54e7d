"""Two writers of one store: one writes, the other knows who; the dead hold nothing."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from medfeat_cache import FeatureStore, StoreBusy, collect_garbage, lock
from medfeat_cache.lock import Lock, is_stale, me
from medfeat_cache.root import lock_file

Source = Any
HOLD = """
import sys, time
from pathlib import Path
from medfeat_cache.lock import Lock
held = Lock(Path(sys.argv[1])).acquire()
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".0123456789ab.lock"


def hold(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def write_lock(path: Path, age_s: float = 0, **changes: Any) -> None:
    path.write_text(json.dumps({**vars(me()), "token": "theirs", **changes}))
    os.utime(path, (time.time() - age_s,) * 2)


def test_a_busy_store_names_its_writer(path: Path) -> None:
    process = hold(path)
    try:
        with pytest.raises(StoreBusy, match=rf"written by process {process.pid} on \S+ since 20") as caught:
            Lock(path).acquire(wait=False)
        assert isinstance(caught.value, BlockingIOError)
    finally:
        end(process)


def test_waiting_says_once_for_whom_and_ends_when_the_writer_is_killed(path: Path) -> None:
    process, said = hold(path), []
    threading.Timer(0.7, process.send_signal, [signal.SIGKILL]).start()
    held = Lock(path).acquire(on_wait=said.append)
    assert len(said) == 1
    assert f"process {process.pid} on" in said[0]
    held.release()
    assert not path.exists()
    end(process)


def test_a_lock_of_a_killed_process_does_not_block(path: Path) -> None:
    process = hold(path)
    end(process)
    assert path.exists()
    assert is_stale(path)
    Lock(path).acquire(wait=False).release()


def test_a_killed_writer_that_nobody_waited_for_is_dead_too(path: Path) -> None:
    process = hold(path)
    process.kill()
    deadline = time.time() + 10
    while not is_stale(path) and time.time() < deadline:
        time.sleep(0.02)
    assert is_stale(path), "a zombie holds nothing"
    end(process)


def test_a_pid_given_to_another_process_is_not_the_holder(path: Path) -> None:
    write_lock(path, pid=os.getppid(), start="1")
    assert is_stale(path)


def test_a_stopped_but_living_process_keeps_its_lock(path: Path) -> None:
    process = hold(path)
    try:
        os.utime(path, (0, 0))
        assert not is_stale(path)
    finally:
        end(process)


@pytest.mark.parametrize(("age_s", "stale"), [(10, False), (400, True)])
def test_a_process_on_another_machine_lives_by_its_heartbeat(path: Path, age_s: float, stale: bool) -> None:
    write_lock(path, age_s, host="elsewhere")
    assert is_stale(path) is stale
    write_lock(path, age_s, machine="the same host before it was started anew")
    assert is_stale(path) is stale


@pytest.mark.parametrize(("age_s", "stale"), [(0, False), (20, True)])
def test_a_lock_without_a_name_gets_seconds_to_be_named(path: Path, age_s: float, stale: bool) -> None:
    path.touch()
    os.utime(path, (time.time() - age_s,) * 2)
    assert is_stale(path) is stale


def test_the_heartbeat_beats_while_the_lock_is_held(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.02)
    held = Lock(path).acquire()
    os.utime(path, (0, 0))
    deadline = time.time() + 10
    while path.stat().st_mtime < 1 and time.time() < deadline:
        time.sleep(0.02)
    assert path.stat().st_mtime > 1
    held.release()


def test_the_heartbeat_survives_a_read_that_failed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.02)
    failed, read = [], lock._read

    def flaky(where: Path) -> Any:
        return read(where) if len(failed) > 2 else failed.append(where)

    monkeypatch.setattr(lock, "_read", flaky)
    held = Lock(path).acquire()
    deadline = time.time() + 10
    while len(failed) < 3 and time.time() < deadline:
        time.sleep(0.02)
    os.utime(path, (0, 0))
    while path.stat().st_mtime < 1 and time.time() < deadline:
        time.sleep(0.02)
    assert path.stat().st_mtime > 1
    held.release()


def test_the_heartbeat_ends_when_another_took_the_lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.02)
    held = Lock(path).acquire()
    write_lock(path, host="elsewhere")
    time.sleep(0.2)
    os.utime(path, (0, 0))  # only now: a beat that had read the lock before it was theirs still touches it once
    time.sleep(0.2)
    assert path.stat().st_mtime < 1
    held.release()


def test_one_process_does_not_wait_for_itself(path: Path) -> None:
    held = Lock(path).acquire()
    with pytest.raises(StoreBusy, match="this very process"):
        Lock(path).acquire(wait=True)
    held.release()


def test_a_forgotten_lock_is_let_go(path: Path) -> None:
    held = Lock(path).acquire()
    del held
    gc.collect()
    assert not path.exists()


def test_a_lock_that_was_taken_over_is_noticed_and_left_alone(path: Path) -> None:
    held = Lock(path).acquire()
    held.check()
    write_lock(path, host="elsewhere")
    with pytest.raises(StoreBusy, match=r"taken over by process .* on elsewhere"):
        held.check()
    held.release()
    assert path.exists()


def test_it_works_where_flock_fails(
    path: Path, monkeypatch: pytest.MonkeyPatch, source: Source, tmp_path: Path
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    for name in ("flock", "lockf", "fcntl"):
        monkeypatch.setattr(fcntl, name, refuse)
    assert FeatureStore(source.make(tmp_path / "root"), verify=True).n("train") == 30


def test_many_threads_break_one_stale_lock_and_one_at_a_time_holds_it(path: Path) -> None:
    write_lock(path, pid=os.getppid(), start="1")
    code = (
        "import sys, time; from pathlib import Path; from medfeat_cache.lock import Lock\n"
        "lock = Lock(Path(sys.argv[1])).acquire(on_wait=lambda line: None)\n"
        "inside = Path(sys.argv[1]).with_name('inside')\n"
        "inside.touch(exist_ok=False); time.sleep(0.05); inside.unlink(); lock.release()"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(path)]) for _ in range(5)]
    assert [process.wait() for process in processes] == [0] * 5
    assert not path.exists()


def test_the_writer_of_a_store_holds_its_lock_until_it_is_closed(source: Source, tmp_path: Path) -> None:
    where = lock_file(source.path(tmp_path))
    with source.open(tmp_path):
        assert where.exists()
        with pytest.raises(StoreBusy):
            source.open(tmp_path, wait=False)
    assert not where.exists()
    with pytest.raises(ZeroDivisionError), source.open(tmp_path):
        _ = 1 / 0
    assert not where.exists()


def test_a_lock_whose_time_lies_ahead_goes_stale_when_nobody_touches_it(path, monkeypatch):
    """As of a file server whose clock is ahead, or after a clock was set back."""
    monkeypatch.setattr(lock, "STALE_S", 0.3)
    write_lock(path, age_s=-86_400, host="elsewhere")
    assert not is_stale(path)
    time.sleep(0.4)
    assert is_stale(path)
    Lock(path).acquire(wait=False).release()


def test_a_lock_whose_time_lies_ahead_and_beats_is_alive(path, monkeypatch):
    monkeypatch.setattr(lock, "STALE_S", 0.3)
    for beat in range(4):
        write_lock(path, age_s=-86_400 - beat, host="elsewhere")
        assert not is_stale(path)
        time.sleep(0.2)


@pytest.mark.parametrize("ahead_s", [-3600, 3600])
def test_a_clock_of_our_own_that_is_wrong_ends_nobody_and_spares_nobody(path, monkeypatch, ahead_s):
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + ahead_s)
    path.write_text(json.dumps({**vars(me()), "token": "theirs", "host": "elsewhere"}))
    assert not is_stale(path)
    old = clock() - 400
    os.utime(path, (old, old))
    assert is_stale(path)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("ahead_s", [0, 86_400])
def test_the_guard_of_a_killed_breaker_ends_and_is_said(path, monkeypatch, ahead_s):
    monkeypatch.setattr(lock, "EMPTY_S", 0.5)
    guard, said = path.with_name(f"{path.name}.break"), []
    write_lock(path, 400, host="elsewhere")
    guard.touch()
    os.utime(guard, (time.time() + ahead_s,) * 2)
    Lock(path).acquire(wait=False, on_wait=said.append).release()
    assert len(said) == 1 and "whoever removes a stale lock" in said[0]
    assert not guard.exists() and not path.exists()


def test_a_lock_that_says_nothing_is_stale_after_ten_seconds(path):
    """Whoever made it died before the line was written, or is about to write it."""
    for age_s, stale in ((1, False), (10.5, True)):
        path.touch()
        then = time.time() - age_s
        os.utime(path, (then, then))
        assert is_stale(path) is stale
        path.unlink()


@pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX does")
@pytest.mark.parametrize("cleared_by", ["the next writer", "gc"])
def test_a_breaker_killed_once_the_stale_lock_is_gone_leaves_nothing_for_ever(tmp_path, cleared_by):
    """Killed between the two removals: the lock is free, so nobody looks at its guard again."""
    path = tmp_path / "toy" / "net" / ".0123456789ab.lock"
    path.parent.mkdir(parents=True)
    write_lock(path, 400, host="elsewhere")
    code = (
        "import os, pathlib, signal, sys\n"
        "from medfeat_cache.lock import Lock\n"
        "gone = pathlib.Path.unlink\n"
        "def unlink(self, **options):\n"
        "    os.kill(os.getpid(), signal.SIGKILL) if self.suffix == '.break' else gone(self, **options)\n"
        "pathlib.Path.unlink = unlink\n"
        "Lock(pathlib.Path(sys.argv[1])).acquire()\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [left.name for left in path.parent.iterdir()] == [f"{path.name}.break"]
    if cleared_by == "gc":
        assert [one.path.name for one in collect_garbage(tmp_path)] == [f"{path.name}.break"]
        assert list(tmp_path.iterdir()) == []
    else:
        Lock(path).acquire(wait=False).release()
        assert list(path.parent.iterdir()) == []
