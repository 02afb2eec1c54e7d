"""The process of one device: loads the network once, embeds the shares it is given, and hands the rows on.

Run as ``python -m`` this, with the device and a number of threads. It holds nothing that must outlive it: it may be
killed at any moment, and ends by itself as soon as the process that began it is gone.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import NotFrozenError, UsageError, first_line
from medfeat.extraction.loop.several.messages import (
    Advanced,
    Changed,
    Failed,
    Finished,
    Job,
    Rows,
    Share,
    frame,
    read_frame,
)
from medfeat_cache.manifest import Manifest

if TYPE_CHECKING:
    from medfeat.extraction.loop.row_keeper import RowKeeper
    from medfeat.extraction.network.forward import RowEmbedder


class _Mouth:
    """Tells the first process; the loop may do so from two threads."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe, self._one = pipe, threading.Lock()

    def tell(self, message: object) -> None:
        """Send one message."""
        with self._one:
            self._pipe.write(frame(message))
            self._pipe.flush()


class _Handed:
    """Stands where the writer of a store does, and hands what it is given on to it."""

    def __init__(self, mouth: _Mouth, view: int, recipe: dict[str, Any], missing: dict[str, NDArray[np.int64]]) -> None:
        self._mouth, self._view, self._missing = mouth, view, missing
        self.manifest = Manifest(recipe, {}, {})

    def missing_rows(self, group: str) -> NDArray[np.int64]:
        """Return the rows of this share that the store misses."""
        return self._missing.get(group, np.empty(0, np.int64))

    def change_settings(self, reason: str, **changes: Any) -> None:
        """Hand on that settings had to change."""
        self._mouth.tell(Changed(reason, changes))

    def write_rows(
        self, group: str, rows: Any, embeddings: NDArray[Any], image_hash: NDArray[Any], bad: Sequence[Any] = ()
    ) -> None:
        """Hand on some rows."""
        self._mouth.tell(Rows(self._view, group, rows, embeddings, image_hash, tuple(bad)))


class _Steps:
    """Hands on how far it is; what is worth saying is said once, by the first process."""

    def __init__(self, mouth: _Mouth) -> None:
        self._mouth = mouth

    def start(self, total: int, label: str, unit: str = "images") -> None:
        """Begin a stretch: one bar is for all processes."""

    def advance(self, count: int) -> None:
        """Tell of `count` more images."""
        self._mouth.tell(Advanced(count))

    def say(self, message: str) -> None:
        """Say nothing."""

    def finish(self) -> None:
        """End the stretch."""


class _Network:
    """The network on its device, and what it does with a share."""

    def __init__(self, job: Job, device: str, threads: int, mouth: _Mouth) -> None:
        self._job, self._mouth = job, mouth
        self._embedder = self._built(job, device, threads)
        self._refuse_other("are not those of the first process")

    @staticmethod
    def _built(job: Job, device: str, threads: int) -> RowEmbedder:
        import torch

        from medfeat.extraction.network.build import make_embedder

        torch.set_num_threads(threads)
        settings = job.settings
        return make_embedder(
            job.load(),
            job.dataset.info,
            fit=job.fit,
            device=torch.device(device),
            precision=settings.precision,
            batch_size=settings.batch_size,
            compiled=settings.compiled,
            copies=job.copies,
        )

    def embed(self, share: Share) -> Finished:
        """Embed a share, handing the rows on part by part."""
        from medfeat.extraction.loop.embed_rows import extract_rows
        from medfeat.extraction.network.device import peak_memory

        job, device = self._job, self._embedder.device
        keepers: dict[int, RowKeeper] = {
            view: _Handed(self._mouth, view, job.recipes[view], dict(missing))
            for view, missing in share.missing.items()
        }
        figures = extract_rows(
            job.dataset,
            self._embedder,
            keepers,
            part_batches=job.part_batches,
            progress=_Steps(self._mouth),
            background=device.type == "cuda",
        )
        self._refuse_other("changed while it embedded")
        return Finished(figures.stages, peak_memory(device))

    def _refuse_other(self, what: str) -> None:
        from medfeat.extraction.network.frozen import fingerprint

        if fingerprint(self._embedder.module) != self._job.fingerprint:
            raise NotFrozenError(f"parameters or buffers of a network {what}: nothing was published")


def _listen(pipe: BinaryIO, heard: SimpleQueue[bytes]) -> None:
    """Take down every message; when the first process is gone, so is this one, whatever it is at."""
    while (body := read_frame(pipe)) is not None:
        heard.put(body)
    os._exit(1)


def _job_of(body: bytes, device: str) -> Job:
    try:
        job: Job = pickle.loads(body)
    except Exception as error:  # whatever the images are made of runs here
        raise UsageError(
            f"a process of its own for {device} cannot open these images ({first_line(error)}): name one device"
        ) from error
    return job


def _portable(error: Exception) -> Exception:
    """Return an error that goes through a pipe: itself, or else what it says."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def main() -> None:
    """Serve the process that began this one, until it is gone."""
    device, threads = sys.argv[1:]
    mouth = _Mouth(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # what a library prints must not end up among the messages
    heard: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, heard), daemon=True).start()
    try:
        network = _Network(_job_of(heard.get(), device), device, int(threads), mouth)
        while True:
            mouth.tell(network.embed(pickle.loads(heard.get())))
    except Exception as error:
        with suppress(OSError):  # nobody is left to hear it
            mouth.tell(Failed(_portable(error)))
    os._exit(0)  # at once: the thread that listens has nothing more to hear


if __name__ == "__main__":
    main()
