"""A harness that kills extractions: children run the real command over a real network and die at random moments."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from medfeat_cache import FeatureStore, StoreError, find_stores, find_unfinished

BATCH = 8
DATA, BACKBONE = "synthetic-binary", "squeezenet1_1"


@dataclass
class Tally:
    """What happened over all kills."""

    kills: int = 0
    rounds: int = 0
    phases: dict[str, int] = field(default_factory=dict)
    embedded: int = 0
    needed: int = 0
    part_rows: int = 0
    most_lost_rows: int = 0
    reads: int = 0
    wrong_reads: list[str] = field(default_factory=list)

    @property
    def lost_parts_per_kill(self) -> float:
        """Images embedded more than once, in parts a kill."""
        return (self.embedded - self.needed) / self.part_rows / max(self.kills, 1)


def extract_once(root: Path, log: Path, part_batches: int) -> None:
    """Run the command in this process; every batch and phase is noted in `log` as it happens."""
    import torch

    from medfeat.extraction.measure import choose
    from medfeat.extraction.network import forward
    from medfeat.workflows.extract import extract
    from medfeat_cache import writer

    torch.set_num_threads(1)
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    submit, merge = forward.Forward.submit, writer.merge

    def counted(self, images):
        os.write(handle, f"batch {len(images)}\n".encode())
        return submit(self, images)

    def announced(*args, **options):
        os.write(handle, b"merge\n")
        merge(*args, **options)
        os.write(handle, b"publish\n")

    forward.Forward.submit, writer.merge = counted, announced
    # The measurement itself is not under test: a batch takes a second, so seconds of a part are its batches.
    choose.seconds_an_image = lambda _embedder, _images, **_options: 1 / BATCH
    choose._PART_SECONDS = float(part_batches)
    options = {"precision": "fp32", "batch_size": BATCH, "device": "cpu", "compile": False}
    extract(DATA, BACKBONE, weights="random", cache_dir=root, **options)


class Watcher(threading.Thread):
    """Reads like any other process, all the time: what it sees is the whole store or none."""

    def __init__(self, root: Path, reference: dict[str, np.ndarray], tally: Tally) -> None:
        super().__init__(daemon=True)
        self.root, self.reference, self.tally = root, reference, tally
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.wait(0.01):
            found = find_stores(self.root)
            self.tally.wrong_reads += [problem for _, problem in found.problems]
            for header in found:
                self.look(header.path)

    def look(self, path: Path) -> None:
        try:
            with FeatureStore(path, verify=True) as store:
                self.tally.wrong_reads += differences(self.reference, contents(store))
                self.tally.reads += 1
        except FileNotFoundError:
            return  # the round is over and its store was taken away
        except StoreError as error:
            if path.exists():
                self.tally.wrong_reads.append(str(error))


def contents(store: FeatureStore) -> dict[str, np.ndarray]:
    """Everything that must be equal: features, ids and labels of each group."""
    parts = {}
    for group in store.groups:
        parts[f"{group} features"] = np.array(store.embeddings(group))
        parts[f"{group} ids"] = store.ids(group)
        parts[f"{group} labels"] = store.labels(group)
    return parts


def differences(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> list[str]:
    """Name what is not equal, bit for bit."""
    wrong = [name for name in one if name not in other or not np.array_equal(one[name], other[name])]
    return wrong + [name for name in other if name not in one]


def child(root: Path, log: Path, part_batches: int) -> int:
    """Fork a child that extracts; the parent has imported torch but never run it."""
    pid = os.fork()
    if pid:
        return pid
    with suppress(BaseException):
        sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - lives as long as the child
        extract_once(root, log, part_batches)
        os._exit(0)
    os._exit(1)


def phase_of(lines: list[str]) -> str:
    """Name the phase a child was in when it died."""
    if not lines:
        return "loading"
    return {"merge": "merge", "publish": "publish"}.get(lines[-1], "parts")


def kill_many(folder: Path, kills: int, *, seed: int, part_batches: int = 4) -> Tally:
    """Kill `kills` extractions, finish each round, and compare with an uninterrupted run."""
    import medfeat.backbones
    import medfeat.workflows.extract  # noqa: F401 - loaded once, here, so that children are quick
    from medfeat.backbones.libraries import from_torchvision  # noqa: F401

    chance = random.Random(seed)
    whole = folder / "whole"
    started = time.monotonic()
    _finish(whole, folder / "whole.log", part_batches)
    duration = time.monotonic() - started
    [header] = find_stores(whole)
    with FeatureStore(header.path, verify=True) as store:
        reference = contents(store)
        assert store.info["settings"]["part_batches"] == part_batches, "the harness does not decide the size of a part"
    tally = Tally(part_rows=BATCH * part_batches)
    while tally.kills < kills:
        root, log = folder / f"round{tally.rounds}", folder / f"round{tally.rounds}.log"
        watcher = Watcher(root, reference, tally)
        watcher.start()
        for _ in range(chance.randint(3, 8)):
            _kill_one(root, log, part_batches, chance, duration, tally)
        _finish(root, log, part_batches)
        watcher.stop.set()
        watcher.join()
        _count(root, log, reference, tally)
    return tally


def _kill_one(root: Path, log: Path, part_batches: int, chance: random.Random, duration: float, tally: Tally) -> None:
    before, durable = _lines(log), _durable_rows(root)
    pid = child(root, log, part_batches)
    if chance.random() < 0.4:
        # Aim at the merge: it is over in milliseconds, and dying in it is what must do no harm.
        _wait_for(log, len(before), "merge", pid)
        time.sleep(chance.uniform(0, 0.02))
    else:
        time.sleep(chance.uniform(0, duration))
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        lines = _lines(log)[len(before) :]
        embedded = sum(int(line.split()[1]) for line in lines if line.startswith("batch"))
        lost = embedded - (_durable_rows(root) - durable)
        tally.most_lost_rows = max(tally.most_lost_rows, lost)
        phase = phase_of(lines)
        tally.phases[phase] = tally.phases.get(phase, 0) + 1
        tally.kills += 1


def _durable_rows(root: Path) -> int:
    """Rows that no kill can take any more: of the published store, else of the parts."""
    stores = find_stores(root)
    if stores:
        return sum(stores[0].counts.values())
    return sum(sum(one.done.values()) for one in find_unfinished(root))


def _finish(root: Path, log: Path, part_batches: int) -> None:
    _, status = os.waitpid(child(root, log, part_batches), 0)
    assert status == 0, "the extraction that nobody killed failed"


def _wait_for(log: Path, known: int, word: str, pid: int) -> None:
    deadline = time.monotonic() + 60
    while word not in _lines(log)[known:] and time.monotonic() < deadline:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return
        time.sleep(0.002)


def _count(root: Path, log: Path, reference: dict[str, np.ndarray], tally: Tally) -> None:
    [header] = find_stores(root)
    with FeatureStore(header.path, verify=True) as store:
        wrong = differences(reference, contents(store))
    assert not wrong, f"not equal to the uninterrupted store: {wrong}"
    left = [str(path) for path in root.glob("*/*/.*")]
    assert not left, f"left behind: {left}"
    tally.embedded += sum(int(line.split()[1]) for line in _lines(log) if line.startswith("batch"))
    tally.needed += sum(header.counts.values())
    tally.rounds += 1


def _lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []
