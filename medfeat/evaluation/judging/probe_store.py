"""One head on one store and one task, from the protocol to a run's folder."""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from medfeat.cost import EnergyMeter
from medfeat.counted import counted
from medfeat.errors import DataError, UsageError
from medfeat.evaluation.judging.baselines import looking_at_nothing, majority_scores
from medfeat.evaluation.judging.cross_validation import FOLDS, VAL, check_way, choose_by, way_for
from medfeat.evaluation.judging.protocol import run_protocol
from medfeat.evaluation.judging.reading import gather_for, stored_shape
from medfeat.evaluation.measures.bootstrap import RESAMPLES, check_draws
from medfeat.evaluation.measures.evaluate import Metrics, evaluate
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.measures.statistics import statistics, value
from medfeat.evaluation.runs import wording
from medfeat.evaluation.runs import write_run as recording
from medfeat.evaluation.runs.card import CARD_FILE, card
from medfeat.evaluation.runs.choice import Scored
from medfeat.evaluation.runs.places import run_folder
from medfeat.evaluation.runs.reuse import believed_run
from medfeat.evaluation.runs.run import MODEL_FOLDER, NOT_SAVED, Run, RunSpec, headline, task_digest
from medfeat.evaluation.runs.saved_probe import write_probe
from medfeat.heads import head_identity, refuse_unsuited, trusted_types, weighted_head
from medfeat.heads.class_weights import NONE, check_class_weight
from medfeat.heads.devices import has_gpu
from medfeat.heads.saving import save_model
from medfeat.heads.texts import TextSource
from medfeat.tasks import OFFICIAL, Samples
from medfeat.tasks.readable import Probed
from medfeat.types import Head, Progress, SilentProgress, Task
from medfeat_cache import averaged_in_words

