"""One training from its start to its run: assemble, train, export, embed with the tuned weights, evaluate."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medfeat.backbones import Backbone, describe, load_backbone
from medfeat.backbones.weights.own_weights import KNOWN, facts_to_keep
from medfeat.backbones.weights.weights_file import tuning_of
from medfeat.cost import EnergyMeter
from medfeat.counted import counted
from medfeat.datasets.changes import allowed_for
from medfeat.evaluation.judging.tuned import Tuning, record_tuned
from medfeat.evaluation.runs.run import Run
from medfeat.extraction.network.device import describe_machine, peak_memory
from medfeat.extraction.network.volumes import views_for
from medfeat.finetuning.assemble import (
    ActivationFeed,
    FeatureFeed,
    ImageFeed,
    cached_activations,
    head_alone,
    learning_units,
    preparation,
    tunable,
)
from medfeat.finetuning.augment import augmentation
from medfeat.finetuning.board import board
from medfeat.finetuning.checkpoint import Epoch, Keeper
from medfeat.finetuning.cut import Cut
from medfeat.finetuning.defaults import TuningFamily, family_of, warning
from medfeat.finetuning.images import gathered
from medfeat.finetuning.loop import Feed, Trained, Training, TrainingSplit
from medfeat.finetuning.lora import merge_low_rank
from medfeat.finetuning.losses import is_imbalanced
from medfeat.finetuning.training_settings import TrainingSettings
from medfeat.finetuning.tunable import Tunable
from medfeat.tasks import gather
from medfeat.types import Dataset, Progress, Task, View
from medfeat.workflows.tuning.finetune_request import FinetuneOptions, NetworkOptions
from medfeat.workflows.tuning.finetune_start import Start, ValJudge
from medfeat.workflows.tuning.tuned_folder import FORMAT, VERSION, finish, finished_run, write_network
from medfeat_cache import FeatureStore, canonical_json, slug

Embed = Callable[[Path, str], Path]


@dataclass(frozen=True)
class TrainingJob:
    """One network on one question with one seed.

    Attributes
    ----------
    store, task, start
        Frozen features, the question, and the head they gave.
    dataset
        Where the images are.
    network, options, seed
        What is trained, and how.
    device, root, folder
        Where: the device, the cache, and the folder of the dataset's tuned networks.
    resamples
        Of the bootstrap.
    progress
        Hears of everything.
    board
        Folder for TensorBoard; None for none.
    """

    store: FeatureStore
    task: Task
    start: Start
    dataset: Dataset
    network: NetworkOptions
    options: FinetuneOptions
    seed: int
    device: torch.device
    root: Path
    folder: Path
    resamples: int
    progress: Progress
    board: Path | None = None


@dataclass(frozen=True)
class Tuned:
    """A run, and whether it was found instead of made."""

    run: Run
    reused: bool = False


def train(job: TrainingJob, unfinished: Path, identity: Mapping[str, Any], *, embed: Embed, restart: bool) -> Tuned:
    """Train, or find the training that was done before.

    Parameters
    ----------
    job
        What and how.
    unfinished
        Where its checkpoints are until it is done.
    identity
        What makes it this training whatever its settings.
    embed
        Returns the dataset's store through the network with some weights, at some precision.
    restart
        Forget what a killed training left.
    """
    backbone = _backbone(job)
    settings = _settings(job, backbone)
    facts: dict[str, Any] = {**identity, "settings": settings.to_dict()}
    folder = job.folder / _key(facts)
    found = finished_run(folder)
    if found is not None:
        if unfinished.is_dir():  # a kill fell between the run and the end of its checkpoints
            Keeper(unfinished, settings).forget_own()
        return Tuned(found, reused=True)
    keeper = Keeper(unfinished, settings)
    if restart:
        keeper.forget()
    meter, started = EnergyMeter(str(job.device)), time.perf_counter()
    with _assembled(job, backbone, settings, keeper) as training, _watched(job) as training.told:
        trained = training.run()
    cost = _cost(job, trained, meter, time.perf_counter() - started)
    if trained.out_of_time:  # written as it is, beside what goes on from here
        facts["stopped_after"] = trained.epochs[-1].number
        folder = job.folder / _key(facts)
    merge_low_rank(backbone.module)
    weights = write_network(folder, backbone.module.network, _story(backbone, job, facts, trained))  # type: ignore[arg-type]  # what every embedder has
    run = _evaluated(job, embed(weights, job.store.recipe["precision"]), training.model, settings, trained, cost=cost)
    finish(folder, run, facts, trained)
    if not trained.out_of_time:
        keeper.forget()
        unfinished.rmdir()
    return Tuned(run)


@contextmanager
def _watched(job: TrainingJob) -> Iterator[Callable[[Epoch], None]]:
    """Yield what hears of every epoch: a board, where one was asked for."""
    if job.board is None:
        yield lambda _epoch: None
        return
    name = f"{job.dataset.info.name}-{job.network.backbone}-{job.options.mode}-seed{job.seed}"
    with board(job.board / slug(name), job.start.run.headline) as told:
        yield told


def _cost(job: TrainingJob, trained: Trained, meter: EnergyMeter, seconds: float) -> dict[str, Any]:
    """Return what training cost, reading images and the frozen trunk included, over all runs of the command."""
    energy = meter.read(str(job.device))
    whole = trained.earlier + seconds
    return {
        "seconds": round(whole, 3),
        "device": str(job.device),
        "device_name": describe_machine(job.device).name,
        "energy_wh": None if energy.watt_hours is None else energy.watt_hours * whole / seconds,
        "energy_method": energy.method,
        "peak_memory_bytes": peak_memory(job.device),
        "samples_a_pass": trained.state.micro,
    }


def _key(facts: Mapping[str, Any]) -> str:
    return hashlib.blake2b(canonical_json(dict(facts)).encode(), digest_size=6).hexdigest()


def _backbone(job: TrainingJob) -> Backbone:
    options = job.network
    view = View(None, options.pool, options.slices)
    return load_backbone(
        options.backbone,
        views=views_for((view,), job.dataset.info, describe(options.backbone)),
        weights=options.weights,
        seed=options.seed,
        offline=options.offline,
        trust_remote_code=options.trust_remote_code,
        progress=job.progress,
    )


def _settings(job: TrainingJob, backbone: Backbone) -> TrainingSettings:
    info = job.dataset.info
    family: TuningFamily = family_of(backbone.module)
    head = job.start.head(job.task.task_type)
    targets = job.start.targets(job.task.labels[job.task.split == "train"], job.task)
    # Measured while the frozen features were made: where half precision agreed there, training runs in bf16.
    precision = "fp32" if job.store.recipe["precision"] == "fp32" else "bf16"
    settings = job.options.settings(
        family,
        seed=job.seed,
        start=job.start.run.key,
        precision=precision,
        changes=allowed_for(info.name, info.ndim).changes,
        balanced=is_imbalanced(head.link, targets),
    )
    loud = warning(family, settings.mode, settings.lr)
    if loud is not None:
        job.progress.say(loud)
    return settings


@contextmanager
def _assembled(job: TrainingJob, backbone: Backbone, settings: TrainingSettings, keeper: Keeper) -> Iterator[Training]:
    """Yield the training, ready to run; images are on disk only while it does."""
    samples = gather(job.store, job.task)
    train, val = samples.train, samples.val
    start = job.start.head(job.task.task_type)
    start = start if settings.start else start.at_zero()
    targets = job.start.targets(train.y, job.task)
    common: dict[str, Any] = {
        "judge": ValJudge(job.start, val.y, job.task.task_type),
        "keeper": keeper,
        "device": job.device,
        "progress": job.progress,
        "max_seconds": None if job.options.max_minutes is None else 60 * job.options.max_minutes,
    }
    if settings.mode == "head" and not settings.augment:
        yield Training(
            head_alone(start).to(job.device),
            settings,
            train=TrainingSplit(FeatureFeed(train.X, job.device), len(train.ids), targets),
            val=TrainingSplit(FeatureFeed(val.X, job.device), len(val.ids)),
            **common,
        )
        return
    model = tunable(backbone, start, settings, job.device)
    prepare = preparation(backbone, job.network.fit, job.device, volumes=job.dataset.info.ndim == 3)
    counts = len(train.ids), len(val.ids)
    with gathered(job.dataset, np.concatenate([train.ids, val.ids]), keeper.folder, job.progress) as images:
        feed = ImageFeed(images, prepare)
        augment = augmentation(settings.augment) if settings.augment else None
        with _fed(model, feed, counts, settings, folder=keeper.folder, job=job) as (part, feeds):
            yield Training(
                part,
                settings,
                train=TrainingSplit(feeds[0], counts[0], targets),
                val=TrainingSplit(feeds[1], counts[1]),
                augment=augment,
                **common,
            )


@contextmanager
def _fed(
    model: Tunable,
    feed: ImageFeed,
    counts: tuple[int, int],
    settings: TrainingSettings,
    *,
    folder: Path,
    job: TrainingJob,
) -> Iterator[tuple[Tunable, tuple[Feed, Feed]]]:
    """Yield what runs in every epoch and what it is fed: the whole network, or last blocks and cached activations."""
    of_images = feed, replace(feed, first=counts[0])
    if settings.mode != "last-blocks":
        yield model, of_images
        return
    sample = feed(np.arange(min(2, counts[0]))).inputs[:2]
    model.eval()
    place = learning_units(model.network, sample, settings.blocks)
    if settings.augment or job.dataset.info.ndim == 3:
        why = "images change in every epoch" if settings.augment else "slices are too many to keep"
        job.progress.say(
            f"{why}: the frozen trunk runs again in each, at most twice as long (--augment none caches it)"
        )
        yield model, of_images
        return
    cut = Cut(model.network, place, sample)
    part = Tunable(cut.tail, model.head, train_batch_norm=settings.train_batch_norm)
    with cached_activations(cut, feed, sum(counts), settings, folder=folder, progress=job.progress) as kept:
        cached = ActivationFeed(kept, job.device)
        yield part, (cached, replace(cached, first=counts[0]))


def _story(backbone: Backbone, job: TrainingJob, facts: Mapping[str, Any], trained: Trained) -> dict[str, Any]:
    """Say what the tuned weights were made from; their file carries it along."""
    info, dataset = backbone.info, job.dataset.info.name
    seen = tuple(dict.fromkeys((*info.overlap, dataset)))
    return {
        "format": FORMAT,
        "version": VERSION,
        "backbone": job.network.backbone,
        "source_id": info.source_id,
        "started_from": _parent(backbone, job),
        "dataset": dataset,
        KNOWN: facts_to_keep(f"{info.pretraining}, then tuned by medfeat on {dataset}", info.licence, seen),
        "epoch": trained.best,
        **({} if trained.soup is None else {"average_of_epochs": list(trained.soup.epochs)}),
        **facts,
    }


def _parent(backbone: Backbone, job: TrainingJob) -> dict[str, Any]:
    """Say which weights a training started from; own tuned ones carry their own story along."""
    info = backbone.info
    told = None if info.origin != "file" else tuning_of(str(job.network.weights))
    facts = {"weights_digest": info.weights_digest, "origin": info.origin, "pretraining": info.pretraining}
    return facts if told is None else facts | {"origin": "tuned by medfeat", "tuned": told}


def _evaluated(
    job: TrainingJob, path: Path, model: Tunable, settings: TrainingSettings, trained: Trained, *, cost: dict[str, Any]
) -> Run:
    shown = {name: value for name, value in settings.to_dict().items() if name != "seed"}
    soup = trained.soup
    tuning = Tuning(
        settings=shown | ({"stopped_after": trained.epochs[-1].number} if trained.out_of_time else {}),
        model=job.start.tuned(model.head.values()),
        epochs=[(epoch.first, epoch.second) for epoch in trained.epochs],
        best=trained.best,
        start=job.start.run,
        cost=cost,
        notes=tuple(_notes(settings, trained)),
        averaged=None if soup is None else (soup.epochs, (soup.first, soup.second)),
    )
    with FeatureStore(path) as store:
        return record_tuned(
            store, job.task, job.root, tuning, seed=job.seed, resamples=job.resamples, progress=job.progress
        )


def _notes(settings: TrainingSettings, trained: Trained) -> Iterator[str]:
    if trained.soup is not None:
        yield f"{settings.mode}: the average of epochs {trained.soup.said} is better on val than the best of them"
    elif settings.soup > 1:
        yield f"{settings.mode}: no average of the {settings.soup} best epochs beats the best of them on val"
    if trained.best == 0 and trained.soup is None:
        yield f"{settings.mode}: none of {len(trained.epochs) - 1} epochs beats the start on val, which is kept"
    if trained.stopped:
        reached = f"{trained.epochs[-1].number} of {settings.epochs}"
        yield f"{settings.mode}: stopped after epoch {reached}: {trained.stopped}"
    if trained.state.micro < settings.batch_size:
        fitting = counted(trained.state.micro, "sample")
        yield f"{settings.mode}: memory allowed {fitting} a pass; gradients were added up"
