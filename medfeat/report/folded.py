"""Sentences over several lines of a terminal: broken between words, and not inside a command or an interval."""

from __future__ import annotations

import re
from collections.abc import Iterator

# What stays on one line: a command in its backticks, a number with its interval, a word.
_UNITS = re.compile(r"[^\s`]*`[^`]*`[^\s`]*|[+-]?\d[\d.,]* \[[^\][]*\]\S*|\S+")

_OWN_LINE = "    "


def folded(text: str, width: int) -> str:
    """Return a line of words as lines of at most `width` letters; a longer unit has a line of its own, unbroken.

    Examples
    --------
    >>> print(folded("unknown head 'lineal' (`medfeat list heads` shows all)", 30))
    unknown head 'lineal'
    (`medfeat list heads` shows
    all)
    """
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return text
    return "\n".join(_lines(text, width))


def _lines(text: str, width: int) -> Iterator[str]:
    from rich.cells import cell_len

    lead = text[: len(text) - len(text.lstrip())]
    line, end = lead, len(lead)
    for unit in _UNITS.finditer(text, end):
        apart = text[end : unit.start()]  # columns in a line stand two blanks apart, and still do
        if line != lead and cell_len(line + apart + unit[0]) > width:
            yield line
            line, apart = lead, ""
        line, end = line + apart + unit[0], unit.end()
    yield line


def beside(left: str, text: str, width: int) -> str:
    """Return a name and what is said of it, folded under itself where the line has room for that.

    What would be broken there, such as a digest, begins on a line of its own.
    """
    from rich.cells import cell_len

    start, longest = cell_len(left), max((cell_len(unit[0]) for unit in _UNITS.finditer(text)), default=0)
    if width - start < longest <= width - len(_OWN_LINE):
        return left.rstrip() + f"\n{_OWN_LINE}" + folded(text, width - len(_OWN_LINE)).replace("\n", f"\n{_OWN_LINE}")
    return left + folded(text, width - start).replace("\n", "\n" + " " * start) if width > start else left + text
