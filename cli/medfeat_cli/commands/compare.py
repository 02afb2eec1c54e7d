"""`medfeat compare`: our runs beside the published results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medfeat_cli import options, output
from medfeat_cli.given import refuse_without

Course = Annotated[bool, typer.Option("--course", help="The course project's table: 11 networks on two sets.")]
Paired = Annotated[bool, typer.Option("--paired", help="Also compare our runs pairwise: paired test, Holm.")]
Form = Annotated[str, typer.Option("--format", help="table, markdown, csv, latex or json.")]
Out = Annotated[Path | None, typer.Option("--out", help="Write to a file instead of the screen.")]
Figure = Annotated[
    Path | None, typer.Option("--figure", help="Draw the scores here (.png, .svg or .pdf); own images: ROC too.")
]
Head = Annotated[str | None, typer.Option("--head", help="Only runs of these heads (comma list).")]
Task = Annotated[str | None, typer.Option("--task", help="Only runs of these tasks (comma list), by their names.")]


def compare(
    context: typer.Context,
    data: options.Data = None,
    backbone: options.BackboneName = None,
    head: Head = None,
    size: options.Size = None,
    class_weight: options.ClassWeightOfRuns = None,
    task: Task = None,
    course: Course = False,
    paired: Paired = False,
    figure: Figure = None,
    fmt: Form = "table",
    out: Out = None,
    cache_dir: options.CacheDir = None,
    wide: options.Wide = False,
    json: options.Json = False,
) -> None:
    """Show every run beside the published results of its dataset, or beside the other runs on your own images.

    Example: medfeat compare --data breastmnist
    """
    from medfeat.workflows.compare import compare as run

    refuse_without(context, "fmt", needs="text, which --json replaces", there=not json)
    report = run(
        data,
        course=course,
        backbone=backbone,
        head=head,
        size=size,
        class_weight=class_weight,
        task=task,
        paired=paired,
        cache_dir=cache_dir,
    )
    if figure is not None:
        output.note(f"wrote {report.draw(figure)}")
    fmt = "json" if json else fmt
    if fmt == "table" and out is None:
        output.tables(report.tables(), wide=wide)
    elif fmt == "json":
        output.text(output.json_text(report.to_dict()), out)
    else:
        output.text(report.render(fmt), out)
    output.errors(report.notes)
