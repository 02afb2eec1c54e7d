"""`medfeat extract`: embed every image once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from medfeat_cli import options, output
from medfeat_cli.given import refuse_without
from medfeat_cli.progress import for_terminal

if TYPE_CHECKING:
    from medfeat.workflows.asking.wanted import Wanted
    from medfeat.workflows.results.extract_report import ExtractReport


def extract(
    context: typer.Context,
    data: options.DataRequired,
    backbone: options.BackboneRequired,
    size: options.Size = None,
    weights: options.Weights = None,
    seed: options.Seed = 0,
    adapt: options.Adapt = False,
    pool: options.Pool = None,
    layer: options.Layer = None,
    slices: options.Slices = None,
    copies: options.Copies = None,
    fit: options.Fit = "whole",
    precision: options.Precision = "auto",
    batch_size: options.BatchSize = "auto",
    dtype: options.Dtype = "float32",
    device: options.Devices = "auto",
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
    workers: options.Workers = "auto",
    unpack: options.Unpack = False,
    skip_bad: options.SkipBad = False,
    recheck: options.Recheck = False,
    no_compile: options.NoCompile = False,
    trust_remote_code: options.TrustRemoteCode = False,
    dry_run: options.DryRun = False,
    wide: options.Wide = False,
    json: options.Json = False,
) -> None:
    """Embed every image of DATA once with BACKBONE and keep the vectors.

    Example: medfeat extract --backbone resnet101 --data bloodmnist
    """
    from medfeat.workflows.asking.data_options import DataOptions
    from medfeat.workflows.asking.wanted import Wanted, wanted_request, wanted_views

    refuse_without(context, "seed", needs="--weights random", there=weights == "random")
    refuse_without(context, "unpack", needs="an extraction, of which --dry-run only speaks", there=not dry_run)
    refuse_without(context, "skip_bad", needs="an extraction, of which --dry-run only speaks", there=not dry_run)
    opened = DataOptions.of(
        size=size, data_root=data_root, offline=offline, name=name, intensity=intensity, task=task, classes=classes,
        path_column=path_column, label_column=label_column, split_column=split_column, patient_column=patient_column,
        volumes=volumes,
    ).read_by(workers, unpack=unpack)  # fmt: skip
    request = wanted_request(
        wanted_views(layer, pool, slices),
        fit=fit,
        precision=precision,
        batch_size=batch_size,
        dtype=dtype,
        weights=weights,
        seed=seed,
        adapt=adapt,
        offline=offline,
        trust_remote_code=trust_remote_code,
        recheck=recheck,
        compile=not no_compile,
    )
    request = replace(request, copies=copies)
    wanted = Wanted(data, backbone, request, opened, cache_dir=cache_dir)
    if dry_run:
        _plan(wanted, device=device, wide=wide, json=json)
        return
    progress = for_terminal()
    progress.start(1, "starting torch", "libraries")
    from medfeat.workflows.extract import extract_wanted

    progress.finish()
    _show(extract_wanted(wanted, device=device, progress=progress), skip_bad=skip_bad, json=json)


def _show(report: ExtractReport, *, skip_bad: bool, json: bool) -> None:
    if json:
        output.as_json(report.to_dict())
    else:
        output.lines(report.lines())
    output.errors(report.problem_lines())
    output.errors(report.last_line(skip_bad=skip_bad))
    raise typer.Exit(report.exit_code(skip_bad=skip_bad))


def _plan(wanted: Wanted, *, device: str, wide: bool, json: bool) -> None:
    from medfeat.workflows.extract import plan

    report = plan(wanted, device=device, progress=for_terminal())
    if json:
        output.as_json(report.to_dict())
    else:
        output.tables(report.tables(), wide=wide)
    output.errors([failure.line() for failure in report.failures])
    raise typer.Exit(int(bool(report.failures)))