Cost = dict[str, Any]
_COST_KEYS = (
    "seconds", "energy_wh", "energy_method", "images_per_second", "device", "device_name", "precision",
    "peak_memory_bytes",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """How to probe.

    Attributes
    ----------
    head
        A name from `medfeat.heads.HEADS`.
    seed
        Of the head and of the bootstrap.
    refit
        Fit the chosen settings again on train and val.
    resamples
        Of the bootstrap; 0 for no intervals.
    choose
        ``val``, ``cv`` or ``auto``: see `medfeat.evaluation.judging.cross_validation.choose_by`.
    class_weight
        ``none``, ``balanced`` or ``auto``: see `medfeat.heads.class_weights`.
    budget
        Seconds of one core for heads that know budgets; None for all they would try.
    texts
        For heads that compare images with texts.
    asked
        The question in the words of the command, which are kept with the run; they are no part of its key.

    Raises
    ------
    UsageError
        A seed below 0, so few resamples that they have no percentiles, or no such way to choose or to weigh.
    """

    head: str = "linear"
    seed: int = 0
    refit: bool = False
    resamples: int = RESAMPLES
    choose: str = VAL
    class_weight: str = NONE
    budget: float | None = None
    texts: TextSource | None = None
    asked: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        check_draws(self.seed, self.resamples)
        check_way(self.choose)
        check_class_weight(self.class_weight)
        if self.budget is not None and not 0 < self.budget < math.inf:
            raise UsageError(f"--budget is a number of seconds above 0, got {self.budget}")


def probe_store(store: Probed, task: Task, root: Path, options: Options, *, progress: Progress | None = None) -> Run:
    """Probe one store, or return the run that did so before.

    Parameters
    ----------
    store
        Open for reading.
    task
        The question.
    root
        Of the cache; the run's folder appears below it.
    options
        How.
    progress
        Told of candidates and resamples.

    Returns
    -------
    Run
        With `reused` set when nothing had to be done.
    """
    progress = progress or SilentProgress()
    found = existing_run(store, task, root, options, progress=progress)
    if found is not None:
        # A run of before these were said says them too.
        return replace(found, cautions=tuple(dict.fromkeys((*found.cautions, *wording.class_cautions(task)))))
    spec = _spec(store, task, options)
    folder = run_folder(root, store.recipe["dataset"], spec.key)
    if not folder.is_relative_to(root):
        progress.say(f"{root} cannot be written: the run goes to {folder}")
    head = weighted_head(options.head, options.class_weight, options.budget, options.texts)
    samples = gather_for(head, store, task)
    refuse_unsuited(options.head, task.task_type)  # before it is named: of all heads, some are left out
    network = wording.network(str(store.recipe["backbone"]), wording.weights(store.info))
    progress.say(f"probing {store.recipe['dataset']} / {network} / {options.head}")
    with recording.writing(folder) as hidden:
        run = _probe(samples, store, spec, hidden, head=head, asked=options.asked, progress=progress)
    return replace(run, folder=folder)


def existing_run(
    store: Probed, task: Task, root: Path, options: Options, *, progress: Progress | None = None
) -> Run | None:
    """Return the run that answered this question before; None when there is none that can be believed.

    One that cannot be read, or whose files are not those that were written, is named to `progress`.
    """
    return believed_run(run_folder(root, store.recipe["dataset"], _spec(store, task, options).key), progress)


def _spec(store: Probed, task: Task, options: Options) -> RunSpec:
    return RunSpec(
        store.digest,
        task_digest(task),
        options.head,
        options.seed,
        options.refit,
        options.resamples,
        head_digest=head_identity(options.head, options.budget),
        choose=way_for(options.choose, int((task.split == "val").sum())),
        class_weight=options.class_weight,
        texts="" if options.texts is None else options.texts.digest,
    )


def _probe(
    samples: Samples,
    store: Probed,
    spec: RunSpec,
    hidden: Path,
    *,
    head: Head,
    asked: Mapping[str, Any] | None,
    progress: Progress,
) -> Run:
    left_out = _left_out(head, samples, spec.choose)
    for line in left_out:
        progress.say(line)
    meter, started = EnergyMeter("cpu", *(["cuda"] if has_gpu() else [])), time.perf_counter()
    scored = run_protocol(
        samples,
        head,
        write_down=lambda choice: recording.write_choice(hidden, choice),
        choosing=partial(choose_by, spec.choose),
        refit=spec.refit and spec.choose == VAL,
        seed=spec.seed,
        progress=progress,
    )
    device = getattr(scored.choice.model, "device_", "cpu")
    energy, seconds = meter.read(device), time.perf_counter() - started
    cost = {
        "seconds": round(seconds, 3),
        "device": device,
        "energy_wh": energy.watt_hours,
        "energy_method": energy.method,
    }
    budget = getattr(head, "budget", None)  # only a head that was made for one has one

    def told(run: Run) -> Run:
        task = run.task if asked is None else {**run.task, "asked": dict(asked)}
        run = replace(run, task=task, notes=(*run.notes, *left_out))
        return run if budget is None else replace(run, protocol={**run.protocol, "budget": budget})

    return record(samples, scored, store=store, spec=spec, cost=cost, hidden=hidden, progress=progress, complete=told)


def _left_out(head: Head, samples: Samples, choose: str) -> list[str]:
    """Return what a head of several leaves out on these samples, a line each."""
    says: Callable[..., list[str]] | None = getattr(head, "left_out", None)
    if says is None:
        return []
    task, X = samples.task, samples.X("train")
    n = len(X) if choose == VAL else (len(X) + len(samples.ids("val"))) * (FOLDS - 1) // FOLDS
    return says(task.task_type, n, X.shape[1], len(task.classes))


def record(
    samples: Samples,
    scored: Scored,
    *,
    store: Probed,
    spec: RunSpec,
    cost: Cost,
    hidden: Path,
    progress: Progress,
    complete: Callable[[Run], Run] = lambda run: run,
) -> Run:
    """Evaluate what was scored and write everything a run keeps into its folder.

    Parameters
    ----------
    samples, scored
        The store joined with the task, the choice, and the scores of test.
    store, spec
        What was asked.
    cost
        Of the training: seconds, device, energy.
    hidden
        The folder that becomes the run's.
    progress
        Told of resamples.
    complete
        Adds what only the caller knows, before anything is written.
    """
    found = _metrics(scored, samples.task, spec, progress)
    run = complete(_run(samples, scored, store=store, spec=spec, found=found, cost=cost))
    recording.write_scores(hidden, scored)
    recording.write_attention(hidden, scored, samples)
    run = _saved(scored, run, store, hidden)
    _write_official(hidden, scored, run, store)
    recording.write_run(hidden, run)
    return run


def _saved(scored: Scored, run: Run, store: Probed, hidden: Path) -> Run:
    """Save the head beside its run; one that has no form that loads without running code is noted in the run."""
    try:
        save_model(scored.choice.model, hidden / MODEL_FOLDER, trusted=trusted_types(run.head))
        write_probe(run, store.info, hidden / MODEL_FOLDER)
    except DataError as error:
        run = replace(run, notes=(*run.notes, f"{NOT_SAVED}: {error}"))
    (hidden / CARD_FILE).write_text(card(run, store.info), encoding="utf-8")
    return run


def _metrics(scored: Scored, task: Task, spec: RunSpec, progress: Progress) -> tuple[Metrics, Metrics]:
    """Evaluate both splits; temperature and thresholds for test come from val."""
    val = LabelledScores.of(scored.val.y, scored.choice.val_scores, task.task_type)
    test = LabelledScores.of(scored.test.y, scored.test_scores, task.task_type)
    facts: dict[str, Any] = {"seed": spec.seed, "resamples": spec.resamples, "progress": progress}
    of_val = evaluate(val, task.classes, groups=scored.val.group, **facts)
    of_test = evaluate(test, task.classes, val=val, val_groups=scored.val.group, groups=scored.test.group, **facts)
    return of_val, of_test


def _run(
    samples: Samples, scored: Scored, *, store: Probed, spec: RunSpec, found: tuple[Metrics, Metrics], cost: Cost
) -> Run:
    task, recipe, info = samples.task, store.recipe, store.info
    environment = info.get("environment") or {}
    return Run(
        key=spec.key,
        dataset=recipe["dataset"],
        size=int(recipe.get("size") or 0),
        backbone=recipe["backbone"],
        head=spec.head,
        store={
            "digest": store.digest,
            "dim": store.dim,
            "shape": list(stored_shape(store)),
            "embedding": wording.embedding(recipe),
            "weights": wording.weights(store.info),
            "recipe": recipe,
        },
        task={
            "name": task.name,
            "type": task.task_type,
            "classes": list(task.classes),
            "origin": task.origin,
            "digest": spec.task_digest,
            "images": task.images,
        },
        protocol=_how(spec, scored) | {"pixels": wording.pixels(recipe), "intervals": _kind_of_intervals(scored, task)},
        choice=scored.choice.to_dict(),
        val=found[0],
        test=found[1],
        baselines={looking_at_nothing(task.task_type): _majority(scored, samples)},
        costs={"extraction": {key: environment[key] for key in _COST_KEYS if key in environment}, "probe": cost},
        cautions=(*wording.cautions(recipe["dataset"], info.get("backbone") or {}), *wording.class_cautions(task)),
        notes=tuple(_notes(scored, store, found)),
        versions=recording.versions(),
        created_utc=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _notes(scored: Scored, store: Probed, found: tuple[Metrics, Metrics]) -> Iterator[str]:
    """Yield what must be said of a run beside its scores."""
    for name, metrics in zip(("val", "test"), found, strict=True):
        yield from (f"{name}: {note}" for note in metrics.notes)
    bad = len(store.info.get("bad_images") or ())
    if bad:
        yield f"{counted(bad, 'image')} could not be read and {'is' if bad == 1 else 'are'} in no score"
    averaged = averaged_in_words(store.recipe, stored_shape(store))
    if averaged and not hasattr(scored.choice.model, "attention"):
        yield averaged


def _how(spec: RunSpec, scored: Scored) -> dict[str, Any]:
    return {
        "version": spec.protocol,
        "training": wording.training(spec.head, scored.choice.chosen.settings),
        "head_digest": spec.head_digest,
        "seed": spec.seed,
        "refit": spec.refit,
        "choose": spec.choose,
        "class_weight": spec.class_weight,
        **({"texts": spec.texts} if spec.texts else {}),
        "resamples": spec.resamples,
    }


def _kind_of_intervals(scored: Scored, task: Task) -> str:
    drawn = "bootstrap" if scored.test.group is None else "cluster bootstrap"
    return drawn if task.task_type == "regression" else f"score intervals of AUC and ACC, {drawn} of the rest"


def _majority(scored: Scored, samples: Samples) -> dict[str, dict[str, float]]:
    """Score the model that looks at nothing on both splits, by the two headline metrics."""
    task = samples.task
    found = {}
    for name, labels in (("val", scored.val.y), ("test", scored.test.y)):
        scores = majority_scores(samples.train.y, len(labels), task.task_type, len(task.classes))
        every = statistics(LabelledScores.of(labels, scores, task.task_type))
        found[name] = {metric: value(every[metric], len(labels)) for metric in headline(task.task_type)}
    return found


def _write_official(hidden: Path, scored: Scored, run: Run, store: Probed) -> None:
    if run.task["type"] == "regression" or run.task["name"] != OFFICIAL:
        return
    counts = (store.info.get("dataset") or {}).get("counts") or {}
    for split, found in (("val", run.val), ("test", run.test)):
        facts: dict[str, Any] = {"flag": run.dataset, "size": run.size, "metrics": found}
        name = f"{run.backbone}-{run.head}-{run.key[:12]}"
        recording.write_official(hidden, scored, split, count=int(counts.get(split, -1)), run=name, **facts)
