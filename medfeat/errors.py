"""Everything medfeat can say no to.

Each message is one line: what was found, where, what is allowed, what to do next. Each error is also the
builtin a caller would catch anyway.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MedfeatError(Exception):
    """Base of every error a user can cause or cure; the command line prints it as one line, without a traceback."""

    exit_code = 1


class UsageError(MedfeatError, ValueError):
    """A request that cannot be meant: an unknown name, options that exclude each other."""

    exit_code = 2


class NotByImageError(UsageError):
    """A layer that says nothing of an image by itself: windows, tokens first, images mixed, weights of attention."""


class DataError(MedfeatError, ValueError):
    """Data that was found, and is not what it must be: a damaged file, a label outside the classes."""


class UnsuitedHeadError(DataError):
    """A head that cannot learn this type of task; when all heads were asked for, it is left out."""


class NoTextsError(UnsuitedHeadError):
    """A head that compares images with texts was asked for a store of a network that reads none."""


class OneVectorError(UnsuitedHeadError):
    """A head that weighs several vectors of a sample, and a store that has one."""


class MissingFileError(MedfeatError, FileNotFoundError):
    """A file that is needed and is not there; the message names it, where it comes from and where to put it."""


class WeightsError(MedfeatError, ValueError):
    """Weights that do not fit the architecture, or may not be loaded."""


class MissingExtraError(MedfeatError, ImportError):
    """An optional package is needed for this; the message names the extra that installs it."""

    @classmethod
    def of(cls, who: str, package: str, extra: str, error: ImportError) -> MissingExtraError:
        """Say who needs a package that is not installed: ``DICOM files need``."""
        return cls(f"{who} the package {package} ({error}): pip install 'medfeat[{extra}]'")


class PluginError(MedfeatError, ImportError):
    """An installed package brings a head, backbone or dataset that cannot be used; the message names the package."""


class OutOfMemoryError(MedfeatError, MemoryError):
    """Not even one image fits into the memory of the device."""


# What libraries say when the system gives them no memory, in errors of other kinds.
_NO_MEMORY = (
    "out of memory", "not enough memory", "allocate memory", "failed to map segment", "start new thread",
    "memory allocation failed", "resource temporarily unavailable",
)  # fmt: skip


def is_lack_of_memory(error: BaseException) -> bool:
    """Tell whether the machine had no memory left for what was asked, whichever library says so."""
    text = str(error).lower()
    said = isinstance(error, (RuntimeError, ImportError, OSError)) and any(words in text for words in _NO_MEMORY)
    return said or isinstance(error, MemoryError)


class DivergedError(MedfeatError, ArithmeticError):
    """The loss is no number any more; the message names epoch, rate and what is kept."""


class NotFrozenError(MedfeatError, RuntimeError):
    """A backbone's parameters or buffers changed while it embedded."""


class ProcessesLostError(MedfeatError, RuntimeError):
    """All processes of an extraction on several devices ended before it was done."""


def unknown_name(kind: str, name: str, allowed: Iterable[str], hint: str = "") -> UsageError:
    """Build the error for a name that is not registered, with close matches named.

    Parameters
    ----------
    kind
        What was being named, for example ``"backbone"``.
    name
        What was typed.
    allowed
        Every name that would have been accepted.
    hint
        What to do next, appended to the message.

    Returns
    -------
    UsageError
        Ready to raise.
    """
    known = sorted(allowed)
    close = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    if close:
        choice = f"did you mean {' or '.join(close)}?"
    else:
        choice = f"{kind} must be one of {', '.join(known)}" if len(known) <= 12 else f"{len(known)} names are known"
    return UsageError(f"unknown {kind} {name!r}: {choice}{' ' + hint if hint else ''}")


def first_line(error: BaseException) -> str:
    """Return what an error says first, for a message of one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].strip()[:160]
