"""`medfeat report`: the runs of the cache in one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medfeat.counted import counted
from medfeat_cli import options, output
from medfeat_cli.given import refuse_without
from medfeat_cli.progress import for_terminal


def report(
    context: typer.Context,
    data: options.Data = None,
    backbone: options.BackboneName = None,
    head: Annotated[str | None, typer.Option("--head", help="Only runs of these heads (comma list).")] = None,
    size: options.Size = None,
    class_weight: options.ClassWeightOfRuns = None,
    out: Annotated[Path, typer.Option("--out", help="The page.")] = Path("report.html"),
    tables: Annotated[
        Path | None, typer.Option("--tables", help="Folder for tables (Markdown, CSV, LaTeX), methods and BibTeX.")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", help="Another cache, or a runs.json that --tables wrote."),
    ] = None,
    no_images: Annotated[bool, typer.Option("--no-images", help="Leave every picture out.")] = False,
    identifiers: Annotated[
        bool, typer.Option("--identifiers", help="Show patients and DICOM identifiers as they are.")
    ] = False,
    saliency: Annotated[
        bool, typer.Option("--saliency", help="Draw where the network looked in the shown mistakes; loads its weights.")
    ] = False,
    seed: options.Seed = 0,
    data_root: options.DataRoot = None,
    offline: options.Offline = False,
    cache_dir: options.CacheDir = None,
    json: options.Json = False,
) -> None:
    """Show every run in one HTML file: scores, groups, curves, mistakes, published results, where numbers come from.

    Example: medfeat report --data breastmnist
    """
    from medfeat.workflows.report import write_report as run

    refuse_without(context, "saliency", needs="the pictures that --no-images leaves out", there=not no_images)
    made = run(
        data,
        out=out,
        backbone=backbone,
        head=head,
        size=size,
        class_weight=class_weight,
        tables=tables,
        against=against,
        images=not no_images,
        identifiers=identifiers,
        saliency=saliency,
        data_root=data_root,
        offline=offline,
        seed=seed,
        cache_dir=cache_dir,
        progress=for_terminal(),
    )
    for line in made.notes:
        output.note(line)
    if json:
        output.as_json(made.to_dict())
        return
    output.lines([f"wrote {made.out}: {counted(made.runs, 'run')}"])
    if made.tables:
        output.lines([f"wrote {counted(len(made.tables), 'file')} to {made.tables[0].parent}"])
