"""`medfeat runs`: looking after the runs of the cache."""

from __future__ import annotations

from typing import Annotated

import typer

from medfeat_cli import options, output

app = typer.Typer(help="Look after the runs that probe and finetune left in the cache.", no_args_is_help=True)

Runs = Annotated[list[str] | None, typer.Argument(help="Folders, or first digits of keys; none means all of them.")]


@app.command("verify")
def verify(runs: Runs = None, cache_dir: options.CacheDir = None, json: options.Json = False) -> None:
    """Compare every file of runs with the digests written last; exit with 1 if any was changed.

    Example: medfeat runs verify
    """
    from medfeat.workflows.stores.vouched_runs import verify_runs

    checked = verify_runs(runs or None, cache_dir=cache_dir)
    if json:
        output.as_json({"runs": [one.to_dict() for one in checked]})
    else:
        output.lines(f"{one.state if one.state == 'ok' else one.state.upper()}  {one.folder}" for one in checked)
    for one in checked:
        for problem in one.problems:
            output.note(f"  {one.folder.name}: {problem}")
    raise typer.Exit(int(any(one.state == "damaged" for one in checked)))
