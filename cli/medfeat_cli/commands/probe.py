"""`medfeat probe`: train heads on cached embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from medfeat_cli import options, output, task_options
from medfeat_cli.commands import new_tasks
from medfeat_cli.given import refuse_without
from medfeat_cli.progress import for_terminal

if TYPE_CHECKING:
    from medfeat.workflows.probe import ProbeReport


def _heads(incomplete: str) -> list[str]:
    from medfeat.heads import HEADS

    return [name for name in HEADS if name.startswith(incomplete)]


def probe(
    context: typer.Context,
    data: options.Data = None,
    backbone: options.BackboneName = None,
    store: options.Store = None,
    size: options.Size = None,
    head: Annotated[
        str | None,
        typer.Option(
            "--head",
            help="Heads (comma list), `auto`: the best or a mean of some, or `all`; default: `quick`, much the same.",
            autocompletion=_heads,
        ),
    ] = None,
    task: task_options.Task = None,
    labels: task_options.Labels = None,
    label_column: task_options.LabelColumn = None,
    relabel: task_options.Relabel = None,
    keep: task_options.Keep = None,
    drop: task_options.Drop = None,
    name: task_options.TaskName = None,
    partial: task_options.Partial = False,
    classes: options.Classes = None,
    shots: task_options.Shots = None,
    draws: task_options.Draws = 20,
    figure: task_options.Figure = None,
    corrupt: task_options.Corrupt = False,
    data_root: options.DataRoot = None,
    weights: options.WeightsNow = None,
    device: options.Device = "auto",
    offline: options.Offline = False,
    trust_remote_code: options.TrustRemoteCode = False,
    folds: task_options.Folds = None,
    group_column: task_options.GroupColumn = None,
    groups: task_options.Groups = None,
    fuse: task_options.Fuse = None,
    test_on: task_options.TestOn = None,
    test_split: task_options.TestSplit = "test",
    test_relabel: task_options.TestRelabel = None,
    test_drop: task_options.TestDrop = None,
    test_labels: task_options.TestLabels = None,
    prompts: task_options.Prompts = None,
    bag: task_options.Bag = None,
    seed: options.Seed = 0,
    refit: Annotated[bool, typer.Option("--refit", help="Refit on train + val once val has chosen.")] = False,
    choose: Annotated[
        str | None,
        typer.Option(
            "--choose",
            help="Choose settings on `val`, by `cv` over train + val, or `auto`: cv if val is small, without `--head`.",
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
    pivot: Annotated[
        bool, typer.Option("--pivot", help="One table: networks by datasets, each by the head and store val prefers.")
    ] = False,
    cache_dir: options.CacheDir = None,
    wide: options.Wide = False,
    json: options.Json = False,
) -> None:
    """Train a head on every store in the cache and print one table; val chooses, test is read once.

    Example: medfeat probe
    """
    from medfeat.workflows.asking.question import Question
    from medfeat.workflows.jobs.store_jobs import ProbeRequest
    from medfeat.workflows.stores.texts import TextsAsked

    alone = {"--shots": shots, "--fuse": fuse, "--test-on": test_on, "--corrupt": corrupt or None}
    left_out = {"--folds": folds, "--group-column": group_column}
    _refuse_idle(context, {**alone, **left_out, "--labels": labels, "--label-column": label_column})
    plain = {"--select": select, "--refit": refit, "--pivot": pivot, "--budget": budget, "--bag": bag}
    _refuse_mixtures(alone, left_out, plain, {"--choose": choose, "--class-weight": class_weight})
    question = Question(
        task=task, labels=labels, label_column=label_column, drop=drop, keep=keep, relabel=relabel, name=name,
        partial=partial, classes=classes, aside=group_column if groups is None else None,
    )  # fmt: skip
    asked = ProbeRequest(
        data=data, backbone=backbone, store=store, head=head, size=size, question=question, seed=seed,
        texts=TextsAsked(prompts, offline), bag=bag, cache_dir=cache_dir,
    )  # fmt: skip
    of_classes = class_weight or "none"
    if shots is not None:
        new_tasks.few_shot(asked, shots=shots, draws=draws, figure=figure, resamples=resamples, wide=wide, json=json)
    elif fuse is not None:
        new_tasks.fuse(asked, ways=fuse, resamples=resamples, wide=wide, json=json)
    elif test_on is not None:
        there = {"split": test_split, "drop": test_drop, "relabel": test_relabel, "labels": test_labels}
        new_tasks.transfer(asked, test_on, there, resamples=resamples, wide=wide, json=json)
    elif corrupt:
        made = (data_root, weights, device, offline, trust_remote_code)
        new_tasks.corrupt(asked, made, figure=figure, resamples=resamples, wide=wide, json=json)
    elif folds is not None or group_column is not None:
        parts, how = (folds, group_column, groups or labels), {"choose": choose or "val", "class_weight": of_classes}
        new_tasks.leave_out(asked, parts, how, resamples=resamples, wide=wide, json=json)
    else:
        from medfeat.evaluation.measures.bootstrap import RESAMPLES
        from medfeat.workflows.probe import probe_stores

        report = probe_stores(
            asked, choose=choose, class_weight=of_classes, refit=refit, select=select, budget=budget,
            resamples=RESAMPLES if resamples is None else resamples, progress=for_terminal(),
        )  # fmt: skip
        _show(report, wide=wide, json=json, pivot=pivot)


_Options = dict[str, Any]


def _refuse_mixtures(alone: _Options, left_out: _Options, plain: _Options, how: _Options) -> None:
    """Refuse options that ask for two things at once.

    Parameters
    ----------
    alone, left_out
        Other questions than a plain probe; those of the second can be chosen and weighed as a plain one is.
    plain, how
        Options of a plain probe.
    """
    _refuse_together(alone, {**left_out, **plain, **how})
    _refuse_together(left_out, plain)


# Options, by their names as parameters, and what each of them needs to have an effect.
_NEEDS = {
    "draws": "--shots",
    "figure": "--shots or --corrupt",
    "test_split test_relabel test_drop test_labels": "--test-on",
    "partial": "--labels or --label-column",
    "data_root weights device trust_remote_code": "--corrupt",
    "groups": "--group-column",
}


def _refuse_idle(context: typer.Context, given: _Options) -> None:
    """Refuse options that would do nothing beside what was given."""
    for idle, needs in _NEEDS.items():
        there = any(given[option] is not None for option in needs.split(" or "))
        refuse_without(context, idle, needs=needs, there=there)


def _refuse_together(alone: _Options, together: _Options) -> None:
    named = [option for option, value in (alone | together).items() if value not in (None, False)]
    if len(named) > 1 and any(value is not None for value in alone.values()):
        raise typer.BadParameter(f"{' and '.join(named)} exclude each other: give one of them")


def _show(report: ProbeReport, *, wide: bool, json: bool, pivot: bool) -> None:
    if json:
        output.as_json(report.to_dict())
    else:
        output.tables([report.pivot()] if pivot else report.tables(), wide=wide)
        for line in report.notes:
            output.note(line)
    output.errors([failure.line() for failure in report.failed])
    raise typer.Exit(int(bool(report.failed)))
