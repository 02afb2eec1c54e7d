"""How far long work is, on stderr: a bar for people, a line a minute for log files."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from medfeat.types import Progress
from medfeat_cli import output

_SLOWEST_SHOWN = 0.1  # units a second; of slower work only the time left says anything


class _TerminalProgress:
    """Draws a bar with the rate and the time left; lines worth keeping are printed above it."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._unit = "images"

    def start(self, total: int, label: str, unit: str = "images") -> None:
        """Begin a bar of `total` units."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.finish()
        self._unit = unit
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=_console(),
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(label, total=total, rate="")

    def advance(self, count: int) -> None:
        """Move the bar by `count` units."""
        if self._bar is None:
            return
        self._bar.advance(self._task, count)
        speed = self._bar.tasks[0].speed
        if speed and speed >= _SLOWEST_SHOWN:
            self._bar.update(self._task, rate=f"{speed:,.1f} {self._unit}/s")

    def say(self, message: str) -> None:
        """Print a line above the bar."""
        if self._bar is None:
            output.note(message)
        else:
            self._bar.console.print(output.harmless(message), highlight=False, markup=False)

    def finish(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class LineProgress:
    """For output that is not a terminal (a log file, a batch job): the lines worth keeping, and now and then how far.

    Parameters
    ----------
    every
        Seconds between two lines that say how far; work that is done sooner says nothing.
    clock
        Tells the time in seconds.
    """

    def __init__(self, every: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._every, self._clock = every, clock
        self._total = self._done = 0
        self._label, self._unit = "", "images"
        self._began = self._told = clock()

    def start(self, total: int, label: str, unit: str = "images") -> None:
        """Begin a stretch of `total` units."""
        self._total, self._done, self._label, self._unit = total, 0, label, unit
        self._began = self._told = self._clock()

    def advance(self, count: int) -> None:
        """Count `count` more units, and say how far it is when it is time to."""
        self._done += count
        now = self._clock()
        if now - self._told < self._every or self._done >= self._total:
            return
        self._told = now
        speed = self._done / (now - self._began)
        rate = f", {speed:,.1f} {self._unit}/s" if speed >= _SLOWEST_SHOWN else ""
        left = timedelta(seconds=round((self._total - self._done) / speed))
        output.note(f"{self._label}: {self._done:,} of {self._total:,} {self._unit}{rate}, about {left} left")

    def say(self, message: str) -> None:
        """Print the line on stderr."""
        output.note(message)

    def finish(self) -> None:
        """End the stretch; its result is for the caller to tell."""


def for_terminal() -> Progress:
    """Return the bar when a person is watching stderr, otherwise lines."""
    return _TerminalProgress() if sys.stderr.isatty() else LineProgress()


def _console() -> Any:
    from rich.console import Console

    return Console(stderr=True)
