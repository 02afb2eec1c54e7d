"""Which tests run which line of the code, and how long each test takes: measured by coverage, once, in pieces.

Each piece is some files of tests in a process of its own, and a file in the folder of the measurement: what was
measured stays when the work is stopped, and several processes share it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("medfeat", "cache")
QUICK = "not slow and not network and not gpu"
FILES_A_PIECE = 8


@dataclass
class Reach:
    """The tests that run each line, by file and line, and the seconds each takes."""

    lines: dict[str, dict[int, set[str]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def of(self, file: str, line: int) -> set[str]:
        """Return the tests that run a line; one that is run by the import alone is reached by few, or by none."""
        return self.lines.get(file, {}).get(line, set())

    def of_file(self, file: str) -> set[str]:
        """Return the tests that run a file at all."""
        return set().union(*self.lines.get(file, {}).values())

    @cached_property
    def _counts(self) -> dict[str, Counter[str]]:
        """How many lines of each file a test runs, by test."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for file, lines in self.lines.items():
            for names in lines.values():
                for name in names:
                    counts[name][file] += 1
        return counts

    def share(self, test: str, file: str) -> float:
        """Return the part of all lines a test runs that is a file's: large for the tests of that very file."""
        return self._counts[test][file] / max(self._counts[test].total(), 1)


class Watch:
    """A plugin of pytest: tells coverage which test is running, and notes how long it took."""

    def __init__(self, coverage: object) -> None:
        self.coverage = coverage
        self.seconds: dict[str, float] = {}

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Begin a test."""
        self.coverage.switch_context(nodeid)  # type: ignore[attr-defined]

    def pytest_runtest_logreport(self, report: object) -> None:
        """Add what setting up, calling and tearing down took."""
        name, took = report.nodeid, report.duration  # type: ignore[attr-defined]
        self.seconds[name] = round(self.seconds.get(name, 0.0) + took, 3)


def measure(tests: Iterable[str], out: Path) -> None:
    """Run some files of tests in this process and write what they reach, tests by their place in a list."""
    import coverage
    import pytest

    measuring = coverage.Coverage(data_file=None, source=[str(ROOT / source) for source in SOURCES])
    watch = Watch(measuring)
    measuring.start()
    pytest.main(["-q", "-p", "no:cacheprovider", "-m", QUICK, *tests], plugins=[watch])
    measuring.stop()
    data, place = measuring.get_data(), {name: i for i, name in enumerate(watch.seconds)}
    lines = {
        Path(file).relative_to(ROOT).as_posix(): {
            line: sorted(place[name] for name in names if name in place)
            for line, names in data.contexts_by_lineno(file).items()
        }
        for file in data.measured_files()
    }
    partial = out.with_suffix(".part")
    partial.write_text(json.dumps({"seconds": watch.seconds, "lines": lines}))
    partial.replace(out)


def pieces(tests: Iterable[str]) -> dict[str, list[str]]:
    """Divide the files of tests below some places into pieces, each of one folder; by a name that tells the files."""
    found = sorted(
        path.relative_to(ROOT)
        for place in tests
        for path in ([ROOT / place] if (ROOT / place).is_file() else (ROOT / place).rglob("test_*.py"))
    )
    parts = {}
    for folder, files in groupby(sorted(found, key=lambda path: path.parent), key=lambda path: path.parent):
        names = [path.as_posix() for path in files]
        for at in range(0, len(names), FILES_A_PIECE):
            some = names[at : at + FILES_A_PIECE]
            told = hashlib.sha256(" ".join(some).encode()).hexdigest()[:8]
            parts[f"{folder.as_posix().replace('/', '.')}-{told}"] = some
    return parts


def reach(folder: Path, tests: Iterable[str] = ("tests",), *, processes: int = 1) -> Reach:
    """Return what the tests reach; the pieces that the folder does not hold yet are measured now."""
    folder.mkdir(parents=True, exist_ok=True)
    divided = pieces(tests)
    with ThreadPoolExecutor(processes) as pool:
        list(pool.map(lambda name: _piece(divided[name], folder / f"{name}.json"), divided))
    whole = Reach()
    for name in divided:
        found = json.loads((folder / f"{name}.json").read_text())
        names = list(found["seconds"])
        whole.seconds |= found["seconds"]
        for file, lines in found["lines"].items():
            of_file = whole.lines.setdefault(file, {})
            for line, places in lines.items():
                of_file.setdefault(int(line), set()).update(names[place] for place in places)
    return whole


def _piece(files: list[str], out: Path) -> None:
    if out.exists():
        return
    there = os.pathsep.join(str(ROOT / name) for name in ("", "cache", "cli", "tools"))
    with out.with_suffix(".log").open("w") as log:
        subprocess.run([sys.executable, __file__, "--out", out, *files], cwd=ROOT, check=False, stdout=log,
                       stderr=log, env=os.environ | {"PYTHONPATH": there})  # fmt: skip
    print("measured" if out.exists() else "FAILED  ", out.stem, flush=True)


def main() -> None:
    """Measure one piece, or all that a folder lacks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tests", nargs="*", default=["tests"])
    parser.add_argument("--folder", type=Path, default=ROOT / ".mutation_coverage", help="kept between calls")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, help="measure these tests in this process, into one file")
    asked = parser.parse_args()
    if asked.out:
        measure(asked.tests, asked.out)
    else:
        print(len(reach(asked.folder, asked.tests, processes=asked.processes).seconds), "tests")


if __name__ == "__main__":
    main()
