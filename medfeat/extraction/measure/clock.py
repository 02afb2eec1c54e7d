"""Seconds of work, which other programs on the same machine cannot stretch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Windows counts processor time in ticks of 15.6 ms, in which a forward pass of a small network is lost.
_COARSE = 1e-3


def stopwatch(device: torch.device) -> Callable[[], float]:
    """Start measuring; each call of what is returned gives the seconds of work so far.

    Parameters
    ----------
    device
        On a processor these are the seconds that this process, and programs it started and waited for (a compiler),
        held processors for: as long as the work would take with nobody beside it. Elsewhere the processor only waits
        for the device, and time itself is measured; what is measured must have been waited for.
    """
    import torch

    began = time.perf_counter()
    if device.type != "cpu" or time.get_clock_info("thread_time").resolution > _COARSE:
        return lambda: time.perf_counter() - began
    threads, before = torch.get_num_threads(), _processor_seconds()

    def seconds() -> float:
        own, everyone, helpers = (now - then for now, then in zip(_processor_seconds(), before, strict=True))
        # The thread that leads takes part in all of it; where it waits for the others, they share what is left.
        work = max(own, everyone / threads) + helpers
        return min(work, time.perf_counter() - began)

    return seconds


def threads_of(device: torch.device) -> int:
    """Return how many threads of this program compute together; what is no processor is waited for by one."""
    import torch

    return torch.get_num_threads() if device.type == "cpu" else 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread in here.

    Where other programs hold a processor, threads that are done spin while they wait for one that has none, which
    counts as work: a forward pass of 4 ms was seen to take 390, for seconds. One thread alone takes longer than
    several do, and no longer than that, whatever runs beside it.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _processor_seconds() -> tuple[float, float, float]:
    """Return what was used by this thread, by all threads, and by programs that were started and have ended."""
    spent = os.times()
    return time.thread_time(), time.process_time(), spent.children_user + spent.children_system
