"""How the command line speaks: results on stdout, everything said along the way on stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer


def error(message: str) -> None:
    """Print one line about what went wrong, on stderr."""
    typer.secho(f"medfeat: {message}", err=True, fg="red" if sys.stderr.isatty() else None)


def note(message: str) -> None:
    """Print one line that is not a result, on stderr."""
    typer.echo(message, err=True)


def as_json(value: Any) -> None:
    """Print a result as JSON; NaN and infinities become null, which every reader of JSON knows."""
    typer.echo(json.dumps(_finite(value), indent=2, ensure_ascii=False))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print a table: drawn when a person looks at it, tab-separated when the output goes elsewhere."""
    if not sys.stdout.isatty():
        for row in [columns, *rows]:
            typer.echo("\t".join(row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    drawn = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left")
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*row)
    Console().print(drawn)


def text(content: str, out: Path | None = None) -> None:
    """Print a finished text, or write it to a file and say where it is."""
    if out is None:
        typer.echo(content)
        return
    out.write_text(content if content.endswith("\n") else f"{content}\n", encoding="utf-8")
    note(f"wrote {out}")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
