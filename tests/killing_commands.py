"""A harness that kills every command that writes: what it names is whole or as before, and what it keeps goes on.

A child dies in one of two ways: by SIGKILL at a random moment, or by the kernel amid the very write that passes a
random number of bytes (RLIMIT_FSIZE). A full disk is the same limit with its signal ignored: the write fails.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from medfeat_cache import StoreError, find_stores, find_unfinished, verify_store

DATA = "synthetic-binary"
EARLIER = b"what was there before, and is whole\n" * 4000


@dataclass(frozen=True)
class Command:
    """A command line, and what it leaves.

    Attributes
    ----------
    words
        Of the command; ``{here}`` is a folder of its own, ``{cache}`` the cache.
    files
        Files it is told to write, which held something before.
    folder
        A folder it makes, that appears whole or not at all.
    fresh
        Whether it works on a copy of the cache: one that changes it.
    """

    words: str
    files: tuple[str, ...] = ()
    folder: str = ""
    fresh: bool = False


COMMANDS = {
    "predict": Command(f"predict --run {{run}} --data {DATA} --out {{here}}/silver.csv", ("silver.csv",)),
    "probe --figure": Command(
        f"probe --data {DATA} --backbone stats --shots 2,4 --draws 2 --resamples 20 --figure {{here}}/curve.png",
        ("curve.png",),
    ),
    "compare": Command("compare --data breastmnist --format markdown --out {here}/table.md", ("table.md",)),
    "report": Command("report --out {here}/report.html --no-images --tables {here}/tables", ("report.html",)),
    "explore": Command(
        f"explore --data {DATA} --backbone stats --no-images --sample 60 --out {{here}}/page.html "
        "--figures {here}/figures",
        ("page.html", "figures/class-counts.png", "figures/class-counts.svg"),
    ),
    "audit": Command(
        f"audit --data {DATA} --backbone stats --out {{here}}/audit", ("audit/duplicates.csv", "audit/label_errors.csv")
    ),
    "cache export": Command("cache export {store} {here}/exported", folder="exported"),
    "cache export parquet": Command(
        "cache export {store} {here}/store.parquet --format parquet", folder="store.parquet"
    ),
    "cache import": Command("cache import {features} --data theirs --backbone other --ids {ids}", fresh=True),
    "extract": Command(f"extract --data {DATA} --backbone pixels", fresh=True),
    "probe": Command(f"probe --data {DATA} --backbone stats --head knn --resamples 20", fresh=True),
    "cache rm": Command("cache rm {store} --yes", fresh=True),
    "cache gc": Command("cache gc --yes", fresh=True),
}
NAMED = [name for name, command in COMMANDS.items() if command.files]


@dataclass
class Tally:
    """What happened over all kills."""

    kills: dict[str, int] = field(default_factory=dict)
    whole: dict[str, int] = field(default_factory=dict)
    cut: list[str] = field(default_factory=list)


class Arena:
    """A cache with a store and a run, and everything a command's words name."""

    def __init__(self, folder: Path) -> None:
        import numpy as np

        self.folder, self.cache = folder, folder / "cache"
        folder.mkdir(parents=True, exist_ok=True)
        rows = np.random.default_rng(0).normal(size=(200, 8)).astype("f4")
        np.savez(folder / "features.npz", embeddings=rows)
        (folder / "ids.txt").write_text("\n".join(f"image-{i}" for i in range(200)))
        for words in (
            f"extract --data {DATA} --backbone stats",
            f"probe --data {DATA} --backbone stats --resamples 20",
        ):
            assert self.wait(self.start(words, self.cache, folder)) == 0, words

    def start(self, words: str, cache: Path, here: Path, *, limit: int = 0, dies: bool = True) -> int:
        """Fork a child that runs a command; past `limit` bytes of a file it dies, or its write fails."""
        names = {"here": here, "cache": cache, "features": self.folder / "features.npz", "ids": self.folder / "ids.txt"}
        stores = find_stores(cache)
        runs = sorted(cache.glob("runs/*/[0-9a-f]*/run.json"))
        names |= {"store": stores[0].path if stores else "", "run": runs[0].parent if runs else ""}
        arguments = [word.format(**names) for word in words.split()] + ["--cache-dir", str(cache)]
        pid = os.fork()
        if pid:
            return pid
        code = 1
        with suppress(BaseException):
            sys.stdout = (here / "out.txt").open("a")
            sys.stderr = (here / "err.txt").open("w")
            if limit:
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL if dies else signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            from medfeat_cli.main import run

            code = run(arguments)
            sys.stderr.flush()
        os._exit(code)

    @staticmethod
    def wait(pid: int) -> int:
        """Wait for a child; its exit code, or minus the signal it died of."""
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill_commands(folder: Path, kills: int, *, seed: int, only: list[str] | None = None) -> Tally:
    """Kill every command `kills` times and look at what it left each time."""
    import medfeat.workflows.extract
    import medfeat.workflows.report  # noqa: F401 - loaded once, here, so that children are quick

    chance, tally = random.Random(seed), Tally()
    arena = Arena(folder)
    for name in only or COMMANDS:
        _kill_one_command(arena, name, kills, chance, tally)
    return tally


