"""A fine-tuned network as a run: its embeddings are a store, its head scores them, and the protocol is a probe's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from medfeat.evaluation.judging.probe_store import Cost, record
from medfeat.evaluation.judging.protocol import read_test, refuse_bad
from medfeat.evaluation.runs import wording
from medfeat.evaluation.runs import write_run as recording
from medfeat.evaluation.runs.choice import RULE, Choice, Tried
from medfeat.evaluation.runs.places import run_folder
from medfeat.evaluation.runs.reuse import believed_run
from medfeat.evaluation.runs.run import Run, RunSpec, task_digest
from medfeat.tasks import Samples, gather
from medfeat.types import Fitted, Progress, SilentProgress, Task
from medfeat_cache import FeatureStore, canonical_json

HEAD = "finetune"


@dataclass(frozen=True)
class Tuning:
    """What evaluation has to know of a training.

    Attributes
    ----------
    settings
        Plain JSON values; what is shown as chosen on val is among them.
    model
        The tuned head, features in and scores out.
    epochs
        Val scores by epoch, the start first.
    best
        Number of the epoch that val chose.
    averaged
        Numbers of the epochs whose average val preferred to the best one, which is among them, and the average's val
        scores; None where it preferred none.
    start
        The frozen run it started beside: its key, its costs and its cautions go along.
    cost
        Of the training.
    notes
        What must be said beside the scores.
    """

    settings: Mapping[str, Any]
    model: Fitted
    epochs: Sequence[tuple[float, float]]
    best: int
    start: Run
    cost: Cost
    notes: tuple[str, ...] = ()
    averaged: tuple[tuple[int, ...], tuple[float, float]] | None = None


def record_tuned(
    store: FeatureStore,
    task: Task,
    root: Path,
    tuning: Tuning,
    *,
    seed: int,
    resamples: int,
    progress: Progress | None = None,
) -> Run:
    """Write a tuned network's run: the choice first, then test is read, once.

    Parameters
    ----------
    store
        Made with the tuned weights.
    task
        The question it was tuned on.
    root
        Of the cache.
    tuning
        The training.
    seed, resamples
        Of the bootstrap.
    progress
        Told of resamples.
    """
    # How it was tuned stands for what its head does: two trainings may end in the same weights.
    digest = hashlib.blake2b(canonical_json(dict(tuning.settings)).encode(), digest_size=16).hexdigest()
    spec = RunSpec(store.digest, task_digest(task), HEAD, seed, False, resamples, head_digest=digest)
    folder = run_folder(root, store.recipe["dataset"], spec.key)
    found = believed_run(folder, progress)
    if found is not None:
        return found
    samples = gather(store, task)
    with recording.writing(folder) as hidden:
        scored = read_test(samples, _choice(samples, tuning), lambda choice: recording.write_choice(hidden, choice))
        run = record(
            samples,
            scored,
            store=store,
            spec=spec,
            cost=tuning.cost,
            hidden=hidden,
            progress=progress or SilentProgress(),
            complete=lambda run: _completed(run, tuning),
        )
    return replace(run, folder=folder)


def _choice(samples: Samples, tuning: Tuning) -> Choice:
    val = samples.val
    refuse_bad(val.X, "val")
    tried = tuple(Tried({"epoch": i}, *both, float(i)) for i, both in enumerate(tuning.epochs))
    mode, lr = tuning.settings["mode"], tuning.settings["lr"]
    chosen = replace(tried[tuning.best], settings={"mode": mode, "epoch": tuning.best, "lr": lr})
    if tuning.averaged is not None:
        epochs, scores = tuning.averaged
        average = Tried({"average of epochs": list(epochs)}, *scores, float(len(tried)))
        tried = (*tried, average)
        chosen = replace(average, settings={**chosen.settings, **average.settings})
    rule = RULE[samples.task.task_type == "regression"].replace("the simpler model", "the earlier epoch")
    return Choice(chosen, tried, rule, tuning.model, np.asarray(tuning.model.scores(val.X), np.float64))


def _completed(run: Run, tuning: Tuning) -> Run:
    start = tuning.start
    protocol = {**run.protocol, "training": wording.training(HEAD), "fine_tuning": dict(tuning.settings)}
    costs = {**run.costs, "start": {"run": start.key, **start.costs}}
    # Of the weights before: that these were tuned on the dataset is what the run is about.
    return replace(run, protocol=protocol, costs=costs, cautions=start.cautions, notes=(*run.notes, *tuning.notes))
