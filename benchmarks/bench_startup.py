"""How long a person waits before anything happens: `medfeat --help` and `import medfeat`, as whole processes.

An ordinary quick test unless MEDFEAT_BENCH=1, which measures and writes results/startup.json.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import pytest

import machine

COMMANDS = {
    "python": ["-c", "pass"],
    "import medfeat": ["-c", "import medfeat"],
    "medfeat --help": ["-m", "medfeat", "--help"],
    "medfeat --version": ["-m", "medfeat", "--version"],
}


def seconds(arguments, repeats):
    """The median wall time of a fresh interpreter, after one that fills the file cache."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


@pytest.mark.parametrize("name", COMMANDS)
def test_it_starts(name):
    assert seconds(COMMANDS[name], 1) > 0


@pytest.mark.skipif(not machine.MEASURING, reason="measures only with MEDFEAT_BENCH=1")
def test_measure():
    found = {name: round(seconds(arguments, 15), 3) for name, arguments in COMMANDS.items()}
    machine.keep("startup", {"median_seconds": found})
    assert found["medfeat --help"] < 0.4
    assert found["import medfeat"] - found["python"] < 0.15
