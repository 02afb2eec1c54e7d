"""Many commands at once, few open files, little memory: each ends right or with one line, and nothing is lost."""

from __future__ import annotations

import os
import resource
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from medfeat_cache import find_stores, verify_store

DATA = "--data synthetic-binary"
STATS, PIXELS = f"{DATA} --backbone stats", f"{DATA} --backbone pixels"
# Each writes or looks at what the others write.
COMMANDS = (
    f"extract {STATS}", f"extract {PIXELS}", f"probe {STATS} --resamples 20", f"probe {DATA} --head knn --resamples 20",
    "cache ls", "cache verify", "cache gc --yes", "runs verify", f"compare {DATA} --json", f"extract {STATS}",
)  # fmt: skip


def start(words: str, cache: Path, log: Path, *, files: int = 0, megabytes: int = 0) -> int:
    """Fork a child that runs a command, with at most so many open files, or so much more memory than it begins with."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    with suppress(BaseException):
        sys.stdout, sys.stderr = (log.with_suffix(".out")).open("w"), log.open("w")
        if files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
        if megabytes:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            most = pages * resource.getpagesize() + (megabytes << 20)
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        from medfeat_cli.main import run

        try:
            code = run([*words.split(), "--cache-dir", str(cache)])
        except BaseException:
            traceback.print_exc()
    with suppress(BaseException):
        sys.stdout.flush(), sys.stderr.flush()
    os._exit(code)


def end(pid: int) -> int:
    """Wait for a child; its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def crowd(folder: Path, commands: list[str]) -> list[str]:
    """Run commands all at once on one cache; return a line for whatever is wrong then."""
    import medfeat.workflows.extract  # noqa: F401 - loaded once, here, so that all begin at once
    from medfeat.evaluation.runs.run import list_runs

    cache = folder / "cache"
    for words in COMMANDS[:1]:
        end(start(words, cache, folder / "first.err"))
    running = {start(words, cache, folder / f"{i}.err"): (i, words) for i, words in enumerate(commands)}
    wrong = []
    for pid, (i, words) in running.items():
        code, said = end(pid), (folder / f"{i}.err").read_text()
        wrong += _fault(words, code, said)
        if words.startswith("extract") and code:
            wrong.append(f"{words} did not end well: {said[-300:]}")
    stores = find_stores(cache)
    wrong += [f"{path}: {problem}" for path, problem in stores.problems]
    wrong += [f"{one.path}: {problem}" for one in stores for problem in verify_store(one.path).problems]
    wrong += list_runs(cache)[1]
    wrong += [f"left {path}" for path in cache.glob("*/*/.*")]
    return wrong


def _fault(words: str, code: int, said: str) -> list[str]:
    """Return a line when a command ended in another way than right, or with one line that says why."""
    ends_well = code in (0, 1, 2) and "Traceback" not in said and "unforeseen" not in said
    told = code == 0 or any(line.strip() for line in said.splitlines())
    return [] if ends_well and told else [f"{words}: {code}: {said[-300:]}"]


def starved(folder: Path) -> list[str]:
    """Run commands with 64 open files; a right result, or one line."""
    return _limited(folder, files=64)


def short_of_memory(folder: Path) -> list[str]:
    """Run commands with little memory, then with all they want: they end right or with one line, and lose nothing."""
    wrong = [line for megabytes in (4, 24, 96) for line in _limited(folder, megabytes=megabytes)]
    for i, words in enumerate(COMMANDS):
        code = end(start(words, folder / "cache", folder / f"{i}.err"))
        said = (folder / f"{i}.err").read_text()
        wrong += _fault(words, code, said)
        if code and not words.startswith("compare"):  # which knows nothing published of made-up images
            wrong.append(f"{words}, with all memory: {code}: {said[-300:]}")
    return wrong


def _limited(folder: Path, *, files: int = 0, megabytes: int = 0) -> list[str]:
    import medfeat.workflows.extract  # noqa: F401 - as above

    cache, wrong = folder / "cache", []
    folder.mkdir(exist_ok=True)
    for i, words in enumerate(COMMANDS):
        log = folder / f"{i}.err"
        code = end(start(words, cache, log, files=files, megabytes=megabytes))
        wrong += _fault(f"{words} ({files or 'all'} files, {megabytes or 'all'} MB)", code, log.read_text())
    wrong += [f"{path}: {problem}" for path, problem in find_stores(cache).problems]
    return wrong + [str(p) for one in find_stores(cache) for p in verify_store(one.path).problems]
