"""`medfeat study`: a whole grid from one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from medfeat_cli import options, output
from medfeat_cli.given import refuse_without
from medfeat_cli.helping import at_least
from medfeat_cli.progress import for_terminal

Which = Annotated[
    str | None, typer.Argument(help="A TOML file whose keys are long options; or course, medmnist+ or all.")
]
Out = Annotated[Path | None, typer.Option("--out", help="Folder to send: study, figures, page; default: study-NAME.")]
Jobs = Annotated[
    int, typer.Option("--jobs", callback=at_least(1), help="Processes that share the cells; of --slurm, array tasks.")
]
Hours = Annotated[float | None, typer.Option("--max-hours", help="Stop between cells after so many hours.")]
Disk = Annotated[float | None, typer.Option("--max-disk", help="Stop before the cache takes more than so many GB.")]
Engine = Annotated[
    Literal["local", "dask"], typer.Option("--engine", help="Who makes the cells: this machine, or a Dask cluster.")
]
Scheduler = Annotated[
    str | None, typer.Option("--scheduler", metavar="ADDRESS", help="Of the cluster, or its scheduler file.")
]
Slurm = Annotated[bool, typer.Option("--slurm", help="Print a script for sbatch whose tasks share the cells.")]
Verify = Annotated[
    Path | None, typer.Option("--verify", help="Folder of a study: say which figures this cache reproduces.")
]


def study(
    context: typer.Context,
    which: Which = None,
    data_root: options.DataRoot = None,
    out: Out = None,
    jobs: Jobs = 1,
    max_hours: Hours = None,
    max_disk: Disk = None,
    engine: Engine = "local",
    scheduler: Scheduler = None,
    slurm: Slurm = False,
    verify: Verify = None,
    device: options.Device = "auto",
    cache_dir: options.CacheDir = None,
    offline: options.Offline = False,
    dry_run: options.DryRun = False,
    wide: options.Wide = False,
    json: options.Json = False,
) -> None:
    """Make every cell of a grid that is not in the cache, and write a folder to send.

    Example: medfeat study course --dry-run
    """
    if (which is None) == (verify is None):
        raise typer.BadParameter("give the file of a study, or --verify and the folder of one")
    _refuse_idle(context, runs=verify is None and not dry_run, verify=verify is not None, slurm=slurm)
    refuse_without(context, "scheduler", needs="--engine dask", there=engine == "dask")
    if engine == "dask" and scheduler is None:
        raise typer.BadParameter("--engine dask needs --scheduler, the address that `dask scheduler` prints")
    if verify is not None:
        _verify(verify, data_root=data_root, cache_dir=cache_dir, device=device, wide=wide, json=json)
    elif dry_run:
        from medfeat.workflows.study import plan

        planned = plan(which or "", data_root=data_root, cache_dir=cache_dir, device=device, progress=for_terminal())
        if json:
            output.as_json(planned.to_dict())
        else:
            output.tables(planned.tables(), wide=wide)
    elif slurm:
        from medfeat.workflows.studying.slurm import script

        asked = {"data_root": data_root, "out": out, "max_hours": max_hours, "max_disk": max_disk, "device": device,
                 "cache_dir": cache_dir, "offline": offline}  # fmt: skip
        output.line(script(which or "", asked, tasks=jobs))
    else:
        from medfeat.workflows.study import study as run

        report = run(
            which or "", out=out, jobs=jobs, max_hours=max_hours, max_disk=max_disk, data_root=data_root,
            cache_dir=cache_dir, device=device, offline=offline, scheduler=scheduler, progress=for_terminal(),
            worker_progress=for_terminal,
        )  # fmt: skip
        if json:
            output.as_json(report.to_dict())
        else:
            output.tables(report.tables(), wide=wide)
            output.lines(report.lines())
        for line in report.notes:
            output.note(line)
        output.errors([failure.line() for failure in report.failed])
        raise typer.Exit(report.exit_code())


def _refuse_idle(context: typer.Context, *, runs: bool, verify: bool, slurm: bool) -> None:
    """Refuse options that would do nothing beside what was given."""
    needs = "a study that runs"
    refuse_without(context, "out jobs max_hours max_disk slurm engine", needs=needs, there=runs)
    refuse_without(context, "dry_run", needs="a study of which it speaks", there=not verify)
    refuse_without(context, "json wide", needs="a result, and a script is none", there=not slurm)
    refuse_without(context, "engine", needs="a study that runs here", there=not slurm)


def _verify(
    folder: Path, *, data_root: Path | None, cache_dir: Path | None, device: str, wide: bool, json: bool
) -> None:
    from medfeat.workflows.study import verify_study

    report = verify_study(folder, data_root=data_root, cache_dir=cache_dir, device=device, progress=for_terminal())
    if json:
        output.as_json(report.to_dict())
    else:
        output.tables(report.tables(), wide=wide)
    raise typer.Exit(int(not report.reproduced))
