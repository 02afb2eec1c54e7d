"""A harness that kills every command that writes: what it names is whole or as before, and what it keeps goes on.

A child dies in one of two ways: by SIGKILL at a random moment, or by the kernel amid the very write that passes a
random number of bytes (RLIMIT_FSIZE). A full disk is the same limit with its signal ignored: the write fails.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from killing_arena import DATA, NETWORK, Arena, damage, litter
from whole import alike, differences, wrong_in

EARLIER = b"what was there before, and is whole\n" * 4000
PROBE = f"probe --data {DATA} --backbone stats --resamples 20"
EXPORT = "cache export {store} {here}"
TUNE = "finetune --data {noise} --epochs 2 --batch-size 12 --resamples 20"


@dataclass(frozen=True)
class Command:
    """A command line, and what it leaves.

    Attributes
    ----------
    words
        Of the command; ``{here}`` is a folder of its own, ``{cache}`` the cache.
    files
        Files it is told to write, which held something before.
    made
        A file or folder it makes, that appears whole or not at all.
    fresh
        Whether it works on a copy of the cache: one that changes it.
    before
        What is done to that copy first.
    network
        Whether it needs the store and the run of a network.
    own
        Name below ``{here}`` of the cache that it keeps by itself.
    removes
        Files below the cache that are gone once it is done: it cannot be run again then.
    """

    words: str
    files: tuple[str, ...] = ()
    made: str = ""
    fresh: bool = False
    before: Callable[[Path], None] | None = None
    network: bool = False
    own: str = ""
    removes: str = ""


COMMANDS = {
    "predict": Command(f"predict --run {{run}} --data {DATA} --out {{here}}/silver.csv", ("silver.csv",)),
    "probe --figure": Command(f"{PROBE} --shots 2,4 --draws 2 --figure {{here}}/curve.png", ("curve.png",)),
    "compare": Command("compare --data breastmnist --format markdown --out {here}/table.md", ("table.md",)),
    "compare --figure": Command(f"compare --data {DATA} --figure {{here}}/forest.png", ("forest.png",)),
    "report": Command("report --out {here}/report.html --no-images --tables {here}/tables", ("report.html",)),
    "explore": Command(
        f"explore --data {DATA} --backbone stats --no-images --sample 60 --out {{here}}/page.html "
        "--figures {here}/figures",
        ("page.html", "figures/class-counts.png", "figures/class-counts.svg"),
    ),
    "audit": Command(
        f"audit --data {DATA} --backbone stats --out {{here}}/audit", ("audit/duplicates.csv", "audit/label_errors.csv")
    ),
    "cache export": Command(f"{EXPORT}/exported", made="exported"),
    **{
        f"cache export {kind}": Command(f"{EXPORT}/store.{kind}", made=f"store.{kind}")
        for kind in ("npz", "h5", "parquet", "csv")
    },
    "cache export --atlas": Command(f"{EXPORT}/atlas.parquet --atlas --no-images", made="atlas.parquet"),
    "cache import": Command("cache import {features} --data theirs --backbone other --ids {ids}", fresh=True),
    "extract": Command("extract --data synthetic --backbone pixels", fresh=True),
    "extract own images": Command("extract --data {noise} --backbone stats", fresh=True),
    "probe": Command(f"{PROBE} --head knn", fresh=True),
    "probe --name": Command(f"{PROBE} --relabel 0=one;1=two --name mine", fresh=True),
    "probe --shots": Command(f"{PROBE} --shots 2,4 --draws 2", fresh=True),
    "probe --fuse": Command(f"probe --data {DATA} --fuse concat,average --resamples 20", fresh=True),
    "probe --test-on": Command(f"{PROBE} --test-on {DATA}", fresh=True),
    "finetune": Command(f"{TUNE} {NETWORK}", fresh=True, network=True),
    "study": Command("study {grid} --out {here}/out", fresh=True),
    "export": Command("export {tuned} --out {here}/bundle", made="bundle", network=True),
    "export --onnx": Command("export {tuned} --out {here}/bundle --onnx", made="bundle", network=True),
    "cache repair": Command("cache repair {store}", fresh=True, before=damage),
    "cache verify": Command("cache verify --canary", fresh=True),
    "cache ls": Command("cache ls", fresh=True),
    "runs verify": Command("runs verify", fresh=True),
    "runs delete": Command("runs delete {run} --yes", fresh=True, removes=f"runs/{DATA}/[0-9a-f]*/run.json"),
    "cache rm": Command("cache rm {store} --yes", fresh=True, removes=f"{DATA}/stats/[0-9a-f]*.h5"),
    "cache gc": Command("cache gc --yes", fresh=True, before=litter),
    "demo": Command("demo --out {here}/demo", own="demo"),
}
# Commands that leave nothing: neither a file they are told to write, nor one in the cache.
READS = {"list", "doctor", "help", "search", "cache info", "runs list", "runs show"}
NAMED = [name for name, command in COMMANDS.items() if command.files]


@dataclass
class Tally:
    """What happened over all kills."""

    kills: dict[str, int] = field(default_factory=dict)
    whole: dict[str, int] = field(default_factory=dict)
    cut: list[str] = field(default_factory=list)


def kill_commands(folder: Path, kills: int, *, seed: int, only: list[str] | None = None) -> Tally:
    """Kill every command `kills` times and look at what it left each time."""
    import medfeat.workflows.extract
    import medfeat.workflows.report  # noqa: F401 - loaded once, here, so that children are quick

    chosen = only or list(COMMANDS)
    arena = Arena(folder, network=any(COMMANDS[name].network for name in chosen))
    tally = Tally()
    for name in chosen:
        _Trial(arena, name, COMMANDS[name], random.Random(f"{seed} {name}"), tally).kill(kills)
    return tally


@dataclass
class _Trial:
    """One command, killed again and again."""

    arena: Arena
    name: str
    command: Command
    chance: random.Random
    tally: Tally

    @property
    def whole(self) -> Path:
        """Where the uninterrupted command wrote."""
        return self.arena.folder / self.name.replace(" ", "-")

    def kill(self, kills: int) -> None:
        """Run it once to its end, then kill it so many times."""
        started = time.monotonic()
        code = self.arena.wait(self.arena.start(self.command.words, self._cache(self.whole), self.whole))
        assert code == 0, f"{self.name}: {(self.whole / 'err.txt').read_text()}"
        seconds = time.monotonic() - started
        largest = max([(self.whole / file).stat().st_size for file in self.command.files], default=20_000)
        killed, tried = 0, 0
        while killed < kills:
            here = self.arena.folder / f"{self.whole.name}-{tried}"
            limit = self.chance.randint(1, largest) if tried % 2 == 0 else 0
            died = self._once(here, limit, self.chance.uniform(0.05, 1) * seconds)
            killed, tried = killed + died, tried + 1
            if limit and not died:
                largest = max(largest // 2, 1)  # nothing that large is written: aim lower
            if tried >= 5 * kills:
                break  # it writes nothing, and is over before it is hit
        self.tally.kills[self.name] = killed

    def _once(self, here: Path, limit: int, seconds: float) -> bool:
        shutil.rmtree(here, ignore_errors=True)
        cache = self._cache(here)
        for file in self.command.files:
            (here / file).parent.mkdir(parents=True, exist_ok=True)
            (here / file).write_bytes(EARLIER)
        known = set(wrong_in(cache)) if self.command.before else set()
        pid = self.arena.start(self.command.words, cache, here, limit=limit)
        if not limit:
            time.sleep(seconds)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        died = self.arena.wait(pid) < 0
        self._look(cache, here, known)
        if self.command.fresh or self.command.own:
            self._goes_on(cache, here)
        shutil.rmtree(here, ignore_errors=True)
        return died

    def _cache(self, here: Path) -> Path:
        here.mkdir(parents=True, exist_ok=True)
        if self.command.own:
            return here / self.command.own
        if not self.command.fresh:
            return self.arena.cache
        shutil.copytree(self.arena.cache, here / "cache", dirs_exist_ok=True)
        if self.command.before:
            self.command.before(here / "cache")
        return here / "cache"

    def _cut(self, lines: list[str]) -> None:
        self.tally.cut += [f"{self.name}: {line}" for line in lines]

    def _look(self, cache: Path, here: Path, known: set[str]) -> None:
        """Note every file that is neither what was there before nor what an uninterrupted command writes."""
        for file in self.command.files:
            if (here / file).read_bytes() == EARLIER or alike(here / file, self.whole / file):
                self.tally.whole[self.name] = self.tally.whole.get(self.name, 0) + 1
            else:
                self._cut([f"{file} has {(here / file).stat().st_size} bytes"])
        if self.command.made and (here / self.command.made).exists():
            self._cut(differences(here / self.command.made, self.whole / self.command.made))
        self._cut([line for line in wrong_in(cache) if line not in known])

    def _goes_on(self, cache: Path, here: Path) -> None:
        """Run the same command to its end; it finds its way from whatever was left, and what nobody needs can go."""
        # What was removed before the kill cannot be removed again; what it left is looked at all the same.
        removed = bool(self.command.removes) and not list(cache.glob(self.command.removes))
        if not removed and self.arena.wait(self.arena.start(self.command.words, cache, here)) != 0:
            self._cut([f"does not go on: {(here / 'err.txt').read_text()[:200]}"])
        self._cut(wrong_in(cache))
        self._cut([f"gc leaves {path.relative_to(cache)}" for path in self.arena.collected(cache, here)])


def fill_disk(folder: Path, only: list[str] | None = None) -> dict[str, tuple[int, str, list[str]]]:
    """Run each command that names a file on a disk that is full half-way; exit code, what was said, files cut."""
    arena, found = Arena(folder), {}
    for name in (name for name in only or NAMED if name in NAMED):
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
            if (here / file).read_bytes() != EARLIER and not alike(here / file, whole / file)
        ]
        cut += [f"left {path.name}" for path in here.rglob(".*")]
        found[name] = (code, (here / "err.txt").read_text(), cut)
    return found
