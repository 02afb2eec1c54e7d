"""`medfeat probe --test-on`: a head trained on one dataset, tested on another that was embedded by the same recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.counted import counted
from medfeat.errors import UsageError
from medfeat.evaluation.judging.probe_store import Options, probe_store
from medfeat.evaluation.measures.bootstrap import RESAMPLES
from medfeat.evaluation.measures.evaluate import Metrics, evaluate
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.runs.run import Run, headline, networks_of, read_scores
from medfeat.evaluation.runs.saved_probe import SavedProbe, load_probe
from medfeat.heads import HeadsAsked, names_of_heads
from medfeat.report.run_tables import NAMES
from medfeat.report.shown import Shown
from medfeat.report.tables import Table, number, with_interval
from medfeat.saying import SaidOnce, heard
from medfeat.task_types import shortened
from medfeat.tasks import Split, align, gather
from medfeat.tasks.bags import blocks
from medfeat.types import OFFICIAL_GROUPS, FloatArray, Progress, Task
from medfeat.workflows.asking.given_names import refuse_objects
from medfeat.workflows.asking.question import Question
from medfeat.workflows.jobs.each import Failure, Overall, each
from medfeat.workflows.jobs.store_jobs import ProbeRequest, StoreJob
from medfeat.workflows.jobs.suited import only_suited
from medfeat.workflows.predict import matching_store
from medfeat.workflows.results.kept import keep_result
from medfeat.workflows.stores.store_names import shown_name
from medfeat_cache import FeatureStore, read_header

EVERYTHING = "all"


@dataclass(frozen=True)
class Transfer:
    """One head, tested elsewhere.

    Attributes
    ----------
    run
        Where it was trained, with its scores on the dataset's own test.
    onto, split, task
        Which samples it was tested on.
    elsewhere
        Its scores there; temperature and thresholds are those of the training dataset's val.
    shared
        How many of these samples show an image, byte for byte, that is in train or val: a score cannot count on them.
    cautions
        What else must be said beside the scores there.
    """

    run: Run
    onto: str
    split: str
    task: str
    elsewhere: Metrics
    shared: int
    cautions: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        facts = {"onto": self.onto, "split": self.split, "task": self.task, "shared": self.shared}
        facts["cautions"] = list(self.cautions)
        return {**facts, "run": self.run.to_dict(), "elsewhere": self.elsewhere.to_dict()}


@dataclass(frozen=True, repr=False)
class TransferReport(Shown):
    """What became of each head elsewhere, and what could not be tried."""

    transfers: tuple[Transfer, ...]
    failed: tuple[Failure[StoreJob], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "transfers": [transfer.to_dict() for transfer in self.transfers],
            "failed": [failure.to_dict() for failure in self.failed],
        }

    def tables(self) -> list[Table]:
        """Return one table for all."""
        if not self.transfers:
            return []
        best, other = headline(self.transfers[0].run.task["type"])
        names = (f"own test {NAMES[best]}", f"there {NAMES[best]}", f"there {NAMES[other]}")
        columns = ("trained on", "tested on", "n", "backbone", "head", f"val {NAMES[best]}", *names)
        notes = [
            f"{one.run.shown} and {one.onto} share {counted(one.shared, 'image')} byte for byte, in train or val there"
            for one in self.transfers
            if one.shared
        ]
        notes += dict.fromkeys(f"{one.onto}: {line}" for one in self.transfers for line in one.cautions)
        networks = networks_of(one.run for one in self.transfers)
        rows = tuple(map(_row, self.transfers, networks))
        (here, there), *others = dict.fromkeys((row[0], row[1]) for row in rows)
        title = "trained on one dataset, tested on another" if others else f"trained on {here}, tested on {there}"
        less = ("n", columns[5], names[2], "head", *columns[:2])  # the title says the last two where all rows agree
        return [Table(title, columns, rows, tuple(notes), less=less)]


def _row(one: Transfer, network: str) -> tuple[str, ...]:
    best, other = one.run.headline
    return (
        one.run.shown,
        f"{one.onto}, {one.split}",
        str(one.elsewhere.n),
        network,
        one.run.head,
        number(one.run.val.values[best].value),
        with_interval(one.run.test.values[best]),
        with_interval(one.elsewhere.values[best]),
        with_interval(one.elsewhere.values[other]),
    )


def transfer(
    data: str,
    onto: str,
    backbone: str | Sequence[str] | None = None,
    *,
    split: str = "test",
    head: HeadsAsked = None,
    size: int | None = None,
    task: str | Task | None = None,
    labels: str | Path | None = None,
    drop: str | None = None,
    keep: str | None = None,
    relabel: str | None = None,
    classes: str | Sequence[str] | None = None,
    onto_drop: str | None = None,
    onto_relabel: str | None = None,
    onto_labels: str | Path | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> TransferReport:
    """Train on one dataset's store, test on another's.

    Parameters
    ----------
    data, backbone, head, size, task, labels, drop, keep, relabel, classes, seed, resamples, cache_dir, progress
        The training side, as `medfeat.probe` takes it; an unchanged run is reused.
    onto
        The dataset to test on.
    split
        Which of its samples: ``test``, ``val``, ``train`` or ``all``.
    onto_drop, onto_relabel, onto_labels
        Map its labels; afterwards its classes must have the names of the trained ones, in any order.

    Returns
    -------
    TransferReport
        Also written under ``<cache>/runs/<data>/``.

    Raises
    ------
    UsageError
        No store of the same backbone and recipe (the data set aside), or other classes; both are named.
    """
    question = Question(task=task, labels=labels, drop=drop, keep=keep, relabel=relabel, classes=classes)
    asked = ProbeRequest(
        data=data,
        backbone=backbone,
        head=names_of_heads(head),
        size=size,
        question=question,
        seed=seed,
        cache_dir=cache_dir,
    )
    refuse_objects(onto=onto)
    there = Elsewhere(onto, split=split, drop=onto_drop, relabel=onto_relabel, labels=onto_labels)
    return transfer_of(asked, there, resamples=resamples, progress=progress)


@dataclass(frozen=True)
class Elsewhere:
    """Another dataset that a head is tested on, which of its samples, and how its labels are mapped."""

    data: str
    split: str = "test"
    drop: str | None = None
    relabel: str | None = None
    labels: str | Path | None = None

    def question(self, classes: str | Sequence[str] | None) -> Question:
        """Return what is asked there; the trained classes number those of a plain file of labels."""
        plain = self.labels is not None and self.drop is None and self.relabel is None
        return Question(labels=self.labels, drop=self.drop, relabel=self.relabel, classes=classes if plain else None)


def transfer_of(
    asked: ProbeRequest, elsewhere: Elsewhere, *, resamples: int = RESAMPLES, progress: Progress | None = None
) -> TransferReport:
    """Do what `transfer` says, with what is asked in one value; the question is saved under no name."""
    split, onto = elsewhere.split, elsewhere.data
    if split not in (*OFFICIAL_GROUPS, EVERYTHING):
        raise UsageError(f"--test-split must be one of {', '.join((*OFFICIAL_GROUPS, EVERYTHING))}, got {split!r}")
    cache, progress = asked.catalogue(), heard(progress)
    here = replace(asked.question, name=None, partial=False)
    there = elsewhere.question(here.classes)

    def tested(job: StoreJob) -> Transfer:
        options, other_path = (
            Options(job.head, asked.seed, False, resamples, asked=here.words),
            matching_store(cache, onto, job.header.recipe, job.header.info),
        )
        with FeatureStore(job.header.path) as store, FeatureStore(other_path) as other:
            run = probe_store(store, here.of(store, progress), cache.root, options, progress=progress)
            shown = shown_name(read_header(other_path), cache)
            return _test(replace(run, data=job.dataset), store, other, there, split=split, onto=shown)

    asks = replace(asked, question=here)
    jobs = only_suited(asks, asked.jobs(cache, asked.stores(cache), onto=onto), SaidOnce(progress))
    overall = Overall(progress, "transfer", len(jobs))
    done = each(jobs, tested, overall=overall)
    overall.end()
    done.raise_if_alone()
    for result in done.results:
        keep_result(cache.root, result.run.dataset, "transfer", result.to_dict())
    return TransferReport(done.results, done.failures)


def _test(run: Run, store: FeatureStore, other: FeatureStore, question: Question, *, split: str, onto: str) -> Transfer:
    if run.folder is None:
        raise UsageError(f"run {run.key[:12]} was not written: its head cannot be tested elsewhere")
    probe = load_probe(run.folder)
    places = {"here": f"in {onto}", "there": f"in {run.shown}", "how": "--test-relabel"}
    task = align(question.of(other), probe.classes, **places)
    part = _part(other, task, split)
    metrics = evaluate(
        LabelledScores.of(part.y, _scores(probe, part.X), probe.task_type),
        probe.classes,
        val=probe.val,
        val_groups=probe.val_groups,
        groups=part.group,
        seed=run.protocol["seed"],
        resamples=run.protocol["resamples"],
    )
    return Transfer(
        run, onto, split, task.name, metrics, _shared(probe, store, other, part), _class_cautions(probe, part)
    )


def _scores(probe: SavedProbe, X: FloatArray) -> NDArray[np.float64]:
    """Return the scores of features; of bags, which stay in their file, some at a time."""
    return probe.scores(X) if X.ndim == 2 else np.concatenate([probe.scores(some) for _, some in blocks(X)])


def _class_cautions(probe: SavedProbe, part: Split) -> tuple[str, ...]:
    """Say which of the trained classes are never seen there: train's own gaps stand among the run's cautions."""
    if probe.task_type == "regression":
        return ()
    numbers = np.flatnonzero(part.y.any(axis=0)) if probe.task_type == "multi-label" else np.unique(part.y)
    absent = [name for i, name in enumerate(probe.classes) if i not in numbers]
    return (f"{part.name} there never shows {shortened(absent)}",) if absent else ()


def _part(store: FeatureStore, task: Task, split: str) -> Split:
    if split != EVERYTHING:
        return gather(store, task, bags=True).split(split)
    return Split(EVERYTHING, store.take(task.ids), task.labels, task.ids, task.group)


def _shared(probe: SavedProbe, store: FeatureStore, other: FeatureStore, part: Split) -> int:
    """Count the tested images whose pixels were in train or val; stores without hashes share nothing known."""
    tested = _hashes(other, part.ids.tolist())
    test = {str(name) for name in _test_ids(probe)}
    learnt = [name for group in store.groups for name in store.ids(group).tolist() if name not in test]
    seen = set(_hashes(store, learnt))
    return sum(one in seen for one in tested)


def _test_ids(probe: SavedProbe) -> list[str]:
    found: list[str] = [] if probe.run.folder is None else read_scores(probe.run.folder)["test_ids"].tolist()
    return found


def _hashes(store: FeatureStore, ids: list[str]) -> list[bytes]:
    wanted = set(ids)
    pairs = (
        (name, image.tobytes())
        for group in store.groups
        for name, image in zip(store.ids(group).tolist(), store.image_hash(group), strict=True)
    )
    nothing = bytes(np.zeros(16, np.uint8))
    return [image for name, image in pairs if name in wanted and image != nothing]
