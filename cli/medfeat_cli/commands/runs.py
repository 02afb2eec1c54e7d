"""`medfeat runs`: looking after the runs of the cache."""

from __future__ import annotations

from typing import Annotated

import typer

from medfeat.counted import counted
from medfeat_cli import options, output
from medfeat_cli.given import refuse_without
from medfeat_cli.helping import HelpfulGroup

app = typer.Typer(
    cls=HelpfulGroup, help="List, show, verify and delete the runs that probe and finetune left.", no_args_is_help=True
)

Runs = Annotated[list[str] | None, typer.Argument(help="Folders, or first digits of keys; none means all of them.")]
Head = Annotated[str | None, typer.Option("--head", help="Only runs of these heads (comma list).")]


@app.command("list")
def list_(
    data: options.Data = None,
    backbone: options.BackboneName = None,
    head: Head = None,
    size: options.Size = None,
    class_weight: options.ClassWeightOfRuns = None,
    cache_dir: options.CacheDir = None,
    wide: options.Wide = False,
    json: options.Json = False,
) -> None:
    """List runs with their keys, best on val first within a dataset.

    Example: medfeat runs list --data bloodmnist
    """
    from medfeat.workflows.runs import list_of_runs

    found = list_of_runs(data, backbone=backbone, head=head, size=size, class_weight=class_weight, cache_dir=cache_dir)
    if json:
        output.as_json(found.to_dict())
    else:
        output.tables(found.tables(), wide=wide)
    output.errors(found.problems)


@app.command("show")
def show(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help=options.RUN_HELP)],
    data: Annotated[str | None, typer.Option("--data", "-d", help="With `best`: of which dataset.")] = None,
    card: Annotated[bool, typer.Option("--card", help="The card of the run alone, as Markdown.")] = False,
    cache_dir: options.CacheDir = None,
    wide: options.Wide = False,
    json: options.Json = False,
) -> None:
    """Show a run: scores, classes, confusion and card.

    Example: medfeat runs show best --data bloodmnist
    """
    from medfeat.workflows.runs import show_run

    refuse_without(context, "data", needs="best", there=run == "best")
    refuse_without(context, "card", needs="text, which --json replaces", there=not json)
    found = show_run(run, data=data, cache_dir=cache_dir)
    if json:
        output.as_json(found.to_dict())
        return
    output.notes([found.found] if found.found else [])
    if not card:
        output.tables(found.tables(), wide=wide)
    output.lines(found.card.splitlines())


@app.command("delete")
def delete(
    runs: Annotated[list[str], typer.Argument(help="Folders, or first digits of keys.")],
    yes: options.Yes = False,
    cache_dir: options.CacheDir = None,
) -> None:
    """Remove runs; stores and tasks stay.

    Example: medfeat runs delete 1c98691d
    """
    from medfeat.workflows.runs import delete_runs, folders_of

    folders = folders_of(runs, cache_dir=cache_dir)
    output.lines(str(folder) for folder in folders)
    if not yes:
        typer.confirm(f"remove {counted(len(folders), 'run')}?", abort=True)
    output.line(f"removed {len(delete_runs(folders, cache_dir=cache_dir))}")


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
