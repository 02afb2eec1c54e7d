"""`medfeat export`: a run for somebody else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medfeat_cli import options, output
from medfeat_cli.given import refuse_without
from medfeat_cli.progress import for_terminal


def export(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help=options.RUN_HELP)],
    data: options.Data = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write; default: named after the run.")] = None,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Also one ONNX graph from pixels to scores, checked (extra: onnx).")
    ] = False,
    weights: options.WeightsNow = None,
    offline: options.Offline = False,
    trust_remote_code: options.TrustRemoteCode = False,
    cache_dir: options.CacheDir = None,
    json: options.Json = False,
) -> None:
    """Write a run, its network included, into a folder that `predict --run` and `extract --weights` take anywhere.

    Example: medfeat export 1c98691d --out ./for-a-colleague
    """
    refuse_without(context, "data", needs="best", there=run == "best")
    from medfeat.workflows.export import export as write

    report = write(
        run,
        out,
        data=data,
        onnx=onnx,
        weights=weights,
        offline=offline,
        trust_remote_code=trust_remote_code,
        cache_dir=cache_dir,
        progress=for_terminal(),
    )
    if json:
        output.as_json(report.to_dict())
    else:
        output.lines(report.lines())
