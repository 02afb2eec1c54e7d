"""`medfeat extract`: embed every image once."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from medfeat_cli import options, output
from medfeat_cli.progress import for_terminal


def extract(
    data: options.DataRequired,
    backbone: options.BackboneRequired,
    size: options.Size = None,
    weights: options.Weights = None,
    seed: options.Seed = 0,
    pool: Annotated[str | None, typer.Option("--pool", help="Poolings (comma list); one store each, one pass.")] = None,
    layer: Annotated[str | None, typer.Option("--layer", help="Layers by module name (comma list).")] = None,
    slices: Annotated[
        str | None, typer.Option("--slices", help="Slice policies for volumes (comma list): mean-concat, ...")
    ] = None,
    fit: Annotated[
        str, typer.Option("--fit", help="whole (all of the image), reference (the library's own crop) or pad.")
    ] = "whole",
    precision: Annotated[str, typer.Option("--precision", help="auto (measured), fp32, bf16 or fp16.")] = "auto",
    batch_size: Annotated[str, typer.Option("--batch-size", help="auto, or images a forward pass.")] = "auto",
    device: options.Device = "auto",
    data_root: options.DataRoot = None,
    cache_dir: options.CacheDir = None,
    offline: options.Offline = False,
    name: Annotated[str | None, typer.Option("--name", help="Name for your own images; default: the folder's.")] = None,
    intensity: Annotated[
        str | None, typer.Option("--intensity", help="How 16-bit, DICOM and NIfTI values become 0..255.")
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="What own labels mean: multi-class, multi-label, regression, ...")
    ] = None,
    path_column: Annotated[str | None, typer.Option("--path-column", help="Column of a CSV with the files.")] = None,
    label_column: Annotated[
        str | None, typer.Option("--label-column", help="Label columns of a CSV (comma list: multi-label).")
    ] = None,
    split_column: Annotated[str | None, typer.Option("--split-column", help="Column with train, val, test.")] = None,
    patient_column: Annotated[str | None, typer.Option("--patient-column", help="Column with the patient.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Exit with 0 although images could not be read.")] = False,
    recheck: Annotated[
        bool, typer.Option("--recheck", help="Forget what was remembered: read the weights and measure again.")
    ] = False,
    no_compile: Annotated[bool, typer.Option("--no-compile", help="Never compile the network.")] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Let a Hugging Face repository run its own code.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and why; do nothing.")] = False,
    json: options.Json = False,
) -> None:
    """Embed every image of DATA once with BACKBONE and keep the vectors.

    Example: medfeat extract --backbone resnet101 --data bloodmnist
    """
    from medfeat.workflows.extract import extract as run
    from medfeat.workflows.extract import plan

    asked: dict[str, Any] = {
        "size": size,
        "weights": weights,
        "seed": seed,
        "pool": pool,
        "layer": layer,
        "slices": slices,
        "fit": fit,
        "precision": precision,
        "data_root": data_root,
        "cache_dir": cache_dir,
        "offline": offline,
        "name": name,
        "intensity": intensity,
        "task": task,
        "path_column": path_column,
        "label_column": label_column,
        "split_column": split_column,
        "patient_column": patient_column,
        "progress": for_terminal(),
    }
    if dry_run:
        plans = plan(data, backbone, **asked)
        output.as_json(plans.to_dict()) if json else output.table(*plans.table())
    else:
        report = run(
            data,
            backbone,
            batch_size=batch_size,
            device=device,
            recheck=recheck,
            compile=not no_compile,
            trust_remote_code=trust_remote_code,
            **asked,
        )
        if json:
            output.as_json(report.to_dict())
        for line in [] if json else report.lines():
            typer.echo(line)
        for line in report.problem_lines():
            output.error(line)
        raise typer.Exit(report.exit_code(skip_bad=skip_bad))
    if plans.failures:
        for failure in plans.failures:
            output.error(failure.line())
        raise typer.Exit(1)


