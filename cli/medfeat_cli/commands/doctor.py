"""`medfeat doctor`: what this machine has, and what to do about what is missing."""

from __future__ import annotations

import typer

from medfeat_cli import options, output


def doctor(
    cache_dir: options.CacheDir = None,
    data_root: options.DataRoot = None,
    offline: options.Offline = False,
    wide: options.Wide = False,
    json: options.Json = False,
) -> None:
    """Look at Python, torch, devices, disk, folders, hubs and backbones; say what to do about each problem.

    Example: medfeat doctor
    """
    from medfeat.workflows.doctor import doctor as run

    output.note("looking at Python, torch, devices, disk and hubs")
    report = run(cache_dir=cache_dir, data_root=data_root, offline=offline)
    if json:
        output.as_json(report.to_dict())
    else:
        output.tables(report.tables(), wide=wide)
    for check in report.checks:
        if check.state == "problem":
            output.error(f"{check.name} {check.found}: {check.advice}")
    raise typer.Exit(0 if report.healthy else 1)
