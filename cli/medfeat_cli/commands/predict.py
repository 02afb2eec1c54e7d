"""`medfeat predict`: a saved probe labels images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medfeat_cli import options, output
from medfeat_cli.given import refuse_without
from medfeat_cli.progress import for_terminal


def predict(
    context: typer.Context,
    run: Annotated[str, typer.Option("--run", help=options.RUN_HELP)],
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder, CSV, npz, image or DICOM series to embed and label.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", help="Or a dataset in the cache: nothing is embedded. With `--run best`: whose."),
    ] = None,
    store: options.Store = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="CSV to write: id, label, confidence, set, abstain, ood, p.")
    ] = None,
    error_rate: Annotated[float, typer.Option("--error-rate", help="Share of sets that may miss the truth.")] = 0.1,
    intensity: options.Intensity = None,
    path_column: options.PathColumn = None,
    volumes: options.Volumes = None,
    skip_bad: options.SkipBad = False,
    weights: options.WeightsNow = None,
    device: options.Device = "auto",
    data_root: options.DataRoot = None,
    offline: options.Offline = False,
    trust_remote_code: options.TrustRemoteCode = False,
    cache_dir: options.CacheDir = None,
    wide: options.Wide = False,
    json: options.Json = False,
) -> None:
    """Label images with the head of a run; abstain where the asked error rate cannot be kept.

    Example: medfeat predict --run 1c98691d --images ./new --out labels.csv
    """
    from medfeat.workflows.predict import predict as label

    refuse_without(
        context,
        "intensity path_column volumes weights device data_root skip_bad",
        needs="--images: stored embeddings are not made anew",
        there=images is not None,
    )
    report = label(
        run, images, data=data, store=store, out=out, error_rate=error_rate, intensity=intensity,
        path_column=path_column, volumes=volumes, weights=weights, device=device, data_root=data_root,
        offline=offline, trust_remote_code=trust_remote_code, cache_dir=cache_dir, progress=for_terminal(),
    )  # fmt: skip
    if json:
        output.as_json(report.to_dict())
    else:
        output.tables(report.tables(), wide=wide)
    if report.out is not None:
        output.note(f"wrote {report.out}")
    output.errors(report.problem_lines())
    output.errors(report.last_line(skip_bad=skip_bad))
    raise typer.Exit(int(bool(report.bad) and not skip_bad))
