"""A table as words, and its four renderings: terminal, Markdown, CSV and tab-separated text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medfeat.report.harmless import harmless
from medfeat.report.spreadsheet import csv_lines
from medfeat.types import Interval

if TYPE_CHECKING:
    from rich.console import RenderableType

CAUTION = "CAUTION:"
"""How a note begins that must not be overlooked."""
_NUMERIC = frozenset("0123456789+-.,[] %±*()/≠•†–")


@dataclass(frozen=True)
class Table:
    """Columns and rows of words, ready to be shown.

    Attributes
    ----------
    title
        One line above.
    columns
        Names of the columns.
    rows
        One tuple of words a row, as long as `columns`.
    notes
        Lines below, each worth reading.
    strong
        Positions of rows to set in bold: our own among published ones.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    strong: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        # Ids, classes and names are other people's: whatever renders a table, they are words and no commands.
        object.__setattr__(self, "title", harmless(self.title))
        object.__setattr__(self, "columns", tuple(map(harmless, self.columns)))
        object.__setattr__(self, "rows", tuple(tuple(map(harmless, row)) for row in self.rows))
        object.__setattr__(self, "notes", tuple(map(harmless, self.notes)))


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with fixed digits; a dash when there is none.

    Examples
    --------
    >>> number(0.89912), number(None)
    ('0.899', '–')
    """
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def with_interval(interval: Interval, digits: int = 3) -> str:
    """Return ``0.899 [0.842, 0.947]``; the value alone when there is no interval."""
    if not math.isfinite(interval.low):
        return number(interval.value, digits)
    return f"{number(interval.value, digits)} [{number(interval.low, digits)}, {number(interval.high, digits)}]"


def markdown(tables: Iterable[Table]) -> str:
    """Return GitHub Markdown, notes as a list below each table."""
    return "\n\n".join(_markdown(table) for table in tables) + "\n"


def _markdown(table: Table) -> str:
    numeric = numeric_columns(table)
    lines = [f"### {table.title}", ""] if table.title else []
    lines.append(_markdown_row(table.columns))
    lines.append(_markdown_row(["---:" if right else "---" for right in numeric]))
    lines += [
        _markdown_row([f"**{word}**" if word and i in table.strong else word for word in row])
        for i, row in enumerate(table.rows)
    ]
    if table.notes:
        lines += ["", *(f"- {note}" for note in table.notes)]
    return "\n".join(lines)


def _markdown_row(words: Sequence[str]) -> str:
    return "| " + " | ".join(word.replace("|", "\\|") for word in words) + " |"


_LATEX = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}",
          "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "<": r"\textless{}", ">": r"\textgreater{}",
          "–": "--", "≠": r"$\neq$", "•": r"\textbullet{}", "†": r"\dag{}", "±": r"$\pm$"}  # fmt: skip


def latex(tables: Iterable[Table]) -> str:
    """Return LaTeX tables for the package booktabs, notes below each."""
    return "\n".join(_latex(table) for table in tables)


def _latex(table: Table) -> str:
    form = "".join("r" if right else "l" for right in numeric_columns(table))
    rows = [_latex_row(row, bold=i in table.strong) for i, row in enumerate(table.rows)]
    body = [rf"\begin{{tabular}}{{{form}}}", r"\toprule", _latex_row(table.columns), r"\midrule", *rows, r"\bottomrule"]
    notes = [rf"\par\small {_latex_text(note)}" for note in table.notes]
    title = [rf"\caption{{{_latex_text(table.title)}}}"] if table.title else []
    parts = [r"\begin{table}", *title, *body, r"\end{tabular}", *notes, r"\end{table}"]
    return "\n".join(parts if table.title or notes else [*body, r"\end{tabular}"]) + "\n"


def _latex_row(words: Sequence[str], *, bold: bool = False) -> str:
    cells = [_latex_text(word) for word in words]
    return " & ".join(rf"\textbf{{{cell}}}" if bold and cell else cell for cell in cells) + r" \\"


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def csv_text(tables: Iterable[Table]) -> str:
    """Return CSV: one header, the rows of all tables; tables with other columns follow after an empty line."""
    rows: list[tuple[str, ...]] = []
    columns: tuple[str, ...] = ()
    for table in tables:
        if table.columns != columns:
            rows += [(), table.columns] if columns else [table.columns]
            columns = table.columns
        rows += table.rows
    return "".join(csv_lines(rows))


def plain(tables: Iterable[Table]) -> str:
    """Return tab-separated text with titles and notes, for output that is not a terminal."""
    parts = []
    for table in tables:
        lines = [table.title] if table.title else []
        lines += ["\t".join(row) for row in (table.columns, *table.rows)]
        parts.append("\n".join([*lines, *table.notes]))
    return "\n\n".join(parts) + "\n"


def terminal(tables: Iterable[Table]) -> RenderableType:
    """Return what `rich.console.Console.print` draws."""
    from rich import box
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table as Drawn
    from rich.text import Text

    parts: list[RenderableType] = []
    for table in tables:
        drawn = Drawn(title=Text(table.title, style="bold"), box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
        for name, right in zip(table.columns, numeric_columns(table), strict=True):
            drawn.add_column(Text(name), justify="right" if right else "left", overflow="fold")
        for i, row in enumerate(table.rows):
            drawn.add_row(*map(Text, row), style="bold" if i in table.strong else None)
        parts.append(drawn)
        parts += [Padding(Text(note, style=_style(note)), (0, 0, 0, 1)) for note in table.notes]
        parts.append(Text(""))
    return Group(*parts)


def _style(note: str) -> str:
    return "bold red" if note.startswith(CAUTION) else "dim"


def numeric_columns(table: Table) -> list[bool]:
    """Which columns hold numbers alone, and are set to the right."""
    return [bool(table.rows) and all(set(row[i]) <= _NUMERIC for row in table.rows) for i in range(len(table.columns))]
