"""`medfeat explore`: a dataset and its embeddings in one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medfeat_cli import options, output
from medfeat_cli.progress import for_terminal


def explore(
    data: options.OneDataset = None,
    backbone: options.BackboneName = None,
    store: options.Store = None,
    out: Annotated[Path | None, typer.Option("--out", help="The page; default: explore-NAME.html here.")] = None,
    figures: Annotated[Path | None, typer.Option("--figures", help="Folder for the pictures as PNG and SVG.")] = None,
    columns: Annotated[Path | None, typer.Option("--columns", help="CSV with id and columns to colour by.")] = None,
    no_images: Annotated[bool, typer.Option("--no-images", help="Leave every picture out.")] = False,
    identifiers: Annotated[
        bool, typer.Option("--identifiers", help="Show patients and DICOM identifiers as they are.")
    ] = False,
    sample: Annotated[int, typer.Option("--sample", help="Look at no more images than this.")] = 20_000,
    seed: options.Seed = 0,
    size: options.Size = None,
    name: options.Name = None,
    intensity: options.Intensity = None,
    task: options.TaskType = None,
    classes: options.Classes = None,
    volumes: options.Volumes = None,
    path_column: options.PathColumn = None,
    label_column: options.LabelColumn = None,
    split_column: options.SplitColumn = None,
    patient_column: options.PatientColumn = None,
    data_root: options.DataRoot = None,
    offline: options.Offline = False,
    cache_dir: options.CacheDir = None,
    json: options.Json = False,
) -> None:
    """Show a dataset in one HTML file: counts, leaks, pictures, pixel values, maps of pixels and embeddings.

    Example: medfeat explore --data bloodmnist --backbone resnet101,densenet121
    """
    from medfeat.workflows.explore import explore as run

    report = run(
        data,
        backbone=backbone,
        store=store,
        out=out,
        figures=figures,
        columns=columns,
        images=not no_images,
        identifiers=identifiers,
        sample=sample,
        seed=seed,
        size=size,
        name=name,
        intensity=intensity,
        task=task,
        classes=classes,
        volumes=volumes,
        path_column=path_column,
        label_column=label_column,
        split_column=split_column,
        patient_column=patient_column,
        data_root=data_root,
        offline=offline,
        cache_dir=cache_dir,
        progress=for_terminal(),
    )
    for line in report.notes:
        output.note(line)
    if json:
        output.as_json(report.to_dict())
        return
    output.lines([f"wrote {report.out}: {report.looked_at:,} of {report.total:,} images"])
    if report.figures:
        output.lines([f"wrote {len(report.figures)} figures to {report.figures[0].parent}"])
