"""How the command line speaks: results on stdout, everything said along the way on stderr."""

from __future__ import annotations

import codecs
import io
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer

if TYPE_CHECKING:
    from medfeat.report.tables import Table

_ANY_WIDTH = 10_000  # letters: wider than any table
_SPELLED = "medfeat.spelled"  # how Python finds what to do about a letter that an encoding lacks
_ASCII = {"–": "-", "—": "-", "…": "...", "±": "+-", "×": "x", "≠": "!=", "≈": "~", "≤": "<=", "≥": ">=",
          "•": "*", "†": "+", "‘": "'", "’": "'", "“": '"', "”": '"', "µ": "u", "─": "-", "━": "-"}  # fmt: skip


def speak_safely() -> None:
    """Let no letter that a stream cannot write end a command: it is spelled in others; in the C locale, in ASCII."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            if stream.isatty() and _is_c_locale():
                stream.reconfigure(encoding="ascii", errors=_SPELLED)
            else:
                stream.reconfigure(errors=_SPELLED)


def _is_c_locale() -> bool:
    """Whether a terminal is promised ASCII alone; a LC_CTYPE of UTF-8 beside it is what Python made of that promise."""
    return (os.environ.get("LC_ALL") or os.environ.get("LANG")) in ("C", "POSIX")


def _in_other_letters(problem: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(problem, UnicodeEncodeError):
        raise problem
    lacking = problem.object[problem.start : problem.end]
    spelled = (_ASCII.get(letter) or letter.encode("ascii", "backslashreplace").decode() for letter in lacking)
    return "".join(spelled), problem.end


codecs.register_error(_SPELLED, _in_other_letters)


def error(message: str) -> None:
    """Print one line about what went wrong, on stderr."""
    said = _for_people(f"medfeat: {harmless(message)}", sys.stderr)
    coloured = sys.stderr is not None and sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    typer.echo(typer.style(said, fg="red") if coloured else said, err=True)


def errors(messages: Iterable[str]) -> None:
    """Print several lines about what went wrong."""
    for message in messages:
        error(message)


def line(message: str) -> None:
    """Print one line of a result."""
    typer.echo(_for_people(harmless(message), sys.stdout))


def lines(messages: Iterable[str]) -> None:
    """Print lines of a result."""
    for message in messages:
        line(message)


def note(message: str) -> None:
    """Print one line that is not a result, on stderr."""
    typer.echo(_for_people(harmless(message), sys.stderr), err=True)


def notes(messages: Iterable[str]) -> None:
    """Print lines that are no result."""
    for message in messages:
        note(message)


def _for_people(message: str, stream: TextIO | None) -> str:
    """Return a line as a terminal shows it, broken between words; files and pipes have it in one."""
    if stream is None or not stream.isatty():  # None where it was closed
        return message
    from rich.console import Console

    from medfeat.report.folded import folded

    return folded(message, Console(file=stream).width)


def as_json(value: Mapping[str, Any]) -> None:
    """Print a result as JSON."""
    plain = (sys.stdout.encoding or "ascii").lower().replace("-", "") != "utf8"
    typer.echo(json_text(value, plain=plain))


def json_text(value: Mapping[str, Any], *, plain: bool = False) -> str:
    """Return a result as JSON, by which medfeat it was made; NaN and infinities become null, which every reader knows.

    Parameters
    ----------
    value
        The result; its keys stay where they are.
    plain
        Spell what is no ASCII as escapes.
    """
    from medfeat import __version__
    from medfeat.report.harmless import harmless_json

    made = {"version": __version__, **value}
    return harmless_json(json.dumps(_finite(made), indent=2, ensure_ascii=plain))


def json_error(message: str, code: int) -> None:
    """Print an error in the place of the JSON that was asked for: one envelope for all of them."""
    as_json({"error": {"code": code, "message": message}})


def tables(shown: Sequence[Table], *, wide: bool = False) -> None:
    """Print tables: drawn when a person looks at them, all of their columns where wide; tab-separated elsewhere."""
    from medfeat.report import tables as render

    if sys.stdout is None or not sys.stdout.isatty():  # None where it was closed
        typer.echo(render.plain(shown), nl=False)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(width=_ANY_WIDTH if wide else None)
    encoding = sys.stdout.encoding or "ascii"
    spelled, ascii_only = [_spelled(table, encoding) for table in shown], not encoding.lower().startswith("utf")
    for part in render.terminal(spelled, None if wide else console.width, ascii_only=ascii_only):
        console.print(part, soft_wrap=isinstance(part, Text))


def _spelled(table: Table, encoding: str) -> Table:
    """Return a table in the letters of an encoding, before it is known how long they are."""

    def words(texts: Iterable[str]) -> tuple[str, ...]:
        return tuple(text.encode(encoding, _SPELLED).decode(encoding) for text in texts)

    rows = tuple(words(row) for row in table.rows)
    (title,) = words([table.title])
    return replace(
        table, title=title, columns=words(table.columns), rows=rows, notes=words(table.notes), less=words(table.less),
        prose=words(table.prose), either=words(table.either), bare=words(table.bare),
    )  # fmt: skip


def text(content: str, out: Path | None = None) -> None:
    """Print a finished text, or write it to a file and say where it is."""
    if out is None:
        typer.echo(content)
        return
    from medfeat_cache import write_whole

    ended = content if content.endswith("\n") else f"{content}\n"
    write_whole(out, [ended.encode("utf-8")], "writing", "choose another --out")
    note(f"wrote {out}")


def harmless(message: str) -> str:
    """Return a line with what a terminal would obey spelled out."""
    from medfeat.report import harmless as spelling

    return spelling.harmless(message)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
