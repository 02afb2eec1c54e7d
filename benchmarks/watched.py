"""A command that is watched from outside: seconds, processor seconds and memory of it and of all it started."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
EVERY = 0.25  # seconds between two looks


def run(command, *, env=None, limit=1200.0, kill_at=None, until=None):
    """Run a command to its end, or kill all of it once it has used `kill_at` processor seconds.

    Parameters
    ----------
    command
        Its words.
    env
        Variables beside those of this process.
    limit
        Seconds after which it is killed in any case.
    kill_at
        Processor seconds after which SIGKILL is sent to it and to all it started.
    until
        Called at each look; the command is killed, as done, when it returns true.

    Returns
    -------
    dict
        `seconds`, `processor_seconds` and `peak_mib` (of the whole tree: proportional set sizes, looked at four times a
        second), `exit`, `killed`, `load` of the machine at the end, and `said`: all it printed.
    """
    spent, before = {}, resource.getrusage(resource.RUSAGE_CHILDREN)
    peak, killed, begin = 0.0, None, time.perf_counter()
    with subprocess.Popen(
        [*map(str, command)],
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        os.set_blocking(process.stdout.fileno(), False)
        said = b""
        while process.poll() is None:
            family = descendants(process.pid, spent)
            spent |= {pid: seconds for pid, seconds in family.items() if seconds >= spent.get(pid, 0.0)}
            peak = max(peak, sum(map(memory, family)))
            said += process.stdout.read() or b""
            killed = reason(time.perf_counter() - begin, sum(spent.values()), limit, kill_at, until)
            if killed:
                end(family)
                break
            time.sleep(EVERY)
        process.wait()
        seconds = time.perf_counter() - begin
        said += process.stdout.read() or b""
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    waited = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "seconds": seconds,
        "processor_seconds": max(waited, sum(spent.values())),
        "peak_mib": peak,
        "exit": process.returncode,
        "killed": killed,
        "load": os.getloadavg()[0],
        "said": said.decode(errors="replace"),
    }


def reason(seconds, used, limit, kill_at, until):
    """Say why a command is to be killed now, None if it is not."""
    if until is not None and until():
        return "done"
    if kill_at is not None and used >= kill_at:
        return "on purpose"
    return "too long" if seconds > limit else None


def end(family):
    for pid in family:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def descendants(pid, known):
    """Return the processor seconds of a process and all it started, also of those that left their parent since."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):
            fields = stat.read_text().rpartition(")")[2].split()
            found[int(stat.parent.name)] = int(fields[1]), (int(fields[11]) + int(fields[12])) / TICKS
    family = {pid} | (set(known) & set(found))
    while True:
        more = {child for child, (parent, _) in found.items() if parent in family} - family
        if not more:
            return {one: found[one][1] for one in family if one in found}
        family |= more


def memory(pid):
    """MiB that a process has, of what it shares with others its share; 0 of one that has gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0
