"""Where long work is heard when nobody says where: a bar in a notebook, `logging` under the name ``medfeat`` elsewhere.

A script shows nothing until it asks: ``logging.basicConfig(level=logging.INFO)``.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from medfeat.types import Progress, SilentProgress

_SHORTEST = 0.5  # seconds; what is done sooner has no bar
_LOGGER = logging.getLogger("medfeat")
_LOGGER.addHandler(logging.NullHandler())  # a library says nothing of its own accord, warnings neither


class MedfeatWarning(UserWarning):
    """What a person in a notebook must not overlook, such as images that could not be read."""


@runtime_checkable
class WholeProgress(Progress, Protocol):
    """A `Progress` that also shows how far a command is that does several things: run 4 of 18."""

    def whole(self, done: int, total: int, what: str) -> None:
        """Say that `done` of `total` are done and the next one begins; all of them done ends it."""
        ...


@dataclass(frozen=True)
class SaidOnce:
    """A `Progress` that says each line once, however many stores the same labels or weights are read for."""

    progress: Progress
    said: set[str] = field(default_factory=set)

    def start(self, total: int, label: str, unit: str = "images") -> None:
        """Begin a stretch."""
        self.progress.start(total, label, unit)

    def advance(self, count: int) -> None:
        """Report more units done."""
        self.progress.advance(count)

    def say(self, message: str) -> None:
        """Show a line that was not shown before."""
        if message not in self.said:
            self.said.add(message)
            self.progress.say(message)

    def finish(self) -> None:
        """End the stretch."""
        self.progress.finish()

    def whole(self, done: int, total: int, what: str) -> None:
        """Say how far the whole command is."""
        if isinstance(self.progress, WholeProgress):
            self.progress.whole(done, total, what)


def heard(progress: Progress | None) -> Progress:
    """Return where progress goes: where it was asked to, else a bar in a notebook, else a log."""
    if progress is not None:
        return progress
    return _NotebookProgress() if in_notebook() else _LoggedProgress()


def warn_of(lines: Iterable[str]) -> None:
    """Tell of what went wrong without stopping: always a line of the log, and a warning in a notebook without it."""
    for line in lines:
        _LOGGER.warning("%s", line)
        if in_notebook() and not _log_is_seen(logging.WARNING):
            warnings.warn(line, MedfeatWarning, stacklevel=3)


def in_notebook() -> bool:
    """Tell whether a notebook's kernel runs this; IPython is not imported to find out."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


@dataclass(frozen=True)
class _LoggedProgress(SilentProgress):
    """Shows nothing; what is worth keeping is kept, and logged as information, stretches as debugging."""

    def start(self, total: int, label: str, unit: str = "images") -> None:
        """Begin a stretch."""
        _LOGGER.debug("%s: %s %s", label, total, unit)

    def say(self, message: str) -> None:
        """Keep the line in `said`, and log it."""
        super().say(message)
        _LOGGER.info("%s", message)


class _NotebookProgress:
    """Draws a bar below the cell, of which nothing is left; lines worth keeping are printed, or logged where seen."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._below = _Below()

    def start(self, total: int, label: str, unit: str = "images") -> None:
        """Begin a bar of `total` units."""
        from tqdm.std import tqdm

        self.finish()
        how = {"leave": False, "file": self._below, "mininterval": 0.2, "delay": _SHORTEST}
        self._bar = tqdm(total=total, desc=label, unit=f" {unit}", **how)

    def advance(self, count: int) -> None:
        """Move the bar by `count` units."""
        if self._bar is not None:
            self._bar.update(count)

    def say(self, message: str) -> None:
        """Show a line once: in the log where the log is shown in the notebook, else printed and logged."""
        if not _log_is_seen(logging.INFO):
            print(message)
        _LOGGER.info("%s", message)

    def finish(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class _Below:
    """A place below the cell for one line at a time, as a file: what was written last replaces what was there.

    A bar that is printed comes back with every state it had when the notebook is saved and opened again.
    """

    def __init__(self) -> None:
        self._place: Any = None

    def write(self, text: str) -> None:
        """Show a line; a blank one takes the last away."""
        line = text.strip()
        if not line and self._place is None:
            return
        shown = {"text/plain": line}
        if self._place is None:
            from IPython.display import display

            self._place = display(shown, raw=True, display_id=True)
        else:
            self._place.update(shown, raw=True)

    def flush(self) -> None:
        """Nothing waits."""


def _log_is_seen(level: int) -> bool:
    """Tell whether the log is shown where the notebook shows what is printed, as `logging.basicConfig` has it."""
    logger: logging.Logger | None = _LOGGER
    if not _LOGGER.isEnabledFor(level):
        return False
    while logger is not None:
        if any(one.level <= level and _stream_of(one) in (sys.stdout, sys.stderr) for one in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


def _stream_of(handler: logging.Handler) -> Any:
    """Return what a handler writes to; those of rich write to a console's file."""
    return getattr(handler, "stream", None) or getattr(getattr(handler, "console", None), "file", None)
