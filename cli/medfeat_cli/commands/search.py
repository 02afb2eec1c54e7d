"""`medfeat search`: the stored images that look most like one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medfeat_cli import options, output
from medfeat_cli.given import refuse_without
from medfeat_cli.progress import for_terminal


def search(
    context: typer.Context,
    data: options.OneDataset = None,
    backbone: options.OneBackbone = None,
    store: options.Store = None,
    image: Annotated[Path | None, typer.Option("--image", help="File to embed by the store's recipe.")] = None,
    id: Annotated[str | None, typer.Option("--id", help="Or a stored image, such as test/7.")] = None,
    k: Annotated[int, typer.Option("-k", help="How many to show.")] = 10,
    size: options.Size = None,
    task: Annotated[str | None, typer.Option("--task", help="Saved task whose labels are shown.")] = None,
    intensity: options.Intensity = None,
    weights: options.WeightsNow = None,
    device: options.Device = "auto",
    offline: options.Offline = False,
    trust_remote_code: options.TrustRemoteCode = False,
    cache_dir: options.CacheDir = None,
    wide: options.Wide = False,
    json: options.Json = False,
) -> None:
    """Show the stored images nearest to one by cosine, with ids and labels.

    Example: medfeat search --data bloodmnist --backbone resnet101 --id test/7
    """
    from medfeat.workflows.search import search as run

    refuse_without(
        context,
        "intensity weights device",
        needs="--image: a stored one is not embedded again",
        there=image is not None,
    )
    report = run(
        data,
        backbone,
        store=store,
        image=image,
        id=id,
        k=k,
        size=size,
        task=task,
        intensity=intensity,
        weights=weights,
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
