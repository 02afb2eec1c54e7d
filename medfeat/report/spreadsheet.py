"""CSV files that a spreadsheet may open: a cell that came from outside is never taken for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from medfeat_cache import replacing

# A spreadsheet computes what begins with one of these, and some skip white space before it.
_FORMULA = ("=", "+", "-", "@", "\t", "\n", "\\r")
_PIECE = 1 << 16


def _as_cell(value: Any) -> str:
    """Return a value as a cell: text that would be a formula gets an apostrophe in front, which spreadsheets hide.

    Numbers stay as they are, also negative ones. A carriage return, which would end the row, is spelled.

    Examples
    --------
    >>> as_cell("=1+1"), as_cell("-0.5"), as_cell("image-7.png")
    ("'=1+1", '-0.5', 'image-7.png')
    """
    text = str(value).replace("\r", "\\r")
    if not text.lstrip(" ").startswith(_FORMULA) or _is_number(text):
        return text
    return f"'{text}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and text == text.strip()


def csv_lines(rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield CSV of rows of cells in pieces, each guarded by `as_cell`."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for row in rows:
        writer.writerow([_as_cell(cell) for cell in row])
        if out.tell() >= _PIECE:
            yield out.getvalue()
            out.seek(0)
            out.truncate()
    yield out.getvalue()


def write_csv(path: Path, rows: Iterable[Sequence[Any]], doing: str, instead: str) -> None:
    """Write rows of cells as a CSV that appears whole or not at all; `doing` and `instead` are said in its error."""
    with replacing(path, doing, instead) as temporary, temporary.open("x", newline="", encoding="utf-8") as file:
        file.writelines(csv_lines(rows))
