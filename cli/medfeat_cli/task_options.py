"""Options that say which question is asked of stores, and which tool of it; `probe` takes them all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Task = Annotated[
    str | None,
    typer.Option("--task", help="Name of a saved task, or a type to read the labels as: regression, multi-class, ..."),
]
Labels = Annotated[
    Path | None, typer.Option("--labels", help="CSV with id (or path), label(s), and if known split and patient.")
]
LabelColumn = Annotated[
    str | None,
    typer.Option(
        "--label-column", help="Label columns (comma list) of --labels, or of the CSV that the images came from."
    ),
]
Relabel = Annotated[str | None, typer.Option("--relabel", help='Merge classes: "0,1,2=abnormal;3=normal".')]
Keep = Annotated[str | None, typer.Option("--keep", help="Keep these classes alone (numbers or names).")]
Drop = Annotated[str | None, typer.Option("--drop", help="Leave these classes out.")]
TaskName = Annotated[str | None, typer.Option("--name", help="Save the task under this name, for --task later.")]
Partial = Annotated[bool, typer.Option("--partial", help="Labels may lack stored images, which are left out.")]

Prompts = Annotated[
    Path | None, typer.Option("--prompts", help="JSON of texts for classes, for zero-shot, text-linear and lp++.")
]
Bag = Annotated[
    str | None,
    typer.Option("--bag", help="What attention weighs: `layers` of a network, or all images of `patients`."),
]
Shots = Annotated[
    str | None, typer.Option("--shots", help="Few labels: samples a class, such as 1,2,5,10,20,50,all; gives a curve.")
]
Draws = Annotated[int, typer.Option("--draws", help="Draws of each number of shots.")]
Figure = Annotated[Path | None, typer.Option("--figure", help="Draw --shots or --corrupt here (.png, .svg or .pdf).")]
Corrupt = Annotated[
    bool, typer.Option("--corrupt", help="Test on worse copies too: noise, blur, contrast, compression; embeds them.")
]
Folds = Annotated[int | None, typer.Option("--folds", help="Cross-validate: so many folds, each tested once.")]
GroupColumn = Annotated[
    str | None, typer.Option("--group-column", help="Leave out one group after another, such as `hospital`.")
]
Groups = Annotated[
    Path | None,
    typer.Option(
        "--groups", help="CSV with id (or path) and the group column; default: --labels, or that of the images."
    ),
]
Fuse = Annotated[
    str | None, typer.Option("--fuse", help="Fuse the stores: concat, average, or both (comma list); val chooses.")
]
TestOn = Annotated[str | None, typer.Option("--test-on", help="Test on this dataset instead, embedded alike.")]
TestSplit = Annotated[str, typer.Option("--test-split", help="Of --test-on: test, val, train or all.")]
TestRelabel = Annotated[str | None, typer.Option("--test-relabel", help="Map the classes of --test-on.")]
TestDrop = Annotated[str | None, typer.Option("--test-drop", help="Leave classes of --test-on out.")]
TestLabels = Annotated[Path | None, typer.Option("--test-labels", help="CSV with other labels for --test-on.")]
