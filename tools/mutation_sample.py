"""Change the code in one place at a time, and see whether a test fails: how much the tests would notice.

`python tools/mutation_sample.py --count 60` draws mutants from a seed over the modules where a fault would be silent,
beside the named ones, which are always tried. Each is made in a copy of the tracked files; first the tests that
coverage says reach its line are run, then, where they pass, all quick ones. What survives is listed with its change: a
person says whether it changes behaviour at all. The result is written to `benchmarks/results/mutants.json`.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from named_mutants import NAMED

ROOT = Path(__file__).resolve().parent.parent
ROOMS = (
    "cache/medfeat_cache", "medfeat/evaluation", "medfeat/heads", "medfeat/tasks", "medfeat/datasets",
    "medfeat/backbones", "medfeat/extraction", "medfeat/report", "medfeat/workflows/auditing",
)  # fmt: skip
QUICK = "not slow and not network and not gpu"
REACHING_MOST = 60
TIMEOUT_S = 900
SWAPS: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,), ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,), ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div,), ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,), ast.Mod: (ast.Mult,), ast.And: (ast.Or,), ast.Or: (ast.And,),
    ast.BitAnd: (ast.BitOr,), ast.BitOr: (ast.BitAnd,),
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change: the text of some lines, and what stands in its place."""

    file: str
    line: int
    old: str
    new: str
    named: bool = False

    def apply(self, source: str) -> str:
        """Return the source with the change; the first place where the old text stands at or below the line."""
        start = sum(len(line) for line in source.splitlines(keepends=True)[: self.line - 1])
        at = source.index(self.old, start)
        return source[:at] + self.new + source[at + len(self.old) :]


def mutants_of(source: str, file: str) -> list[Mutant]:
    """Return every change that can be made to a module: another operator, number or branch, or a call left out."""
    lines = source.splitlines(keepends=True)
    found = []
    for node in ast.walk(ast.parse(source)):
        for changed in _changes(node):
            if node.lineno != node.end_lineno:  # type: ignore[attr-defined]
                continue
            old, new = ast.get_source_segment(source, node), ast.unparse(changed)
            line = lines[node.lineno - 1]  # type: ignore[attr-defined]
            if old and old != new and line.count(old) == 1:
                found.append(Mutant(file, node.lineno, line, line.replace(old, new)))  # type: ignore[attr-defined]
    return sorted(set(found), key=lambda one: (one.line, one.new))


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for kind in SWAPS.get(type(node.ops[0]), ()):
            yield ast.Compare(node.left, [kind()], node.comparators)
    elif isinstance(node, ast.BinOp):
        for kind in SWAPS.get(type(node.op), ()):
            yield ast.BinOp(node.left, kind(), node.right)
    elif isinstance(node, ast.BoolOp):
        for kind in SWAPS[type(node.op)]:
            yield ast.BoolOp(kind(), node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield node.operand
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield ast.Constant(node.value + 1)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield ast.Pass()
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)


def draw(count: int, seed: int) -> list[Mutant]:
    """Draw so many mutants: a room first, then a file of it, then a change, so that no long file crowds others out."""
    rng, drawn = random.Random(seed), dict.fromkeys(named())
    rooms = [sorted(path for path in (ROOT / room).rglob("*.py") if path.name != "__init__.py") for room in ROOMS]
    wanted = len(drawn) + count
    while len(drawn) < wanted:
        path = rng.choice(rng.choice(rooms))
        possible = mutants_of(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())
        if possible:
            drawn[rng.choice(possible)] = None
    return list(drawn)


def named() -> list[Mutant]:
    """Return the changes that no test saw once; each must still have its place in the code."""
    found = []
    for file, old, new in NAMED:
        before, there, _ = (ROOT / file).read_text(encoding="utf-8").partition(old)
        if not there:
            raise SystemExit(f"{file} no longer holds {old!r}: put the named change where that code is now")
        found.append(Mutant(file, before.count("\n") + 1, old, new, named=True))
    return found


def copy_of_the_code(folder: Path) -> Path:
    """Copy the tracked files, so that nothing is changed where somebody works."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def pytest_in(code: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run tests on a copy of the code, in a folder of their own."""
    there = [str(code), str(code / "cache"), str(code / "cli"), str(code / "tools")]
    settings = {"PYTHONPATH": os.pathsep.join(there), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary) / "tests"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            f"--basetemp={base}",
            *arguments,
        ]
        try:
            return subprocess.run(command, cwd=code, env=os.environ | settings, check=False, capture_output=True,
                                  text=True, timeout=TIMEOUT_S)  # fmt: skip
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 1, f"still running after {TIMEOUT_S} s", "")


class Contexts:
    """A plugin of pytest: tells coverage which test is running."""

    def __init__(self, coverage: object) -> None:
        self.coverage = coverage

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Begin a test."""
        self.coverage.switch_context(nodeid)  # type: ignore[attr-defined]


def reaching(tests: list[str], store: Path) -> dict[str, dict[str, list[str]]]:
    """Return, by file and line, the tests that run it; measured once and kept in a file for later calls."""
    if not store.exists():
        import coverage
        import pytest

        measuring = coverage.Coverage(data_file=None, source=[str(ROOT / "medfeat"), str(ROOT / "cache")])
        measuring.start()
        pytest.main(["-q", "-m", QUICK, *tests], plugins=[Contexts(measuring)])
        measuring.stop()
        data = measuring.get_data()
        found = {
            Path(file).relative_to(ROOT).as_posix(): {
                str(line): sorted(filter(None, names)) for line, names in data.contexts_by_lineno(file).items()
            }
            for file in data.measured_files()
        }
        store.write_text(json.dumps(found))
    known: dict[str, dict[str, list[str]]] = json.loads(store.read_text())
    return known


def tried(mutant: Mutant, code: Path, known: dict[str, dict[str, list[str]]], *, thorough: bool) -> dict[str, object]:
    """Make a change, run the tests, undo it; say whether one failed, and which."""
    path = code / mutant.file
    source = path.read_text(encoding="utf-8")
    begun, by = time.perf_counter(), ""
    first = known.get(mutant.file, {}).get(str(mutant.line), [])[:REACHING_MOST]
    path.write_text(mutant.apply(source), encoding="utf-8")
    try:
        done = pytest_in(code, *first) if first else None
        if (done is None or done.returncode == 0) and thorough:
            done = pytest_in(code, "-m", QUICK)
    finally:
        path.write_text(source, encoding="utf-8")
    killed = done is not None and done.returncode not in (0, 5)
    if killed and done is not None:
        by = next((line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR", "still"))), "")
        failed = by.partition(" ")[2].partition(" - ")[0]
        if by.startswith("FAILED") and pytest_in(code, failed).returncode != 0:
            killed, by = False, f"fails without the change too: {failed}"
    return {**asdict(mutant), "killed": killed, "by": by, "reached_by": len(first),
            "seconds": round(time.perf_counter() - begun, 1)}  # fmt: skip


def main() -> None:
    """Draw, try, and write down what survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=60, help="mutants beside the named ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--coverage", type=Path, default=ROOT / ".mutation_coverage.json", help="kept between calls")
    parser.add_argument("--tests", nargs="*", default=["tests"], help="what coverage is measured with")
    parser.add_argument("--only-reaching", action="store_true", help="do not try survivors with all quick tests")
    parser.add_argument("--most", type=int, help="stop after so many")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "mutants.json")
    asked = parser.parse_args()
    drawn = draw(asked.count, asked.seed)[: asked.most]
    known = reaching(asked.tests, asked.coverage)
    with tempfile.TemporaryDirectory() as temporary:
        code = copy_of_the_code(Path(temporary))
        results = []
        for mutant in drawn:
            results.append(tried(mutant, code, known, thorough=not asked.only_reaching))
            last = results[-1]
            print(
                "killed  " if last["killed"] else "SURVIVED",
                mutant.file,
                mutant.line,
                mutant.new.strip()[:80],
                flush=True,
            )
    killed = sum(bool(one["killed"]) for one in results)
    print(f"{killed} of {len(results)} were killed")
    asked.out.write_text(json.dumps({"seed": asked.seed, "killed": killed, "mutants": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
