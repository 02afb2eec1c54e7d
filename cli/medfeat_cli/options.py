"""Options that several commands share, each spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medfeat_cli.helping import at_least

# Typer reads these aliases at run time, so they are plain assignments.
_DATA_HELP = "Dataset names (comma list; `name@2` is a version of own images), `all`, or a folder, CSV or npz."

RUN_HELP = "Folder of a run, the beginning of its key, or `best`: on val, by folds if val is small."


def _datasets(incomplete: str) -> list[str]:
    from medfeat.datasets import dataset_names

    return [name for name in dataset_names() if name.startswith(incomplete)]


def _backbones(incomplete: str) -> list[str]:
    from medfeat.backbones import backbone_names

    return [name for name in backbone_names() if name.startswith(incomplete)]


Data = Annotated[
    str | None,
    typer.Option("--data", "-d", help=_DATA_HELP, autocompletion=_datasets),
]
OneDataset = Annotated[
    str | None,
    typer.Option(
        "--data",
        "-d",
        help="A dataset in the cache (`name@2` is a version of own images), or its folder, CSV or npz.",
        autocompletion=_datasets,
    ),
]
DataRequired = Annotated[
    str,
    typer.Option("--data", "-d", help=_DATA_HELP, autocompletion=_datasets),
]
BackboneName = Annotated[
    str | None,
    typer.Option("--backbone", "-b", help="Backbone names (comma list) or `all`.", autocompletion=_backbones),
]
OneBackbone = Annotated[
    str | None,
    typer.Option("--backbone", "-b", help="Name of a backbone.", autocompletion=_backbones),
]
BackboneRequired = Annotated[
    str,
    typer.Option("--backbone", "-b", help="Backbone names (comma list) or `all`.", autocompletion=_backbones),
]
ClassWeightOfRuns = Annotated[
    str | None, typer.Option("--class-weight", help="Only runs with these (comma list): none, balanced or auto.")
]
Store = Annotated[
    str | None,
    typer.Option("--store", help="First digits of the digest of a store (comma list where several may be meant)."),
]
Size = Annotated[
    int | None, typer.Option("--size", help="Side of the stored images in pixels (MedMNIST: 28, 64, 128, 224).")
]
CacheDir = Annotated[
    Path | None,
    typer.Option("--cache-dir", help="Where stores live; default: $MEDFEAT_CACHE, else the user cache folder."),
]
DataRoot = Annotated[
    Path | None, typer.Option("--data-root", help="Where dataset files live; default: the medmnist package's folder.")
]
Offline = Annotated[bool, typer.Option("--offline", help="Make no network call at all.")]
Device = Annotated[str, typer.Option("--device", help="auto (cuda, then mps, then cpu), cpu, mps, cuda or cuda:N.")]
Devices = Annotated[
    str,
    typer.Option(
        "--device",
        help="auto (cuda, then mps, then cpu), cpu, mps, cuda or cuda:N; cuda:0,1 or cuda:all: a process a GPU.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Wide = Annotated[bool, typer.Option("--wide", help="Show every column of a table, however narrow the terminal.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Seed = Annotated[int, typer.Option("--seed", callback=at_least(0), help="Seed of everything random.")]
Weights = Annotated[
    str | None,
    typer.Option("--weights", help="Own weights: a file, FILE::PREFIX, a Hugging Face folder, or `random`."),
]
WeightsNow = Annotated[
    str | None,
    typer.Option(
        "--weights",
        help="Where the network's weights are now, if elsewhere: a file, FILE::PREFIX or a folder.",
    ),
]

# What only `extract` takes, but as long as its own list of options.
Adapt = Annotated[bool, typer.Option("--adapt", help="Let weights of another patch size be resampled.")]
Pool = Annotated[str | None, typer.Option("--pool", help="Poolings (comma list); one store each, one pass.")]
Layer = Annotated[
    str | None, typer.Option("--layer", help="Layers by module name (comma list), or `quarter` or `every`: by depth.")
]
Slices = Annotated[
    str | None,
    typer.Option("--slices", help="Slice policies for volumes (comma list): mean-concat, ..., keep, keep:16."),
]
Copies = Annotated[
    str | None,
    typer.Option(
        "--copies", help="Average over flipped or cropped copies where that changes no meaning: flip or crops."
    ),
]
Fit = Annotated[str, typer.Option("--fit", help="whole (all of the image), reference (the library's own crop) or pad.")]
Precision = Annotated[str, typer.Option("--precision", help="auto (measured), fp32, bf16 or fp16.")]
Dtype = Annotated[str, typer.Option("--dtype", help="float32, or float16: half the room.")]
BatchSize = Annotated[str, typer.Option("--batch-size", help="auto, or images a forward pass.")]
Name = Annotated[str | None, typer.Option("--name", help="Name for your own images; default: the folder's.")]
Intensity = Annotated[str | None, typer.Option("--intensity", help="How 16-bit, DICOM and NIfTI values become 0..255.")]
TaskType = Annotated[str | None, typer.Option("--task", help="What own labels mean: multi-class, multi-label, ...")]
Classes = Annotated[
    str | None,
    typer.Option("--classes", help="Every class in order, from least to most where they are grades (comma list)."),
]
PathColumn = Annotated[str | None, typer.Option("--path-column", help="Column of a CSV with the files.")]
LabelColumn = Annotated[str | None, typer.Option("--label-column", help="Label columns (comma list: multi-label).")]
SplitColumn = Annotated[
    str | None, typer.Option("--split-column", help="Column with train, val, test; fold:val=3,test=4; or none.")
]
PatientColumn = Annotated[str | None, typer.Option("--patient-column", help="Column with the patient.")]
Volumes = Annotated[
    str | None, typer.Option("--volumes", help="`series`: the slices of each DICOM series are one volume.")
]
Workers = Annotated[str, typer.Option("--workers", help="auto (one a core), or threads that decode and hash images.")]
Unpack = Annotated[
    bool, typer.Option("--unpack", help="Keep the images of an .npz inflated in the cache, for the next backbones.")
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Exit with 0 although images could not be read.")]
Recheck = Annotated[bool, typer.Option("--recheck", help="Forget what was remembered: read and measure again.")]
NoCompile = Annotated[bool, typer.Option("--no-compile", help="Never compile the network.")]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Let a Hugging Face repository run its own code.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and why; do nothing.")]
