"""An error nobody foresaw, as one line beside the others; its traceback for whoever asks."""

from __future__ import annotations

import os
import sys
import traceback

from medfeat.errors import MedfeatError, is_lack_of_memory
from medfeat_cache import StoreError

_DEBUG = "MEDFEAT_DEBUG"
_FORESEEN = (MedfeatError, StoreError, OSError)


def in_one_line(error: Exception) -> str:
    """Spell an error for a report: its own words where it was foreseen, else what it is and how to see more."""
    words = " ".join(str(error).split())
    if isinstance(error, _FORESEEN):
        return words
    if is_lack_of_memory(error):
        return lack_of_memory(error)
    said = f"{type(error).__name__}: {words}" if words else type(error).__name__
    return f"unforeseen {said[:300]} (an error of medfeat: set {_DEBUG}=1 for the traceback, and report it)"


def lack_of_memory(error: BaseException) -> str:
    """Spell an error of a machine that has no memory left, which no library says for people."""
    words = " ".join(str(error).split())[:200]
    return f"memory ran out{f' ({words})' if words else ''}: end other programs, or do it on a machine with more memory"


def debugging() -> bool:
    """Tell whether tracebacks were asked for, by the environment variable ``MEDFEAT_DEBUG``."""
    return os.environ.get(_DEBUG, "") not in ("", "0")


def show_traceback(error: Exception) -> None:
    """Print the traceback of an error on stderr, where tracebacks were asked for."""
    if debugging():
        traceback.print_exception(error, file=sys.stderr)
