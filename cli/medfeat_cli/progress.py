"""A progress bar on stderr, for people only: silent when stderr is not a terminal."""

from __future__ import annotations

import sys
from typing import Any

from medfeat.types import Progress
from medfeat_cli import output


class TerminalProgress:
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
        if speed:
            self._bar.update(self._task, rate=f"{speed:,.1f} {self._unit}/s")

    def say(self, message: str) -> None:
        """Print a line above the bar."""
        if self._bar is None:
            output.note(message)
        else:
            self._bar.console.print(message, highlight=False, markup=False)

    def finish(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class LineProgress:
    """For output that is not a terminal: no bar, only the lines worth keeping."""

    def start(self, total: int, label: str, unit: str = "images") -> None:
        """Show nothing."""

    def advance(self, count: int) -> None:
        """Show nothing."""

    def say(self, message: str) -> None:
        """Print the line on stderr."""
        output.note(message)

    def finish(self) -> None:
        """Show nothing."""


def for_terminal() -> Progress:
    """Return the bar when a person is watching stderr, otherwise lines only."""
    return TerminalProgress() if sys.stderr.isatty() else LineProgress()


def _console() -> Any:
    from rich.console import Console

    return Console(stderr=True)
