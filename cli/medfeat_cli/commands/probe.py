"""`medfeat probe`: train heads on cached embeddings."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from medfeat_cli import options, output, task_options
from medfeat_cli.commands import new_tasks
from medfeat_cli.progress import for_terminal


def _heads(incomplete: str) -> list[str]:
    from medfeat.heads import HEADS

    return [name for name in HEADS if name.startswith(incomplete)]


def probe(
    data: options.Data = None,
    backbone: options.BackboneName = None,
    size: options.Size = None,
    head: Annotated[
        str | None,
        typer.Option(
            "--head", help="Heads (comma list) or `all`; default: linear, or what suits.", autocompletion=_heads
        ),
    ] = None,
    task: task_options.Task = None,
    labels: task_options.Labels = None,
    relabel: task_options.Relabel = None,
    keep: task_options.Keep = None,
    drop: task_options.Drop = None,
    name: task_options.TaskName = None,
    partial: task_options.Partial = False,
    classes: options.Classes = None,
    shots: task_options.Shots = None,
    draws: task_options.Draws = 20,
    figure: task_options.Figure = None,
    fuse: task_options.Fuse = None,
    test_on: task_options.TestOn = None,
    test_split: task_options.TestSplit = "test",
    test_relabel: task_options.TestRelabel = None,
    test_drop: task_options.TestDrop = None,
    test_labels: task_options.TestLabels = None,
    seed: options.Seed = 0,
    refit: Annotated[bool, typer.Option("--refit", help="Refit on train + val once val has chosen.")] = False,
    select: Annotated[
        bool, typer.Option("--select", help="Choose layer, pooling, size and backbone among the stores on val.")
    ] = False,
    resamples: Annotated[
        int | None,
        typer.Option(
            "--resamples",
            help="Bootstrap resamples of each interval: 0 for none, or at least 20; default 2000, few-shot 200.",
        ),
    ] = None,
    budget: Annotated[
        float | None, typer.Option("--budget", help="Seconds of one core a head that trains in rounds may take.")
    ] = None,
    cache_dir: options.CacheDir = None,
    json: options.Json = False,
) -> None:
    """Train a head on every store in the cache and print one table; val chooses, test is read once.

    Example: medfeat probe
    """
    asked: dict[str, Any] = {key: value for key, value in locals().items() if key in _QUESTION}
    if resamples is not None:
        asked["resamples"] = resamples
    _refuse_together({"--shots": shots, "--fuse": fuse, "--test-on": test_on, "--select": select, "--refit": refit})
    if budget is not None and any(one is not None for one in (shots, fuse, test_on)):
        raise typer.BadParameter("--budget goes with none of --shots, --fuse and --test-on")
    if shots is not None:
        new_tasks.few_shot(asked, shots=shots, draws=draws, figure=figure, json=json)
    elif fuse is not None:
        new_tasks.fuse(asked, ways=fuse, json=json)
    elif test_on is not None:
        there = {"split": test_split, "onto_relabel": test_relabel, "onto_drop": test_drop, "onto_labels": test_labels}
        new_tasks.transfer(asked, onto=test_on, json=json, **there)
    else:
        _probe(asked | {"refit": refit, "select": select, "budget": budget}, json=json)


_QUESTION = frozenset(
    ("data", "backbone", "size", "head", "task", "labels", "relabel", "keep", "drop", "name", "partial", "seed")
) | {"cache_dir", "classes"}


def _refuse_together(given: dict[str, Any]) -> None:
    named = [option for option, value in given.items() if value]
    together = set(named) - {"--select", "--refit"}
    if len(named) > 1 and together:
        raise typer.BadParameter(f"{' and '.join(named)} exclude each other: give one of them")


def _probe(asked: dict[str, Any], *, json: bool) -> None:
    from medfeat.workflows.probe import probe as run

    report = run(**asked, progress=for_terminal())
    if json:
        output.as_json(report.to_dict())
    else:
        output.tables(report.tables())
        for line in report.notes:
            output.note(line)
    output.errors([failure.line() for failure in report.failed])
    raise typer.Exit(int(bool(report.failed)))
