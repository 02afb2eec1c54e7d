"""The process that writes the stores: it begins one for each device, deals out images, and does without the dead."""

from __future__ import annotations

import math
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from medfeat.errors import MedfeatError, OutOfMemoryError, ProcessesLostError, first_line
from medfeat.extraction.loop.embed_rows import Figures
from medfeat.extraction.loop.several.messages import (
    Advanced,
    Changed,
    Failed,
    Finished,
    Job,
    Lost,
    Rows,
    Share,
    Told,
    frame,
    read_frame,
)
from medfeat.extraction.loop.several.shares import Piece, by_group, dealt
from medfeat.types import BadImage, Progress
from medfeat_cache import StoreWriter

_WORKER = "medfeat.extraction.loop.several.worker"
_AHEAD = 8


@dataclass(eq=False)
class _Worker:
    """A process, what it is at, and how it ended."""

    device: str
    process: subprocess.Popen[bytes]
    pieces: list[Piece]
    advanced: int = 0
    peak_bytes: int = 0
    error: Exception | None = None
    gone: bool = False

    @property
    def ending(self) -> str:
        """How it ended, in a few words."""
        if self.error is not None:
            return first_line(self.error)
        code = self.process.wait()
        with suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"exit code {code}"


@dataclass
class EmbeddedTogether:
    """What the processes measured together.

    Attributes
    ----------
    figures
        Seconds of each stage are the mean over processes.
    peak_bytes
        The most memory one of them has held.
    """

    figures: Figures = field(default_factory=Figures)
    peak_bytes: int = 0


def embed_together(
    job: Job,
    pieces: Sequence[Piece],
    writers: Mapping[int, StoreWriter],
    *,
    devices: Sequence[str],
    threads: int,
    progress: Progress,
) -> EmbeddedTogether:
    """Embed pieces by a process for each device; this one alone writes, so that a process lost costs its part only.

    Parameters
    ----------
    job
        What every process must know.
    pieces
        All images that some writer misses.
    writers
        By the number of the view each one keeps.
    devices
        One a process; a device may be named twice.
    threads
        Of torch, in each process.
    progress
        One bar for all.

    Raises
    ------
    MedfeatError
        What one process found wrong with the images or the network, as it would be found by any.
    ProcessesLostError
        When none is left; what is durable stays.
    """
    with _Processes(job, writers, threads, progress) as processes:
        return processes.run(pieces, devices)


