"""How the command line speaks: results on stdout, everything said along the way on stderr."""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from medfeat.report.tables import Table

_ANY_WIDTH = 10_000  # letters: wider than any table


def speak_safely() -> None:
    """Let no letter that the terminal's encoding lacks end a command: it is spelled as an escape instead."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def error(message: str) -> None:
    """Print one line about what went wrong, on stderr."""
    typer.secho(f"medfeat: {harmless(message)}", err=True, fg="red" if sys.stderr.isatty() else None)


def errors(messages: Iterable[str]) -> None:
    """Print several lines about what went wrong."""
    for message in messages:
        error(message)


def line(message: str) -> None:
    """Print one line of a result."""
    typer.echo(harmless(message))


def lines(messages: Iterable[str]) -> None:
    """Print lines of a result."""
    for message in messages:
        typer.echo(harmless(message))


def note(message: str) -> None:
    """Print one line that is not a result, on stderr."""
    typer.echo(harmless(message), err=True)


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
    for part in render.terminal(shown, None if wide else console.width):
        console.print(part, soft_wrap=isinstance(part, Text))


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
