"""Options that several commands share, each spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# Typer reads these aliases at run time, so they are plain assignments.


def _datasets(incomplete: str) -> list[str]:
    from medfeat.datasets import dataset_names

    return [name for name in dataset_names() if name.startswith(incomplete)]


def _backbones(incomplete: str) -> list[str]:
    from medfeat.backbones import backbone_names

    return [name for name in backbone_names() if name.startswith(incomplete)]


Data = Annotated[
    str | None,
    typer.Option(
        "--data", "-d", help="Dataset names (comma list), `all`, or a folder, CSV or npz.", autocompletion=_datasets
    ),
]
DataRequired = Annotated[
    str,
    typer.Option(
        "--data", "-d", help="Dataset names (comma list), `all`, or a folder, CSV or npz.", autocompletion=_datasets
    ),
]
BackboneName = Annotated[
    str | None,
    typer.Option("--backbone", "-b", help="Backbone names (comma list) or `all`.", autocompletion=_backbones),
]
BackboneRequired = Annotated[
    str,
    typer.Option("--backbone", "-b", help="Backbone names (comma list) or `all`.", autocompletion=_backbones),
]
Size = Annotated[int | None, typer.Option("--size", help="Side of the stored images in pixels (MedMNIST: 28, 64, 128, 224).")]
CacheDir = Annotated[
    Path | None,
    typer.Option("--cache-dir", help="Where stores live; default: $MEDFEAT_CACHE, else the user cache folder."),
]
DataRoot = Annotated[
    Path | None, typer.Option("--data-root", help="Where dataset files live; default: the medmnist package's folder.")
]
Offline = Annotated[bool, typer.Option("--offline", help="Make no network call at all.")]
Device = Annotated[str, typer.Option("--device", help="auto (cuda, then mps, then cpu), cpu, mps, cuda or cuda:N.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything random.")]
Weights = Annotated[
    str | None,
    typer.Option("--weights", help="Own weights (.pth, .pt, .safetensors, Hugging Face folder), or `random`."),
]
