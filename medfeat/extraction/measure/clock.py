"""Seconds of work, which other programs on the same machine cannot stretch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
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


def _processor_seconds() -> tuple[float, float, float]:
    """Return what was used by this thread, by all threads, and by programs that were started and have ended."""
    spent = os.times()
    return time.thread_time(), time.process_time(), spent.children_user + spent.children_system
