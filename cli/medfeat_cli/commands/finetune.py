"""`medfeat finetune`: train a backbone further, beside its linear probe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medfeat_cli import options, output, task_options
from medfeat_cli.given import refuse_without
from medfeat_cli.helping import at_least
from medfeat_cli.progress import for_terminal

if TYPE_CHECKING:
    from medfeat.workflows.tuning.finetune_request import FinetuneRequest

Mode = Annotated[str, typer.Option("--mode", help="What learns: full, last-blocks, lora or head.")]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Of the whole schedule; default 10.")]
Minutes = Annotated[float | None, typer.Option("--max-minutes", help="Stop training after so long.")]
Seeds = Annotated[
    int, typer.Option("--seeds", callback=at_least(1), help="How many trainings, each from a seed of its own.")
]
Batch = Annotated[int | None, typer.Option("--batch-size", help="Samples a step; default 32.")]
Rate = Annotated[float | None, typer.Option("--lr", help="Learning rate; default: what suits the family.")]
Decay = Annotated[float | None, typer.Option("--layer-decay", help="Factor of the rate a layer further from the head.")]
Weight = Annotated[float | None, typer.Option("--weight-decay", help="Of AdamW.")]
Smooth = Annotated[float | None, typer.Option("--label-smoothing", help="Of classes; default 0.1.")]
Patience = Annotated[int | None, typer.Option("--patience", help="Epochs without a better val score; default 5.")]
Soup = Annotated[int, typer.Option("--soup", help="Best epochs to average where val gains by it; 1: the best alone.")]
ClassWeight = Annotated[
    str, typer.Option("--class-weight", help="none, balanced, or auto (by the imbalance of train).")
]
Loss = Annotated[str, typer.Option("--loss", help="ce or focal.")]
Sampler = Annotated[str, typer.Option("--sampler", help="shuffled, or balanced (rare classes are drawn more often).")]
Augment = Annotated[str | None, typer.Option("--augment", help="auto (what the modality allows) or none.")]
FromProbe = Annotated[str, typer.Option("--from-probe", help="auto (the linear probe), never, or a run.")]
Blocks = Annotated[int, typer.Option("--blocks", help="Of last-blocks: how many; 0 for its own choice.")]
Rank = Annotated[int, typer.Option("--rank", help="Of lora.")]
BatchNorm = Annotated[bool, typer.Option("--train-batch-norm", help="Let statistics of batch norm move.")]
Restart = Annotated[bool, typer.Option("--restart", help="Forget an unfinished training instead of going on.")]
Board = Annotated[
    Path | None, typer.Option("--tensorboard", help="Folder for TensorBoard's curves (extra: tensorboard).")
]
Advise = Annotated[
    bool, typer.Option("--advise", help="Say whether it is worth trying, from the cache; train nothing.")
]
Shots = Annotated[int | None, typer.Option("--shots", help="Train on so many samples a class.")]


def finetune(
    context: typer.Context,
    data: options.DataRequired,
    backbone: options.BackboneRequired,
    mode: Mode = "full",
    weights: options.Weights = None,
    data_root: options.DataRoot = None,
    size: options.Size = None,
    device: options.Device = "auto",
    epochs: Epochs = None,
    max_minutes: Minutes = None,
    seeds: Seeds = 1,
    class_weight: ClassWeight = "none",
    loss: Loss = "ce",
    augment: Augment = None,
    from_probe: FromProbe = "auto",
    lr: Rate = None,
    batch_size: Batch = None,
    layer_decay: Decay = None,
    weight_decay: Weight = None,
    label_smoothing: Smooth = None,
    patience: Patience = None,
    soup: Soup = 1,
    sampler: Sampler = "shuffled",
    blocks: Blocks = 0,
    rank: Rank = 8,
    train_batch_norm: BatchNorm = False,
    task: task_options.Task = None,
    labels: task_options.Labels = None,
    relabel: task_options.Relabel = None,
    keep: task_options.Keep = None,
    drop: task_options.Drop = None,
    partial: task_options.Partial = False,
    classes: options.Classes = None,
    shots: Shots = None,
    pool: options.Pool = None,
    slices: options.Slices = None,
    fit: options.Fit = "whole",
    precision: options.Precision = "auto",
    seed: options.Seed = 0,
    resamples: Annotated[int, typer.Option("--resamples", help="Bootstrap resamples of each interval.")] = 2000,
    cache_dir: options.CacheDir = None,
    offline: options.Offline = False,
    name: options.Name = None,
    intensity: options.Intensity = None,
    path_column: options.PathColumn = None,
    label_column: options.LabelColumn = None,
    split_column: options.SplitColumn = None,
    patient_column: options.PatientColumn = None,
    volumes: options.Volumes = None,
    trust_remote_code: options.TrustRemoteCode = False,
    restart: Restart = False,
    tensorboard: Board = None,
    advise: Advise = False,
    dry_run: options.DryRun = False,
    wide: options.Wide = False,
    json: options.Json = False,
) -> None:
    """Train BACKBONE further on DATA from its cached linear probe, and show both side by side.

    Example: medfeat finetune --backbone resnet18 --data breastmnist --size 224
    """
    from medfeat.workflows.asking.data_options import DataOptions
    from medfeat.workflows.asking.question import Question
    from medfeat.workflows.tuning.finetune_request import FinetuneOptions, FinetuneRequest, NetworkOptions

    refuse_without(context, "blocks", needs="--mode last-blocks", there=mode == "last-blocks")
    refuse_without(context, "rank", needs="--mode lora", there=mode == "lora")
    refuse_without(context, "partial", needs="--labels", there=labels is not None)
    refuse_without(
        context, "seeds restart tensorboard", needs="a training, of which --dry-run and --advise only speak",
        there=not (dry_run or advise),
    )  # fmt: skip
    asked = FinetuneRequest(
        data=data,
        network=NetworkOptions(
            backbone, None if weights is None else str(weights), seed, pool, slices,
            fit,  # type: ignore[arg-type]  # checked there
            offline, trust_remote_code,
        ),
        options=FinetuneOptions(
            mode, epochs, batch_size, lr, layer_decay, weight_decay, label_smoothing, patience, max_minutes,
            class_weight, loss, sampler, augment, from_probe, blocks, rank, train_batch_norm, soup,
        ),
        question=Question(
            task=task, labels=labels, drop=drop, keep=keep, relabel=relabel, partial=partial, classes=classes
        ),
        opened=DataOptions.of(
            size=size, data_root=data_root, offline=offline, name=name, intensity=intensity, path_column=path_column,
            label_column=label_column, split_column=split_column, patient_column=patient_column, volumes=volumes,
        ),
        precision=precision,
        device=device,
        shots=shots,
        resamples=resamples,
        cache_dir=cache_dir,
    )  # fmt: skip
    if dry_run or advise:
        _before(asked, advise=advise, json=json)
    else:
        _tune(asked, seeds=seeds, restart=restart, tensorboard=tensorboard, wide=wide, json=json)


def _tune(
    asked: FinetuneRequest, *, seeds: int, restart: bool, tensorboard: Path | None, wide: bool, json: bool
) -> None:
    progress = for_terminal()
    progress.start(1, "starting torch", "libraries")
    from medfeat.workflows.finetune import tune

    progress.finish()
    report = tune(asked, seeds=seeds, restart=restart, tensorboard=tensorboard, progress=progress)
    if json:
        output.as_json(report.to_dict())
    else:
        output.tables(report.tables(), wide=wide)
        if report.reused:
            output.note(f"{report.reused} unchanged runs were reused, {len(report.runs) - report.reused} were made")


def _before(asked: FinetuneRequest, *, advise: bool, json: bool) -> None:
    """Say what a training would take, or whether it is worth trying, and train nothing."""
    from medfeat.workflows.tuning.finetune_advice import Advice
    from medfeat.workflows.tuning.finetune_advice import advise as weigh
    from medfeat.workflows.tuning.finetune_plan import FinetunePlan, plan

    found: Advice | FinetunePlan = (weigh if advise else plan)(asked, progress=for_terminal())
    if json:
        output.as_json(found.to_dict())
    else:
        output.lines(found.lines())