def _kill_one_command(arena: Arena, name: str, kills: int, chance: random.Random, tally: Tally) -> None:
    command = COMMANDS[name]
    whole = arena.folder / name.replace(" ", "-")
    started = time.monotonic()
    pid = arena.start(command.words, _cache(arena, command, whole), whole)
    assert arena.wait(pid) == 0, f"{name}: {(whole / 'err.txt').read_text()}"
    seconds = time.monotonic() - started
    largest = max([(whole / file).stat().st_size for file in command.files], default=20_000)
    killed = 0
    while killed < kills:
        here = arena.folder / f"{whole.name}-{killed}"
        shutil.rmtree(here, ignore_errors=True)
        cache = _cache(arena, command, here)
        for file in command.files:
            (here / file).parent.mkdir(parents=True, exist_ok=True)
            (here / file).write_bytes(EARLIER)
        limit = chance.randint(1, largest) if killed % 2 == 0 else 0
        pid = arena.start(command.words, cache, here, limit=limit)
        if not limit:
            time.sleep(chance.uniform(0.3, 1) * seconds)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if arena.wait(pid) < 0:
            killed += 1
        elif limit:
            limit = largest = max(largest // 2, 1)  # nothing that large is written: aim lower
        _look(name, command, cache, here, whole, tally)
        if command.fresh:
            _goes_on(arena, name, command, cache, here, tally)
        shutil.rmtree(here, ignore_errors=True)
    tally.kills[name] = killed


def _cache(arena: Arena, command: Command, here: Path) -> Path:
    here.mkdir(parents=True, exist_ok=True)
    if not command.fresh:
        return arena.cache
    shutil.copytree(arena.cache, here / "cache", dirs_exist_ok=True)
    return here / "cache"


def _look(name: str, command: Command, cache: Path, here: Path, whole: Path, tally: Tally) -> None:
    """Note every file that is neither what was there before nor what an uninterrupted command writes."""
    for file in command.files:
        content = (here / file).read_bytes()
        if content == EARLIER or alike(content, (whole / file).read_bytes()):
            tally.whole[name] = tally.whole.get(name, 0) + 1
        else:
            tally.cut.append(f"{name}: {file} has {len(content)} bytes")
    if command.folder and (here / command.folder).exists():
        tally.cut += [f"{name}: {wrong}" for wrong in _differences(whole / command.folder, here / command.folder)]
    for path in find_stores(cache):
        tally.cut += [f"{name}: {problem}" for problem in verify_store(path.path).problems]
    tally.cut += [f"{name}: {path}" for path, _ in find_stores(cache).problems]
    tally.cut += [f"{name}: {problem}" for problem in wrong_runs(cache)]


def wrong_runs(cache: Path) -> list[str]:
    """Return a line for each run in a cache that cannot be read."""
    from medfeat.evaluation.runs.run import list_runs

    return list_runs(cache)[1]


def alike(content: bytes, whole: bytes) -> bool:
    """Tell whether a file is as whole as another of the same command: equal but for what a clock says."""
    return content[-16:] == whole[-16:] and content[:16] == whole[:16] and abs(len(content) - len(whole)) < 64


def _differences(whole: Path, found: Path) -> list[str]:
    if whole.is_file():
        return [] if alike(found.read_bytes(), whole.read_bytes()) else [f"{found.name} is cut"]
    names = {path.name for path in whole.iterdir()}
    there = {path.name for path in found.iterdir()}
    sizes = [name for name in names & there if (whole / name).stat().st_size != (found / name).stat().st_size]
    return [f"{found.name}/{name}" for name in sorted(names ^ there) + sizes]


def _goes_on(arena: Arena, name: str, command: Command, cache: Path, here: Path, tally: Tally) -> None:
    """Run the same command to its end; it finds its way from whatever was left, and nothing hidden remains."""
    if name == "cache rm" and not find_stores(cache) and not find_unfinished(cache):
        return
    if arena.wait(arena.start(command.words, cache, here)) != 0:
        tally.cut.append(f"{name} does not go on: {(here / 'err.txt').read_text()[:200]}")
    with suppress(StoreError):
        _look(name, Command(command.words), cache, here, here, tally)


def fill_disk(folder: Path, only: list[str] | None = None) -> dict[str, tuple[int, str, list[str]]]:
    """Run each command that names a file on a disk that is full half-way; exit code, what was said, files cut."""
    arena, found = Arena(folder), {}
    for name in only or NAMED:
        command, whole, here = COMMANDS[name], folder / f"{name}-whole", folder / f"{name}-full"
        whole.mkdir(), here.mkdir()
        assert arena.wait(arena.start(command.words, arena.cache, whole)) == 0, (whole / "err.txt").read_text()
        sizes = {file: (whole / file).stat().st_size for file in command.files}
        for file in command.files:
            (here / file).parent.mkdir(parents=True, exist_ok=True)
            (here / file).write_bytes(EARLIER)
        code = arena.wait(arena.start(command.words, arena.cache, here, limit=max(sizes.values()) // 2, dies=False))
        cut = [
            file
            for file in command.files
            if (here / file).read_bytes() != EARLIER
            and not alike((here / file).read_bytes(), (whole / file).read_bytes())
        ]
        cut += [f"left {path.name}" for path in here.rglob(".*")]
        found[name] = (code, (here / "err.txt").read_text(), cut)
    return found
