"""`medfeat probe`: train heads on cached embeddings."""

from __future__ import annotations

from typing import Annotated

import typer

from medfeat_cli import options, output
from medfeat_cli.progress import for_terminal


def _heads(incomplete: str) -> list[str]:
    from medfeat.heads import HEADS

    return [name for name in HEADS if name.startswith(incomplete)]


def probe(
    data: options.Data = None,
    backbone: options.BackboneName = None,
    size: options.Size = None,
    head: Annotated[
        str, typer.Option("--head", help="Heads (comma list) or `all`.", autocompletion=_heads)
    ] = "linear",
    seed: options.Seed = 0,
    refit: Annotated[bool, typer.Option("--refit", help="Refit on train + val once val has chosen.")] = False,
    select: Annotated[
        bool, typer.Option("--select", help="Choose layer, pooling, size and backbone among the stores on val.")
    ] = False,
    resamples: Annotated[int, typer.Option("--resamples", help="Bootstrap resamples of each interval.")] = 2000,
    cache_dir: options.CacheDir = None,
    json: options.Json = False,
) -> None:
    """Train a head on every store in the cache and print one table; val chooses, test is read once.

    Example: medfeat probe
    """
    from medfeat.workflows.probe import probe as run

    report = run(
        data,
        backbone,
        head=head,
        size=size,
        seed=seed,
        refit=refit,
        select=select,
        resamples=resamples,
        cache_dir=cache_dir,
        progress=for_terminal(),
    )
    if json:
        output.as_json(report.to_dict())
    else:
        output.tables(report.tables())
        for line in report.notes:
            output.note(line)
    output.errors([failure.line() for failure in report.failed])
    raise typer.Exit(int(bool(report.failed)))
