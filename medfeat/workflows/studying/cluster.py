"""Workers of an existing Dask cluster at one study: each takes cells by their locks, as processes of one command do."""

from __future__ import annotations

import logging
import socket
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, nullcontext
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from medfeat.errors import MissingExtraError, ProcessesLostError, UsageError
from medfeat.types import Progress, SilentProgress
from medfeat.workflows.studying.cells import Cell
from medfeat.workflows.studying.notes import Note, folder_of, keep_note, said
from medfeat.workflows.studying.requests import Here
from medfeat.workflows.studying.several import add_up, gather_failures, left_by_the_dead
from medfeat.workflows.studying.working import Limits, Worked, Worker
from medfeat_cache import make_folder
from medfeat_cache.lock import Lock

_ANSWER_S, _POLL_S, _WITHOUT_WORKERS_S = 10.0, 0.3, 60.0
_LOST = "workers were lost while they made it, each time: memory may have run out"
# A worker may have several threads, and a cell counts on a process of its own.
_one_at_a_time = threading.Lock()


def by_cluster(
    cells: Sequence[Cell], here: Here, run: str, limits: Limits, *, scheduler: str, progress: Progress
) -> Worked:
    """Let every worker of a Dask cluster work on the cells until none is left.

    Parameters
    ----------
    cells, here, run, limits
        As `Worker` takes them; the cache must be a folder that all workers see.
    scheduler
        Its address, or the path of its scheduler file.
    progress
        Told who works.

    Raises
    ------
    UsageError
        No scheduler answers, it has no workers, or one of them cannot work on this.
    ProcessesLostError
        All workers went away.
    MissingExtraError
        The package distributed is not installed.
    """
    here = replace(here, cache_dir=here.root.absolute(), data_root=_absolute(here.data_root))
    found = Worked()
    with _quiet(), _connected(scheduler) as client, _holding(here, run) as lock:
        workers = sorted(client.nthreads())
        if not workers:
            raise UsageError(f"the Dask scheduler at {scheduler} has no workers: start some, such as `dask worker`")
        _refuse_strangers(client.run(_looks, lock, on_error="return"), here)
        progress.say(f"{len(workers)} workers of the Dask cluster at {scheduler} share the cells")
        task = cells, here, run, replace(limits, command=lock), str(Path.cwd())
        futures = [client.submit(_work, *task, key=f"{lock.stem}-{number}") for number in range(len(workers))]
        _wait(client, futures, progress, total=len(cells))
        add_up([one.result() for one in futures if one.status == "finished"], found)
        for error in (one.exception() for one in futures if one.status == "error"):
            progress.say(f"a worker gave up: {' '.join(str(error).split())[:200]}")
            for cell in left_by_the_dead(cells, here):
                keep_note(here.root, cell, Note(cell.kind, said(cell), failed=_LOST, run=run))
    gather_failures(cells, here, run, found)
    return found


def _work(cells: Sequence[Cell], here: Here, run: str, limits: Limits, folder: str) -> Worked:
    """Work on the cells inside a worker, in the folder from which the study's paths are read where it is here too."""
    from distributed import get_worker

    here = replace(here, worker=f"worker {get_worker().address} of {socket.gethostname()}")
    with _one_at_a_time, chdir(folder) if Path(folder).is_dir() else nullcontext():
        return replace(Worker(cells, here, run, limits, SilentProgress()).work(), failed=[])


def _looks(lock: Path) -> tuple[str, bool]:
    """Say which version a worker has, and whether it sees the lock of the command, and so the cache."""
    return version("medfeat"), lock.exists()


def _refuse_strangers(answers: Mapping[str, Any], here: Here) -> None:
    for worker, answer in sorted(answers.items()):
        if isinstance(answer, BaseException):
            said_by = f"{type(answer).__name__}: {' '.join(str(answer).split())[:200]}"
            raise UsageError(f"worker {worker} of the cluster cannot run medfeat ({said_by}): install it there")
        if answer[0] != (mine := version("medfeat")):
            raise UsageError(f"worker {worker} of the cluster has medfeat {answer[0]}, here it is {mine}: use one")
        if not answer[1]:
            raise UsageError(
                f"worker {worker} of the cluster does not see the cache {here.root}: give a folder that all machines "
                "share with --cache-dir"
            )


@contextmanager
def _connected(scheduler: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingExtraError.of("--engine dask needs", "distributed", "dask", error) from error
    place = {"scheduler_file": scheduler} if Path(scheduler).is_file() else {"address": scheduler}
    try:
        client: Any = Client(**place, timeout=_ANSWER_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, ImportError) as error:
        raise UsageError(
            f"no Dask scheduler answers at {scheduler} within {_ANSWER_S:.0f} s: start one (`dask scheduler`) and give "
            "the address it prints, such as tcp://host:8786"
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=_ANSWER_S)


@contextmanager
def _holding(here: Here, run: str) -> Iterator[Path]:
    """Hold a lock while the command lives: a worker that finds it held by nobody stops after its cell."""
    folder = folder_of(here.root)
    make_folder(folder)
    path = folder / f"{run}-{time.time_ns():x}.lock"
    lock = Lock(path).acquire()
    try:
        yield path
    finally:
        lock.release()


def _wait(client: Any, futures: Sequence[Any], progress: Progress, *, total: int) -> None:
    """Wait until all workers are done; a task whose worker died goes on in another, which Dask sees to."""
    alone_since: float | None = None
    while not all(one.done() for one in futures):
        time.sleep(_POLL_S)
        if client.nthreads():
            alone_since = None
        elif alone_since is None:
            alone_since = time.monotonic()
            progress.say(f"all workers of the cluster are gone; waiting {_WITHOUT_WORKERS_S:.0f} s for others")
        elif time.monotonic() - alone_since > _WITHOUT_WORKERS_S:
            raise ProcessesLostError(
                f"all workers of the cluster are gone, with some of {total} cells to make: the same command goes on "
                "from there when there are others"
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the client tells its log, of connections and versions, off the terminal."""
    log = logging.getLogger("distributed")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _absolute(folder: str | Path | None) -> Path | None:
    return None if folder is None else Path(folder).expanduser().absolute()
