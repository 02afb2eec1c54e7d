"""`medfeat extract`: embed every image once."""

from __future__ import annotations

from typing import Any

import typer

from medfeat_cli import options, output
from medfeat_cli.progress import for_terminal


def extract(
    data: options.DataRequired,
    backbone: options.BackboneRequired,
    size: options.Size = None,
    weights: options.Weights = None,
    seed: options.Seed = 0,
    adapt: options.Adapt = False,
    pool: options.Pool = None,
    layer: options.Layer = None,
    slices: options.Slices = None,
    fit: options.Fit = "whole",
    precision: options.Precision = "auto",
    batch_size: options.BatchSize = "auto",
    device: options.Device = "auto",
    data_root: options.DataRoot = None,
    cache_dir: options.CacheDir = None,
    offline: options.Offline = False,
    name: options.Name = None,
    intensity: options.Intensity = None,
    task: options.TaskType = None,
    classes: options.Classes = None,
    path_column: options.PathColumn = None,
    label_column: options.LabelColumn = None,
    split_column: options.SplitColumn = None,
    patient_column: options.PatientColumn = None,
    volumes: options.Volumes = None,
    skip_bad: options.SkipBad = False,
    recheck: options.Recheck = False,
    no_compile: options.NoCompile = False,
    trust_remote_code: options.TrustRemoteCode = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
) -> None:
    """Embed every image of DATA once with BACKBONE and keep the vectors.

    Example: medfeat extract --backbone resnet101 --data bloodmnist
    """
    asked = {key: value for key, value in locals().items() if key not in _NOT_FOR_PLAN}
    if dry_run:
        _plan(asked, json=json)
        return
    from medfeat.workflows.extract import extract as run

    report = run(
        **asked,
        batch_size=batch_size,
        device=device,
        compile=not no_compile,
        trust_remote_code=trust_remote_code,
        progress=for_terminal(),
    )
    if json:
        output.as_json(report.to_dict())
    else:
        output.lines(report.lines())
    output.errors(report.problem_lines())
    raise typer.Exit(report.exit_code(skip_bad=skip_bad))


# How to run, and how to show it: the plan of an extraction depends on neither.
_NOT_FOR_PLAN = frozenset(("batch_size", "device", "skip_bad", "no_compile", "trust_remote_code", "dry_run", "json"))


def _plan(asked: dict[str, Any], *, json: bool) -> None:
    from medfeat.workflows.extract import plan

    report = plan(**asked, progress=for_terminal())
    if json:
        output.as_json(report.to_dict())
    else:
        output.table(*report.table())
    output.errors([failure.line() for failure in report.failures])
    raise typer.Exit(int(bool(report.failures)))
