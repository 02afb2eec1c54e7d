"""`medfeat finetune`: train a backbone further from its cached linear probe, and put both side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfeat.errors import UsageError
from medfeat.evaluation.measures.bootstrap import RESAMPLES
from medfeat.evaluation.runs.run import task_digest
from medfeat.extraction.network.device import resolve_device
from medfeat.finetuning.board import require_board
from medfeat.saying import SaidOnce, heard
from medfeat.tasks import few_shot
from medfeat.types import Progress, Task
from medfeat.workflows.asking.data_options import DataOptions
from medfeat.workflows.asking.given_names import refuse_objects
from medfeat.workflows.asking.question import Question
from medfeat.workflows.extract import extract_wanted
from medfeat.workflows.tuning.finetune_report import FinetuneReport
from medfeat.workflows.tuning.finetune_request import FROM_PROBE, FinetuneOptions, FinetuneRequest, NetworkOptions
from medfeat.workflows.tuning.finetune_start import Start
from medfeat.workflows.tuning.finetune_training import TrainingJob, Tuned, train
from medfeat_cache import FeatureStore, canonical_json, make_folder, resolve_root, slug
from medfeat_cache.lock import Lock

TUNED = "tuned"


def finetune(
    data: str | Path,
    backbone: str,
    *,
    mode: str = "full",
    weights: str | Path | None = None,
    size: int | None = None,
    pool: str | None = None,
    slices: str | None = None,
    fit: str = "whole",
    precision: str = "auto",
    epochs: int | None = None,
    max_minutes: float | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    layer_decay: float | None = None,
    weight_decay: float | None = None,
    smoothing: float | None = None,
    patience: int | None = None,
    soup: int = 1,
    class_weight: str = "none",
    loss: str = "ce",
    sampler: str = "shuffled",
    augment: str | None = None,
    from_probe: str = "auto",
    blocks: int = 0,
    rank: int = 8,
    train_batch_norm: bool = False,
    seed: int = 0,
    seeds: int = 1,
    restart: bool = False,
    tensorboard: str | Path | None = None,
    task: str | Task | None = None,
    labels: str | Path | None = None,
    relabel: str | None = None,
    keep: str | None = None,
    drop: str | None = None,
    partial: bool = False,
    classes: str | Sequence[str] | None = None,
    shots: int | None = None,
    resamples: int = RESAMPLES,
    device: str = "auto",
    data_root: str | Path | None = None,
    cache_dir: str | Path | None = None,
    offline: bool = False,
    trust_remote_code: bool = False,
    name: str | None = None,
    intensity: str | None = None,
    path_column: str | None = None,
    label_column: str | Sequence[str] | None = None,
    split_column: str | None = None,
    patient_column: str | None = None,
    volumes: str | None = None,
    progress: Progress | None = None,
) -> FinetuneReport:
    """Train a network further on a dataset's own question, and evaluate it as its linear probe is.

    Parameters
    ----------
    data, size, data_root, name, intensity, path_column, label_column, split_column, patient_column, volumes
        One dataset, as `medfeat.extract` takes it, with the options that say how own images are read.
    backbone, weights, pool, slices, fit, precision, offline, trust_remote_code
        One network and how images reach it, as `medfeat.extract` takes them.
    mode, epochs, max_minutes, batch_size, lr, layer_decay, weight_decay, smoothing, patience, soup
        How to train: see `tuning.finetune_request.FinetuneOptions`; None means what suits the network.
    class_weight, loss, sampler, augment, from_probe, blocks, rank, train_batch_norm
        The same.
    seed, seeds
        The first seed and how many: each is a training and a run of its own.
    restart
        Forget an unfinished training instead of going on with it.
    tensorboard
        Folder in which TensorBoard finds a curve a training; needs the extra of that name.
    task, labels, relabel, keep, drop, partial, classes
        The question, as `medfeat.probe` takes it; for own images without `labels`, `task` and `classes` say what their
        own mean.
    shots
        Train on so many samples a class, drawn by `seed`.
    resamples
        Of the bootstrap.
    device
        ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
    cache_dir
        Where stores, runs and tuned weights live.
    progress
        Told of epochs, batches and resamples. None is a bar in a notebook and a log elsewhere;
        `medfeat.types.SilentProgress()` shows nothing.

    Returns
    -------
    FinetuneReport
        A run a seed, the linear probe they started from, and the paired difference of both on the same test set.

    Raises
    ------
    UsageError
        Options that cannot be meant, or an unfinished training with other ones.
    DivergedError
        The loss became NaN.
    MissingExtraError
        `tensorboard` was asked for and is not installed.
    """
    refuse_objects(tuned_data=data, tuned_backbone=backbone, labels=labels)
    asked = FinetuneRequest(
        data=str(data),
        network=NetworkOptions(
            backbone, None if weights is None else str(weights), seed, pool, slices, fit, offline, trust_remote_code,  # type: ignore[arg-type]  # checked there
        ),
        options=FinetuneOptions(
            mode, epochs, batch_size, lr, layer_decay, weight_decay, smoothing, patience, max_minutes, class_weight,
            loss, sampler, augment, from_probe, blocks, rank, train_batch_norm, soup,
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
    return tune(asked, seeds=seeds, restart=restart, tensorboard=tensorboard, progress=progress)


def tune(
    asked: FinetuneRequest,
    *,
    seeds: int = 1,
    restart: bool = False,
    tensorboard: str | Path | None = None,
    progress: Progress | None = None,
) -> FinetuneReport:
    """Do what `finetune` says, with what is asked in one value."""
    if tensorboard is not None:
        require_board()
    if seeds < 1:
        raise UsageError(f"--seeds must be 1 or more, got {seeds}")
    board = None if tensorboard is None else Path(tensorboard)
    said_once = SaidOnce(heard(progress))  # the dataset is opened and embedded before and after a training
    bench = _Bench(asked, resolve_root(asked.cache_dir), said_once, board)
    return bench.run(range(asked.network.seed, asked.network.seed + seeds), restart=restart)


@dataclass(frozen=True)
class _Bench:
    """One dataset and one network: what is embedded, trained and evaluated with them."""

    asked: FinetuneRequest
    root: Path
    progress: Progress
    board: Path | None = None

    def run(self, seeds: range, *, restart: bool) -> FinetuneReport:
        """Embed, probe, train a network a seed, and report."""
        asked, from_probe = self.asked, self.asked.options.from_probe
        frozen = self.embedded(asked.network.weights, asked.precision)
        found: list[Tuned] = []
        with FeatureStore(frozen) as store:
            task = asked.asked.of(store)
            if asked.shots is not None:
                task = few_shot(task, asked.shots, seed=seeds.start).task
            probe = Start.of(
                store, task, self.root, seed=seeds.start, resamples=asked.resamples, progress=self.progress
            )
            start = probe if from_probe in FROM_PROBE else probe.from_run(self.root, from_probe)
            for seed in seeds:
                found.append(self._one(store, task, start, seed, restart=restart))
        return FinetuneReport.of([one.run for one in found], probe.run, reused=sum(one.reused for one in found))

    def embedded(self, weights: str | Path | None, precision: str) -> Path:
        """Return the store of the dataset through the network with some weights."""
        wanted = self.asked.wanted(weights, precision)
        report = extract_wanted(wanted, device=self.asked.device, progress=self.progress)
        if len(report.stores) != 1:
            raise UsageError(
                f"fine-tuning takes one dataset, one pooling and one slice policy, got {len(report.stores)}"
            )
        return report.stores[0].path

    def _one(self, store: FeatureStore, task: Task, start: Start, seed: int, *, restart: bool) -> Tuned:
        asked = self.asked
        dataset = asked.opening.open(asked.data, root=self.root, progress=self.progress)
        folder = self.root / TUNED / slug(dataset.info.name)
        job = TrainingJob(
            store=store,
            task=task,
            start=start,
            dataset=dataset,
            network=asked.network,
            options=asked.options,
            seed=seed,
            device=resolve_device(asked.device),
            root=self.root,
            folder=folder,
            resamples=asked.resamples,
            progress=self.progress,
            board=self.board,
        )
        identity = {"store": store.digest, "task": task_digest(task), "mode": asked.options.mode, "seed": seed}
        unfinished = folder / f".unfinished-{_digest(identity)}"
        with _alone(unfinished, self.progress):
            return train(job, unfinished, identity, embed=self.embedded, restart=restart)


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.blake2b(canonical_json(facts).encode(), digest_size=6).hexdigest()


@contextmanager
def _alone(folder: Path, progress: Progress) -> Iterator[None]:
    """Let one process at a time train in a folder; another waits, and then finds what was done."""
    make_folder(folder.parent)
    lock = Lock(folder.with_name(f"{folder.name}.lock"))
    lock.acquire(on_wait=progress.say)
    try:
        yield
    finally:
        lock.release()