class _Processes:
    """The processes of one run; leaving the ``with`` block ends them all."""

    def __init__(self, job: Job, writers: Mapping[int, StoreWriter], threads: int, progress: Progress) -> None:
        self._job, self._writers, self._threads, self._progress = frame(job), writers, threads, progress
        self._name = job.dataset.info.name
        self._workers: list[_Worker] = []
        self._listeners: list[threading.Thread] = []
        # Rows take room: a process that is ahead of the disk by this much waits.
        self._told: queue.Queue[tuple[_Worker, Told]] = queue.Queue(_AHEAD)
        self._waiting: list[Piece] = []  # those of processes that were lost
        self._together = EmbeddedTogether()

    def __enter__(self) -> _Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.kill()  # it holds nothing that must outlive it
        for listener in self._listeners:
            while listener.is_alive():  # it may be waiting for room
                with suppress(queue.Empty):
                    self._told.get(timeout=0.02)
        for worker in self._workers:
            worker.process.wait()
            for pipe in (worker.process.stdin, worker.process.stdout):
                with suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]  # both are pipes

    def run(self, pieces: Sequence[Piece], devices: Sequence[str]) -> EmbeddedTogether:
        """Deal out all pieces, write what comes back, and return when every one is durable."""
        started, images = time.perf_counter(), sum(len(piece.rows) for piece in pieces)
        self._progress.start(images, f"{self._name} on {len(devices)} devices")
        for device, share in zip(devices, dealt(pieces, len(devices)), strict=True):
            self._begin(device, share)
        while self._waiting or any(worker.pieces for worker in self._workers):
            worker, told = self._told.get()
            self._hear(worker, told)
        self._progress.finish()
        figures = self._together.figures
        figures.embedded = images - len(figures.bad)
        figures.seconds = time.perf_counter() - started
        return self._together

    def _begin(self, device: str, pieces: list[Piece]) -> None:
        paths = os.pathsep.join(os.path.abspath(path) for path in sys.path)  # noqa: PTH100 - "" is where we are
        # In a group of its own, Ctrl-C in a terminal reaches this process alone, which then ends the others.
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", _WORKER, device, str(self._threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},
            process_group=0,
        )
        worker = _Worker(device, process, pieces)
        self._workers.append(worker)
        listener = threading.Thread(target=self._listen, args=(worker, frame(self._share(pieces))), daemon=True)
        self._listeners.append(listener)
        listener.start()

    def _share(self, pieces: Sequence[Piece]) -> Share:
        groups = dict(by_group(pieces))
        return Share(
            {
                view: {group: np.intersect1d(rows, writer.missing_rows(group)) for group, rows in groups.items()}
                for view, writer in self._writers.items()
            }
        )

    def _listen(self, worker: _Worker, share: bytes) -> None:
        """Say what a process is to do, and pass on what it tells until it is gone; runs in a thread of its own."""
        with suppress(OSError, ValueError, EOFError, pickle.UnpicklingError):
            self._say(worker, self._job + share)
            while (body := read_frame(worker.process.stdout)) is not None:  # type: ignore[arg-type]  # a pipe
                self._told.put((worker, pickle.loads(body)))
        self._told.put((worker, Lost()))

    @staticmethod
    def _say(worker: _Worker, message: bytes) -> None:
        worker.process.stdin.write(message)  # type: ignore[union-attr]  # a pipe
        worker.process.stdin.flush()  # type: ignore[union-attr]

    def _hear(self, worker: _Worker, told: Told) -> None:
        match told:
            case Rows():
                self._writers[told.view].write_rows(told.group, told.rows, told.embeddings, told.hashes, told.bad)
                self._note_bad(told)
            case Advanced():
                worker.advanced += told.images
                self._progress.advance(told.images)
            case Changed():
                self._note_change(told)
            case Finished():
                worker.pieces, worker.advanced = [], 0
                self._together.peak_bytes = max(self._together.peak_bytes, told.peak_bytes)
                for stage, seconds in told.stages.items():
                    self._together.figures.stages[stage] += seconds / len(self._workers)
            case Failed():
                worker.error = told.error
                if isinstance(told.error, MedfeatError) and not isinstance(told.error, OutOfMemoryError):
                    raise told.error  # of the images or the network: no other process would fare better
            case Lost():
                self._do_without(worker)
        self._employ()

    def _note_bad(self, part: Rows) -> None:
        """Count the images that could not be read, once for all views."""
        known = {bad.id for bad in self._together.figures.bad}
        self._together.figures.bad += [BadImage(name, why) for name, why in part.bad if name not in known]

    def _note_change(self, told: Changed) -> None:
        """Write down a smaller batch, before any row made with it becomes durable; each process finds out by itself."""
        for writer in self._writers.values():
            if any(value < writer.settings[name] for name, value in told.changes.items()):
                writer.change_settings(told.reason, **told.changes)

    def _do_without(self, worker: _Worker) -> None:
        """Take back what a process that is gone has not handed over."""
        worker.gone = True
        left = [piece for piece in worker.pieces if self._is_missing(piece)]
        missing = sum(len(piece.rows) for piece in left)
        handed = sum(len(piece.rows) for piece in worker.pieces) - missing
        self._progress.advance(min(handed - worker.advanced, 0))  # it was ahead of what it had handed over
        worker.pieces = []
        self._waiting += left
        lost = f"the process for {worker.device} was lost ({worker.ending})"
        if all(one.gone for one in self._workers):
            raise ProcessesLostError(
                f"{lost}, and so were all others: what they had handed over is kept; run the same command again to "
                f"go on, or on one device to see why"
            ) from worker.error
        self._progress.say(f"{lost}: {missing} of its images go to the others")

    def _is_missing(self, piece: Piece) -> bool:
        return any(np.isin(piece.rows, one.missing_rows(piece.group)).any() for one in self._writers.values())

    def _employ(self) -> None:
        """Give processes that have nothing left to do what was taken back from others."""
        alive = [worker for worker in self._workers if not worker.gone]
        for worker in alive:
            if self._waiting and not worker.pieces and worker.error is None:
                count = math.ceil(len(self._waiting) / len(alive))
                worker.pieces, self._waiting = self._waiting[:count], self._waiting[count:]
                worker.advanced = 0
                with suppress(OSError):  # it is gone too, and will be heard of
                    self._say(worker, frame(self._share(worker.pieces)))
