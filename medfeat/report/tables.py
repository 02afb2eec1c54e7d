"""A table as words, and its four renderings: terminal, Markdown, CSV and tab-separated text."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from medfeat.report.folded import beside, folded
from medfeat.report.harmless import harmless
from medfeat.report.spreadsheet import csv_lines
from medfeat.types import Interval

if TYPE_CHECKING:
    from rich.console import RenderableType

CAUTION = "CAUTION:"
"""How a note begins that must not be overlooked."""
_GAP, _EDGES = 3, 2  # letters that are drawn between two columns, and at both ends of a line
_PROSE = 11  # letters that a column of prose has at least
_WORD = 36  # of prose: longer ones are paths and addresses, and are broken where they have to be
_DASHES = ("–", "-")  # what `number` gives where there is none, in every encoding
_WITH_INTERVAL = re.compile(r"[+-]?\d*\.\d+ \[-?\d*\.\d+, -?\d*\.\d+\]")
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
    less
        Columns that a narrow terminal can do without, the first one first. One that tells two rows apart stays.
    prose
        Columns whose cells may be broken between words; no other cell is ever broken.
    either
        Columns of which each row that has a value in one of them keeps a value: the score that a paper gives stays, and
        the intervals of others in its column go. Where nothing else makes the table fit, their intervals go.
    bare
        Columns whose intervals a narrow terminal can do without, the first one first, before any column goes.
    turns
        Whether rows and columns are of one rank, so that it may be turned where that makes it fit.
    bold
        Cells, as (row, column), that LaTeX sets in bold: the best of a column.
    ruled
        Rows above which LaTeX draws a line.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    strong: frozenset[int] = frozenset()
    less: tuple[str, ...] = ()
    prose: tuple[str, ...] = ()
    either: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()
    turns: bool = False
    bold: frozenset[tuple[int, int]] = frozenset()
    ruled: frozenset[int] = frozenset()

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
    every = range(len(table.columns))
    rows = []
    for i, row in enumerate(table.rows):
        rows += [r"\midrule"] if i in table.ruled else []
        rows.append(_latex_row(row, bold={k for k in every if i in table.strong or (i, k) in table.bold}))
    body = [rf"\begin{{tabular}}{{{form}}}", r"\toprule", _latex_row(table.columns), r"\midrule", *rows, r"\bottomrule"]
    notes = [rf"\par\footnotesize {_latex_text(note)}" for note in table.notes]
    title = [rf"\caption{{{_latex_text(table.title)}}}"] if table.title else []
    parts = [r"\begin{table}[tb]", r"\centering", r"\small", *title, *body, r"\end{tabular}", *notes, r"\end{table}"]
    return "\n".join(parts if table.title or notes else [*body, r"\end{tabular}"]) + "\n"


def _latex_row(words: Sequence[str], *, bold: Collection[int] = ()) -> str:
    """Return a row; the interval behind a score is set small, and never in bold."""
    cells = []
    for i, word in enumerate(words):
        score, bracket, interval = word.partition(" [") if _WITH_INTERVAL.fullmatch(word) else (word, "", "")
        cell = _latex_text(score)
        cell = rf"\textbf{{{cell}}}" if i in bold and cell else cell
        cells.append(rf"{cell} {{\scriptsize [{_latex_text(interval)}}}" if bracket else cell)
    return " & ".join(cells) + r" \\"


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


def terminal(tables: Iterable[Table], width: int | None, *, ascii_only: bool = False) -> list[RenderableType]:
    """Return what `rich.console.Console.print` draws, one after the other; a `Text` is not to be broken into lines.

    Parameters
    ----------
    tables
        To be shown.
    width
        Letters in a line: columns are left out by rank until no cell has to be broken, and it is said which; where even
        that does not fit, each row becomes lines of ``column: cell``. None draws every column, however wide.
    ascii_only
        Draw with ASCII alone.
    """
    from rich.text import Text

    parts: list[RenderableType] = []
    for table in tables:
        shown, gone = fitted(_turned(table, width), width)
        if width is None or _least(shown) <= width:
            # Above the table and not in it, where it would be broken to the width of the columns.
            parts += [_said(shown.title, width, "bold")] if shown.title else []
            parts.append(_drawn(shown, width, ascii_only=ascii_only))
        else:
            parts.append(_as_lines(shown, width))
        said = [f"not shown for want of width: {', '.join(gone)}; --wide shows all"] if gone else []
        parts += [_said(f" {note}", width, _style(note)) for note in (*table.notes, *said)]
        parts.append(Text(""))
    return parts


def _said(line: str, width: int | None, style: str) -> RenderableType:
    """Return a line that is broken between words: a command in it can still be pasted."""
    from rich.text import Text

    return Text(line if width is None else folded(line, width), style=style)


def fitted(table: Table, width: int | None) -> tuple[Table, tuple[str, ...]]:
    """Return a table with the columns for which there is room, and the names of the others; empty columns go silently.

    Parameters
    ----------
    table
        Whose `less` is obeyed, after the columns that hold dashes alone.
    width
        Letters in a line; None for as many as it takes.
    """
    empty = {name for name in table.less if not any(_cells(table, name))}
    dashes = [name for name in (*table.either, *table.less) if name not in empty and not _told(_cells(table, name))]
    gone: list[str] = []
    brief: list[str] = []

    def fits(without: Collection[str], bare: Collection[str]) -> bool:
        return width is None or _least(_without(_bare(table, bare), {*empty, *without})) <= width

    for name in table.bare:
        brief += [] if fits(gone, brief) else [name]
    for name in dict.fromkeys((*dashes, *table.less)):
        if fits(gone, brief):
            break
        narrower = _without(table, {*empty, *gone, name})
        if name in empty or len(set(narrower.rows)) < len(set(table.rows)):
            continue
        (brief if _silenced(table, narrower) else gone).append(name)
    if not fits(gone, brief):  # rather no score of some rows than no table
        gone += [name for name in brief if name in table.either]
    bare = [*brief, *(name for name in table.either if name not in (*gone, *brief))]
    if not fits(gone, brief) and fits(gone, bare):  # and rather no intervals
        brief = bare
    for name in reversed(gone):  # what had to go last may have made room for what went before
        if fits({*gone} - {name}, brief):
            gone.remove(name)
    for name in reversed(brief):
        if fits(gone, {*brief} - {name}):
            brief = [one for one in brief if one != name]
    said = [name for name in brief if name not in gone]
    words = (f"intervals of {', '.join(said)}",) if said else ()
    return _without(_bare(table, brief), {*empty, *gone}), (*gone, *words)


def _bare(table: Table, names: Collection[str]) -> Table:
    """Return a table with the numbers of some columns alone, without their intervals."""
    bare = [name in names for name in table.columns]
    rows = (
        tuple(cell.partition(" [")[0] if cut else cell for cut, cell in zip(bare, row, strict=True))
        for row in table.rows
    )
    return replace(table, rows=tuple(rows)) if names else table


def _cells(table: Table, name: str) -> list[str]:
    return [row[table.columns.index(name)] for row in table.rows]


def _told(cells: Iterable[str]) -> bool:
    """Whether any cell holds more than a dash."""
    return any(cell not in ("", *_DASHES) for cell in cells)


def _silenced(table: Table, narrower: Table) -> bool:
    """Whether a row loses all it has in the columns of which one must speak."""
    before, after = (
        [_told(row[one.columns.index(name)] for name in one.either if name in one.columns) for row in one.rows]
        for one in (table, narrower)
    )
    return any(was and not still for was, still in zip(before, after, strict=True))


def _turned(table: Table, width: int | None) -> Table:
    """Return a table with its columns as rows where that alone makes it fit."""
    if not table.turns or width is None or _least(table) <= width:
        return table
    head, *lines = zip(table.columns, *table.rows, strict=True)
    turned = replace(table, columns=head, rows=tuple(lines), strong=frozenset())
    return turned if _least(turned) <= width else table


def _without(table: Table, names: Collection[str]) -> Table:
    kept = [i for i, name in enumerate(table.columns) if name not in names]
    return replace(
        table,
        columns=tuple(table.columns[i] for i in kept),
        rows=tuple(tuple(row[i] for i in kept) for row in table.rows),
    )


def _least(table: Table) -> int:
    """Return how many letters a line must have at least, for no cell to be broken."""
    return _line(_least_widths(table))


def _line(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * max(len(widths) - 1, 0) + _EDGES


def _least_widths(table: Table) -> list[int]:
    """Return the same for each column: names of columns and prose may be broken between words, cells may not."""
    widths = []
    for i, name in enumerate(table.columns):
        cells = [row[i] for row in table.rows]
        least = _longest(cells)
        if name in table.prose:
            words = _longest(word for cell in cells for word in cell.split())
            least = max(min(_PROSE, least), min(words, _WORD))
        widths.append(max(least, _longest(name.split())))
    return widths


def _widths(table: Table, width: int | None) -> list[int]:
    """Return the letters of each column: what it must have, and what room is left goes to prose, then to names."""
    wanted = [max(_longest(row[i] for row in table.rows), _longest([name])) for i, name in enumerate(table.columns)]
    if width is None or _line(wanted) <= width:
        return wanted
    widths = _least_widths(table)
    for prose in (True, False):
        columns = [i for i, name in enumerate(table.columns) if (name in table.prose) == prose]
        while _line(widths) < width and (growing := [i for i in columns if widths[i] < wanted[i]]):
            widths[min(growing, key=lambda i: widths[i])] += 1
    return widths


def _longest(words: Iterable[str]) -> int:
    from rich.cells import cell_len

    return max(map(cell_len, words), default=0)


def _drawn(table: Table, width: int | None, *, ascii_only: bool) -> RenderableType:
    from rich import box
    from rich.table import Table as Drawn
    from rich.text import Text

    # rich's own choice for ASCII is a frame around every cell
    blank = "    \n"
    frame = box.Box(2 * blank + " -- \n" + 5 * blank, ascii=True) if ascii_only else box.SIMPLE_HEAD
    drawn = Drawn(box=frame, pad_edge=False)
    for name, right, letters in zip(table.columns, numeric_columns(table), _widths(table, width), strict=True):
        drawn.add_column(Text(name), justify="right" if right else "left", width=letters, overflow="fold")
    for i, row in enumerate(table.rows):
        drawn.add_row(*map(Text, row), style="bold" if i in table.strong else None)
    return drawn


def _as_lines(table: Table, width: int) -> RenderableType:
    """Spell a table that is too wide: a line a cell, a paragraph a row; long cells go on below themselves."""
    from rich.text import Text

    title = [folded(table.title, width)] if table.title else []
    if len(table.columns) == 2:  # what is said of each name: a line a row
        left = _longest(row[0] for row in table.rows)
        return Text("\n".join([*title, *(beside(f"{name:<{left}}  ", cell, width) for name, cell in table.rows)]))
    left = max(map(len, table.columns), default=0)
    paragraphs = [
        "\n".join(
            beside(f"{name:>{left}}  ", cell, width) for name, cell in zip(table.columns, row, strict=True) if cell
        )
        for row in table.rows
    ]
    return Text("\n\n".join([*title, *paragraphs]))


def _style(note: str) -> str:
    return "bold red" if note.startswith(CAUTION) else "dim"


def numeric_columns(table: Table) -> list[bool]:
    """Which columns hold numbers alone, and are set to the right."""
    return [bool(table.rows) and all(set(row[i]) <= _NUMERIC for row in table.rows) for i in range(len(table.columns))]
