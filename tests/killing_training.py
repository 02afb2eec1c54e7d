"""A harness that kills trainings: children run the real command and die at random moments; the end must be the same."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

BACKBONE = "timm:test_resnet.r160_in1k"
COUNTS = {"train": 24, "val": 12, "test": 12}
EPOCHS = 4


@dataclass
class Tally:
    """What happened over all kills."""

    kills: int = 0
    rounds: int = 0
    moments: dict[str, int] = field(default_factory=dict)
    resumed_at: list[int] = field(default_factory=list)


def tune_once(root: Path, data: Path, log: Path) -> None:
    """Run the command in this process; what it says is noted in `log`, and dropout and augmentation are on."""
    import torch

    from medfeat.types import SilentProgress
    from medfeat.workflows.finetune import finetune

    torch.set_num_threads(1)
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    class Noted(SilentProgress):
        def say(self, message: str) -> None:
            os.write(handle, f"{message}\n".encode())

        def start(self, total, label, unit="images") -> None:
            os.write(handle, f"begins {label}\n".encode())

    options = {"weights": "random", "device": "cpu", "precision": "fp32", "resamples": 20}
    finetune(str(data), BACKBONE, epochs=EPOCHS, batch_size=6, lr=1e-3, cache_dir=root, progress=Noted(), **options)


def contents(root: Path) -> dict[str, np.ndarray]:
    """Everything that must be equal: the tuned weights, the loss of each epoch, and the scores of their run."""
    from safetensors.numpy import load_file

    (weights,) = (root / "tuned").glob("*/*/model.safetensors")
    found = {f"weights {name}": value for name, value in load_file(weights).items()}
    log = np.genfromtxt(weights.with_name("log.csv"), delimiter=",", skip_header=2)
    found["losses"] = log[:, :4]  # epoch, loss and val; rates of images differ
    for path in (root / "runs").glob("*/*/scores.npz"):
        with np.load(path) as file:
            found |= {f"{path.parent.name} {name}": file[name] for name in file.files}
    return found


def child(root: Path, data: Path, log: Path) -> int:
    """Fork a child that tunes; the parent has imported torch but never run it."""
    pid = os.fork()
    if pid:
        return pid
    try:
        sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - lives as long as the child
        tune_once(root, data, log)
    except BaseException:
        with log.open("a") as file:
            traceback.print_exc(file=file)
        os._exit(1)
    os._exit(0)


def kill_many(folder: Path, kills: int, *, seed: int) -> Tally:
    """Kill `kills` trainings, finish each round, and compare with an uninterrupted one."""
    import medfeat.workflows.finetune  # noqa: F401 - loaded once, here, so that children are quick
    from medfeat.backbones.libraries import from_timm  # noqa: F401

    chance, tally = random.Random(seed), Tally()
    data = _images(folder)
    frozen = folder / "frozen"
    _frozen(frozen, data)
    whole = folder / "whole"
    shutil.copytree(frozen, whole)
    started = time.monotonic()
    _finish(whole, data, folder / "whole.log")
    duration, reference = time.monotonic() - started, contents(whole)
    while tally.kills < kills:
        root, log = folder / f"round{tally.rounds}", folder / f"round{tally.rounds}.log"
        shutil.copytree(frozen, root)
        for _ in range(chance.randint(1, min(5, kills))):
            _kill_one(root, data, log, chance, duration, tally)
        _finish(root, data, log)
        found = contents(root)
        wrong = [name for name in reference if not np.array_equal(found.get(name), reference[name])]
        assert found.keys() == reference.keys() and not wrong, f"not equal to the uninterrupted training: {wrong}"
        left = [str(path) for path in (root / "tuned").rglob(".*")]
        assert not left, f"left behind: {left}"
        said = [line for line in log.read_text().splitlines() if line.startswith("resuming at epoch ")]
        tally.resumed_at += [int(line.rpartition(" ")[2]) for line in said]
        tally.rounds += 1
        shutil.rmtree(root)
    return tally


def _kill_one(root: Path, data: Path, log: Path, chance: random.Random, duration: float, tally: Tally) -> None:
    before = len(_lines(log))
    pid = child(root, data, log)
    time.sleep(chance.uniform(0, duration))
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        lines = [line for line in _lines(log)[before:] if line.startswith("begins ")]
        moment = lines[-1].removeprefix("begins ") if lines else "loading"
        tally.moments[moment] = tally.moments.get(moment, 0) + 1
        tally.kills += 1


def _finish(root: Path, data: Path, log: Path) -> None:
    _, status = os.waitpid(child(root, data, log), 0)
    assert status == 0, f"the training that nobody killed failed: {_lines(log)[-1:]}"


def _frozen(root: Path, data: Path) -> None:
    """Embed and probe in a child, so that kills fall upon the training."""
    pid = os.fork()
    if not pid:
        with suppress(BaseException):
            from medfeat.workflows.extract import extract
            from medfeat.workflows.probe import probe

            options = {"weights": "random", "device": "cpu", "precision": "fp32", "cache_dir": root}
            extract(str(data), BACKBONE, **options)
            probe(head="linear", cache_dir=root, resamples=20)
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert status == 0, "the frozen features could not be made"


def _images(folder: Path) -> Path:
    """Write noise as an .npz of its own: with nothing to learn, every step moves the network."""
    rng, arrays = np.random.default_rng(0), {}
    for group, count in COUNTS.items():
        y = np.arange(count) % 2
        noise = rng.integers(0, 256, (count, 28, 28))
        arrays |= {f"{group}_images": noise.astype(np.uint8), f"{group}_labels": y[:, None]}
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "noise.npz", **arrays)
    return folder / "noise.npz"


def _lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []
