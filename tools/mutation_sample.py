"""Change the code in one place at a time, and see whether a test fails: how much the tests would notice.

`python tools/mutation_sample.py --count 60` draws mutants from a seed over the modules where a fault would be silent,
beside the named ones, which are always tried. Each is made in a copy of the tracked files; first some of the tests that
coverage says reach its line are run, then the others of these, then, where all pass, all quick ones. What survives is
listed with its change: a person says in `judged_mutants.py` whether it changes behaviour at all. Where it does, a test
is missing; `--again` tries survivors once more, and notes which were killed after a test was added. The result is
written to `benchmarks/results/mutants.json` after each mutant, and a call with the same seed goes on from there.
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
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from judged_mutants import JUDGED
from named_mutants import NAMED
from tests_by_line import QUICK, Reach, reach

ROOT = Path(__file__).resolve().parent.parent
ROOMS = (
    "cache/medfeat_cache", "medfeat/evaluation", "medfeat/heads", "medfeat/tasks", "medfeat/datasets",
    "medfeat/backbones", "medfeat/extraction", "medfeat/report", "medfeat/workflows/auditing",
)  # fmt: skip
FIRST_S, REACHING_S = 60.0, 600.0
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
    lines, tree = source.splitlines(keepends=True), ast.parse(source)
    found, typing = [], _annotations(tree)
    for node in (one for one in ast.walk(tree) if one not in typing):
        for changed in _changes(node):
            if node.lineno != node.end_lineno:  # type: ignore[attr-defined]
                continue
            old, new = ast.get_source_segment(source, node), ast.unparse(changed)
            line = lines[node.lineno - 1]  # type: ignore[attr-defined]
            if old and old != new and line.count(old) == 1:
                found.append(Mutant(file, node.lineno, line, line.replace(old, new)))  # type: ignore[attr-defined]
    return sorted(set(found), key=lambda one: (one.line, one.new))


def _annotations(tree: ast.AST) -> set[ast.AST]:
    """Return the nodes inside annotations, which are never run."""
    outer = (getattr(node, name, None) for node in ast.walk(tree) for name in ("annotation", "returns"))
    return {inner for node in outer if node is not None for inner in ast.walk(node)}


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


def picked(reached: Iterable[str], file: str, known: Reach, seconds: float) -> list[str]:
    """Return tests that take so long together, those that run little besides a file first."""
    found, left = [], seconds
    shares = {name: known.share(name, file) for name in reached}
    for name in sorted(shares, key=lambda name: (-shares[name], known.seconds[name], name)):
        if known.seconds[name] <= left:
            left -= known.seconds[name]
            found.append(name)
    return found


def pytest_in(code: Path, *arguments: str, most_s: float = 300.0) -> tuple[int, str]:
    """Run tests on a copy of the code, in a folder of their own; the exit status, and what pytest says of failures."""
    there = [str(code / name) for name in ("", "cache", "cli", "tools")]
    settings = {"PYTHONPATH": os.pathsep.join(there), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryDirectory() as temporary:
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider",
                   f"--basetemp={Path(temporary) / 'tests'}", *arguments]  # fmt: skip
        try:
            done = subprocess.run(command, cwd=code, env=os.environ | settings, check=False, capture_output=True,
                                  text=True, timeout=most_s)  # fmt: skip
        except subprocess.TimeoutExpired:
            return 1, f"still running after {most_s:.0f} s"
    said = (line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR")))
    return done.returncode, next(said, f"exit status {done.returncode}")


def _sees(code: Path, path: Path, changed: str, arguments: Iterable[str], most_s: float) -> tuple[bool, str]:
    """Run tests on the change; whether a test fails with it twice and not without it, and which."""
    whole, left, said = path.read_text(encoding="utf-8"), list(arguments), ""
    while left:
        path.write_text(changed, encoding="utf-8")
        try:
            status, said = pytest_in(code, *left, most_s=most_s)
            failed = said.partition(" ")[2].partition(" - ")[0] if said.startswith("FAILED") else ""
            again = pytest_in(code, failed, most_s=most_s)[0] if failed else status
        finally:
            path.write_text(whole, encoding="utf-8")
        if status in (0, 5):
            return False, ""
        if again and pytest_in(code, *([failed] if failed else left), most_s=most_s)[0] == 0:
            return True, said
        if failed not in left:
            break
        left.remove(failed)  # it fails by itself or by chance: the others are asked
    return False, f"fails without the change too: {said}"


def tried(mutant: Mutant, code: Path, known: Reach, *, thorough: bool) -> dict[str, object]:
    """Make a change, run the tests, undo it; say whether one failed, and which."""
    path, begun = code / mutant.file, time.perf_counter()
    changed = mutant.apply(path.read_text(encoding="utf-8"))
    line = known.of(mutant.file, mutant.line)
    first = picked(line, mutant.file, known, FIRST_S)
    others = picked(line - {*first}, mutant.file, known, REACHING_S)
    # A default or a constant is run by the import; whoever runs its file may see it.
    others += picked(known.of_file(mutant.file) - line, mutant.file, known, REACHING_S / 2)
    killed, by, ran = False, "", 0
    for names, seconds in ((first, FIRST_S), (others, REACHING_S)):
        if names and not killed:
            killed, by = _sees(code, path, changed, names, 120 + 5 * seconds)
            ran += len(names)
    if not killed and thorough:
        killed, by = _sees(code, path, changed, ("-m", QUICK), 7200)
    return {**asdict(mutant), "killed": killed, "by": by, "reached_by": len(line),
            "tests_tried": "all quick" if thorough and not killed else ran,
            "seconds": round(time.perf_counter() - begun, 1)}  # fmt: skip


def summary(results: list[dict[str, object]], **facts: object) -> dict[str, object]:
    """Return what is kept: how many were killed of those that change behaviour, survivors with what was judged."""
    verdicts = {(file, new): (verdict, why) for file, new, verdict, why in JUDGED}
    shown = []
    for one in results:
        judged = verdicts.get((str(one["file"]), str(one["new"]).strip()))
        kept = {name: value for name, value in one.items() if name not in ("verdict", "why")}
        shown.append(kept if one["killed"] or not judged else {**kept, "verdict": judged[0], "why": judged[1]})
    killed, late = (sum(bool(one.get(name)) for one in shown) for name in ("killed", "after"))
    same = sum(one.get("verdict") == "same" for one in shown)
    rates = [round(count / (len(shown) - same), 3) if len(shown) > same else None for count in (killed, killed - late)]
    return {**facts, "tried": len(shown), "killed": killed, "killed_by_tests_added_since": late, "same_behaviour": same,
            "killed_of_those_that_change_behaviour": rates[0], "before_these_tests_were_added": rates[1],
            "mutants": shown}  # fmt: skip


def main() -> None:
    """Draw, try, and write down what survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=60, help="mutants beside the named ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--coverage", type=Path, default=ROOT / ".mutation_coverage", help="kept between calls")
    parser.add_argument("--tests", nargs="*", default=["tests"], help="what coverage is measured with")
    parser.add_argument("--processes", type=int, default=1, help="that measure coverage")
    parser.add_argument("--only-reaching", action="store_true", help="do not try survivors with all quick tests")
    parser.add_argument("--again", action="store_true", help="try survivors again, for which a test may be there now")
    parser.add_argument("--most", type=int, help="stop after so many")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "mutants.json")
    asked = parser.parse_args()
    drawn = draw(asked.count, asked.seed)[: asked.most]
    earlier = json.loads(asked.out.read_text()) if asked.out.exists() else {}
    earlier = earlier if earlier.get("seed") == asked.seed else {}
    facts = {"seed": asked.seed, "notes": earlier.get("notes", [])}
    facts |= {name: earlier[name] for name in ("another_sample", "third_sample") if name in earlier}
    known = {(one["file"], one["line"], one["new"]): one for one in earlier.get("mutants", [])}
    open_gaps = {key for key, one in known.items() if not one["killed"] and one.get("verdict") != "same"}
    stands = known.keys() - (open_gaps if asked.again else set())
    done = [known[one.file, one.line, one.new] for one in drawn if (one.file, one.line, one.new) in stands]
    tests = reach(asked.coverage, asked.tests, processes=asked.processes)
    with tempfile.TemporaryDirectory() as temporary:
        code = copy_of_the_code(Path(temporary))
        for mutant in (one for one in drawn if (one.file, one.line, one.new) not in stands):
            done.append(last := tried(mutant, code, tests, thorough=not asked.only_reaching))
            if last["killed"] and (mutant.file, mutant.line, mutant.new) in open_gaps:
                last["after"] = "test added"
            asked.out.write_text(json.dumps(summary(done, **facts), indent=1) + "\n")
            what = "killed  " if last["killed"] else "SURVIVED"
            print(what, mutant.file, mutant.line, mutant.new.strip()[:80], flush=True)
    asked.out.write_text(json.dumps(summary(done, **facts), indent=1) + "\n")
    print(f"{sum(bool(one['killed']) for one in done)} of {len(done)} were killed")


if __name__ == "__main__":
    main()
