"""`medfeat probe`: train heads on cached embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from medfeat_cli import options, output, task_options
from medfeat_cli.commands import new_tasks
from medfeat_cli.progress import for_terminal

if TYPE_CHECKING:
    from medfeat.workflows.probe import ProbeReport


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
    prompts: task_options.Prompts = None,
    seed: options.Seed = 0,
    refit: Annotated[bool, typer.Option("--refit", help="Refit on train + val once val has chosen.")] = False,
    choose: Annotated[
        str | None,
        typer.Option(
            "--choose", help="Choose settings on `val`, by `cv` over train + val, or `auto`: cv if val is small."
        ),
    ] = None,
    class_weight: Annotated[
        str | None,
        typer.Option("--class-weight", help="Weigh rare classes up: `none`, `balanced`, or `auto`: val chooses."),
    ] = None,
    select: Annotated[
        bool,
        typer.Option("--select", help="Choose layer, pooling, size and backbone, or several side by side, on val."),
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
    from medfeat.workflows.asking.question import Question
    from medfeat.workflows.jobs.store_jobs import ProbeRequest

    together = {"--select": select, "--refit": refit, "--choose": choose, "--class-weight": class_weight}
    _refuse_together({"--shots": shots, "--fuse": fuse, "--test-on": test_on}, together)
    if budget is not None and any(one is not None for one in (shots, fuse, test_on)):
        raise typer.BadParameter("--budget goes with none of --shots, --fuse and --test-on")
    question = Question(
        task=task, labels=labels, drop=drop, keep=keep, relabel=relabel, name=name, partial=partial, classes=classes
    )
    asked = ProbeRequest(
        data=data, backbone=backbone, head=head, size=size, question=question, seed=seed, prompts=prompts,
        cache_dir=cache_dir,
    )  # fmt: skip
    if shots is not None:
        new_tasks.few_shot(asked, shots=shots, draws=draws, figure=figure, resamples=resamples, json=json)
    elif fuse is not None:
        new_tasks.fuse(asked, ways=fuse, resamples=resamples, json=json)
    elif test_on is not None:
        from medfeat.workflows.transfer import Elsewhere

        there = Elsewhere(test_on, split=test_split, drop=test_drop, relabel=test_relabel, labels=test_labels)
        new_tasks.transfer(asked, there, resamples=resamples, json=json)
    else:
        from medfeat.evaluation.measures.bootstrap import RESAMPLES
        from medfeat.workflows.probe import probe_stores

        report = probe_stores(
            asked, refit=refit, select=select, choose=choose or "val", class_weight=class_weight or "none",
            budget=budget, resamples=RESAMPLES if resamples is None else resamples, progress=for_terminal(),
        )  # fmt: skip
        _show(report, json=json)


def _refuse_together(alone: dict[str, Any], together: dict[str, Any]) -> None:
    named = [option for option, value in (alone | together).items() if value]
    if len(named) > 1 and any(alone.values()):
        raise typer.BadParameter(f"{' and '.join(named)} exclude each other: give one of them")


def _show(report: ProbeReport, *, json: bool) -> None:
    if json:
        output.as_json(report.to_dict())
    else:
        output.tables(report.tables())
        for line in report.notes:
            output.note(line)
    output.errors([failure.line() for failure in report.failed])
    raise typer.Exit(int(bool(report.failed)))
