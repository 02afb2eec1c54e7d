"""Gives each hostile input to the real command in a child, and measures what became of it."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from hostile_inputs import COUNTS, NETWORK, Hostile

MOST_SECONDS, MOST_BYTES = 10.0, 1 << 30


@dataclass(frozen=True)
class Outcome:
    """What became of one: exit code (minus a signal), seconds, bytes above the bare process, the last line said."""

    code: int
    seconds: float
    peak_bytes: int
    said: str
    executed: bool

    def became(self, folder: str) -> str:
        """Return the line that says what happened, without the folder it happened in."""
        lines = [line for line in self.said.splitlines() if line.strip()]
        told = [line for line in lines if line.startswith("medfeat: ")] or [
            line for line in lines if "changed" in line or "measured anew" in line
        ]
        words = (told or [""])[-1].removeprefix("medfeat: ").replace(folder, "")
        words = re.sub(r"/(case\d+|arena)(/\S*/)?", "", words)
        outcome = "refused" if self.code else "goes on"
        return f"{outcome}: {words[:110]}{'...' if len(words) > 110 else ''}" if words else outcome

    def wrong(self, one: Hostile) -> str:
        """Say what is wrong with it; empty when nothing is."""
        faults = []
        if self.executed:
            faults.append("code was executed")
        if self.seconds > MOST_SECONDS:
            faults.append(f"took {self.seconds:.0f} s of processor time, or hung")
        if self.peak_bytes > MOST_BYTES:
            faults.append(f"took {self.peak_bytes >> 20} MB")
        if self.code != one.code and not (one.code == 1 and self.code == 2):
            faults.append(f"exit code {self.code}, not {one.code}")
        if one.said not in self.said or "unforeseen" in self.said or "Traceback" in self.said or "\x1b" in self.said:
            faults.append("said something else")
        return "; ".join(faults)


def give(one: Hostile, arena: Path, here: Path) -> Outcome:
    """Make a hostile input in a folder of its own, a copy of the arena, and give it to the command in a child."""
    shutil.copytree(arena, here, symlinks=True)
    run = next((here / "cache" / "runs" / "planted").glob("[0-9a-f]*"))
    one.make(here, run)
    words = one.words.format(here=here, run=run).split()
    pid = os.fork()
    if not pid:
        _child(words, here)
    _, status, usage = os.wait4(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    said = "".join((here / name).read_text(errors="replace") for name in ("out.txt", "err.txt"))
    bare = int((here / "bare.txt").read_text())
    outcome = Outcome(code, usage.ru_utime + usage.ru_stime, (usage.ru_maxrss - bare) << 10, said,
                      (here / "executed").exists())  # fmt: skip
    shutil.rmtree(here, ignore_errors=True)
    return outcome


def _child(words: list[str], here: Path) -> None:
    code = 1
    try:
        os.chdir(here)
        sys.stdout, sys.stderr = (here / "out.txt").open("w"), (here / "err.txt").open("w")
        (here / "bare.txt").write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
        # By the processor's time, so that a busy machine hangs nothing; what waits for ever is ended by the alarm.
        resource.setrlimit(resource.RLIMIT_CPU, (int(MOST_SECONDS * 2), int(MOST_SECONDS * 2)))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(120)
        from medfeat_cli.main import run

        code = run([*words, "--cache-dir", str(here / "cache")])
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)


def arena(folder: Path) -> Path:
    """Make a cache with a store, a run and notes of what was measured, and two folders of images, one embedded."""
    from medfeat.workflows.extract import extract
    from medfeat.workflows.probe import probe
    from medfeat_cache import GroupSpec, StoreWriter, recipe_digest, store_path

    recipe = {"dataset": "planted", "backbone": "fake", "size": 28, "input_size": 224, "pool": "avg", "fit": "whole",
              "precision": "fp32", "fingerprint": "planted"}  # fmt: skip
    info = {"dataset": {"name": "planted", "task": "binary-class", "classes": ["c0", "c1"], "counts": COUNTS}}
    cache, rng = folder / "cache", np.random.default_rng(0)
    with StoreWriter.open(
        store_path(cache, "planted", "fake", recipe_digest(recipe)), recipe=recipe, info=info, settings={}
    ) as writer:
        found = {group: np.arange(n) % 2 for group, n in COUNTS.items()}
        writer.groups({g: GroupSpec([f"{g}/{i}" for i in range(len(y))], y) for g, y in found.items()})
        for group, y in found.items():
            rows = (rng.normal(size=(len(y), 8)) + y[:, None]).astype("f4")
            writer.write_rows(group, np.arange(len(y)), rows, rng.integers(0, 256, (len(y), 16), dtype=np.uint8))
        writer.publish({})
    probe("planted", head="linear", cache_dir=cache, resamples=20)
    for name in ("known", "new"):
        (folder / name).mkdir()
        Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(folder / name / "a.png")
    extract(str(folder / "known"), NETWORK, weights="random", device="cpu", precision="fp32", cache_dir=cache)
    return folder


def load() -> None:
    """Load what the commands load, once, so that a child costs what its input costs."""
    import nibabel  # noqa: F401
    import pydicom  # noqa: F401
    import torch

    import medfeat.workflows.compare
    import medfeat.workflows.extract
    import medfeat.workflows.predict  # noqa: F401
    from medfeat.backbones.libraries import from_timm, from_torchvision  # noqa: F401

    torch.set_num_threads(1)
