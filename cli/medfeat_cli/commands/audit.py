"""`medfeat audit`: images that are there twice, and labels that look wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medfeat_cli import options, output, task_options
from medfeat_cli.given import refuse_without
from medfeat_cli.progress import for_terminal


def audit(
    context: typer.Context,
    data: options.OneDataset = None,
    backbone: options.OneBackbone = None,
    store: options.Store = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for duplicates.csv and label_errors.csv.")] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Cosine of near duplicates; default: calibrated on copies.")
    ] = None,
    size: options.Size = None,
    head: Annotated[str | None, typer.Option("--head", help="Head whose scores are used; default: what suits.")] = None,
    task: task_options.Task = None,
    labels: task_options.Labels = None,
    classes: options.Classes = None,
    seed: options.Seed = 0,
    weights: options.WeightsNow = None,
    data_root: options.DataRoot = None,
    device: options.Device = "auto",
    offline: options.Offline = False,
    trust_remote_code: options.TrustRemoteCode = False,
    cache_dir: options.CacheDir = None,
    wide: options.Wide = False,
    json: options.Json = False,
) -> None:
    """Look for duplicates inside and across splits, the score without them, and likely label errors.

    Example: medfeat audit --data breastmnist --backbone resnet101 --out audit
    """
    from medfeat.workflows.audit import audit as run

    refuse_without(
        context,
        "weights data_root device",
        needs="calibrating on copies, which --threshold replaces",
        there=threshold is None,
    )
    report = run(
        data,
        backbone,
        store=store,
        out=out,
        threshold=threshold,
        size=size,
        head=head,
        task=task,
        labels=labels,
        classes=classes,
        seed=seed,
        weights=weights,
        data_root=data_root,
        device=device,
        offline=offline,
        trust_remote_code=trust_remote_code,
        cache_dir=cache_dir,
        progress=for_terminal(),
    )
    if json:
        output.as_json(report.to_dict())
    else:
        output.tables(report.tables(), wide=wide)
    if report.out is not None:
        output.note(f"wrote {report.out / 'duplicates.csv'} and {report.out / 'label_errors.csv'}")
