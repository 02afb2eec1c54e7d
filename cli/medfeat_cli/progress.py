"""How far long work is, on stderr: a bar for people, a line a minute for log files."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from medfeat.report.folded import folded
from medfeat.types import Progress
from medfeat_cli import output

_SLOWEST_SHOWN = 0.1  # units a second; of slower work only the time left says anything


class _TerminalProgress:
    """Draws a bar for what runs and, of several things, one for all of them; all of it vanishes when it is done."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._bars: Any = None
        self._inner: Any = None
        self._outer: Any = None
        self._unit = "images"
        self._began = clock()

    def start(self, total: int, label: str, unit: str = "images") -> None:
        """Begin a bar of `total` units."""
        self.finish()
        self._unit = unit
        self._inner = self._drawing().add_task(label, total=total, said="")

    def advance(self, count: int) -> None:
        """Move the bar by `count` units."""
        if self._inner is None:
            return
        self._bars.advance(self._inner, count)
        task = next(one for one in self._bars.tasks if one.id == self._inner)
        said = f"{int(task.completed):,}/{int(task.total):,}"
        if task.speed and task.speed >= _SLOWEST_SHOWN:
            said += f"  {task.speed:,.1f} {self._unit}/s"
        if task.time_remaining:
            said += f"  {time_left(task.time_remaining)}"
        self._bars.update(self._inner, said=said)

    def whole(self, done: int, total: int, what: str) -> None:
        """Move the bar of the whole command; the last step takes it away."""
        if done >= total:
            self.finish()
            self._outer = None
            self._stop()
            return
        if self._outer is None:
            self._began = self._clock()
            self._outer = self._drawing().add_task("", total=total, said="")
        left = time_left((self._clock() - self._began) / done * (total - done)) if done else ""
        description = f"{what} {done + 1} of {total}"
        self._bars.update(self._outer, completed=done, description=description, said=left)

    def say(self, message: str) -> None:
        """Print a line above the bars."""
        if self._bars is None:
            output.note(message)
        else:
            console = self._bars.console
            said = folded(output.harmless(message), console.width)
            console.print(said, highlight=False, markup=False, soft_wrap=True)

    def finish(self) -> None:
        """Remove the bar of what ran."""
        if self._inner is not None:
            self._bars.remove_task(self._inner)
            self._inner = None
        if self._outer is None:
            self._stop()

    def _drawing(self) -> Any:
        from rich.progress import BarColumn, Progress, TextColumn

        if self._bars is None:
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"))
            self._bars = Progress(*columns, console=_console(), transient=True)
            self._bars.start()
        return self._bars

    def _stop(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


def time_left(seconds: float) -> str:
    """Return how long something still takes, as exactly as it can be known.

    Examples
    --------
    >>> time_left(42), time_left(119), time_left(5400)
    ('42 s left', '2 min left', '1.5 h left')
    """
    if seconds < 90:
        return f"{max(round(seconds), 1)} s left"
    return f"{round(seconds / 60)} min left" if seconds < 5400 else f"{seconds / 3600:.1f} h left"


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
        self._label, self._unit, self._where = "", "images", ""
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
        output.note(
            f"{self._where}{self._label}: {self._done:,} of {self._total:,} {self._unit}{rate}, about {left} left"
        )

    def whole(self, done: int, total: int, what: str) -> None:
        """Note which of several things begins: the next line says it."""
        self._where = f"{what} {done + 1} of {total}, " if done < total else ""

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
