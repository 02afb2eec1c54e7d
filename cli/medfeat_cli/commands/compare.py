"""`medfeat compare`: our runs beside the published results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medfeat_cli import options, output


def compare(
    data: options.Data = None,
    course: Annotated[bool, typer.Option("--course", help="The course project's table: 11 networks x 2 sets.")] = False,
    fmt: Annotated[str, typer.Option("--format", help="table, markdown, csv or json.")] = "table",
    out: Annotated[Path | None, typer.Option("--out", help="Write it to a file instead of the screen.")] = None,
    cache_dir: options.CacheDir = None,
    json: options.Json = False,
) -> None:
    """Show every run beside the published results of its dataset, with their protocols.

    Example: medfeat compare --data breastmnist
    """
    from medfeat.report import tables
    from medfeat.workflows.compare import compare as run

    report = run(data, course=course, cache_dir=cache_dir)
    if json:
        output.as_json(report.to_dict())
    elif fmt == "table" and out is None:
        for part in tables.compare_tables(report):
            output.table(*part)
    else:
        output.text(tables.render_compare(report, fmt), out)
    for line in [] if json else report.notes:
        output.note(line)
