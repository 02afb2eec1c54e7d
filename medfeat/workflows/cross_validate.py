"""`medfeat probe --folds` and `--group-column`: every sample left out once, by folds or with its hospital."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from medfeat.errors import DataError, UsageError
from medfeat.evaluation.judging.cross_validation import VAL, check_way
from medfeat.evaluation.judging.probe_store import Options, probe_store
from medfeat.evaluation.judging.rotation import FOLDS, GROUPS, Rotation, RotationOptions, folds_of, rotate
from medfeat.evaluation.measures.bootstrap import RESAMPLES, check_draws
from medfeat.evaluation.measures.evaluate import Metrics, evaluate
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.runs.choice import PROTOCOL
from medfeat.evaluation.runs.run import Run, read_scores, task_digest
from medfeat.heads import HeadsAsked, names_of_heads
from medfeat.heads.class_weights import NONE, check_class_weight
from medfeat.report.rotation import rotation_table
from medfeat.report.shown import Shown
from medfeat.report.tables import Table
from medfeat.saying import SaidOnce, heard
from medfeat.tasks.check import examples
from medfeat.tasks.labels_file import read_column
from medfeat.types import IdArray, Progress, Task
from medfeat.workflows.asking.question import Question, file_of_images
from medfeat.workflows.jobs.each import Failure, each
from medfeat.workflows.jobs.store_jobs import ProbeRequest, StoreJob
from medfeat.workflows.jobs.suited import only_suited
from medfeat.workflows.results.kept import keep_result
from medfeat_cache import FeatureStore


@dataclass(frozen=True)
class Rotated:
    """One head on one store, every part left out once.

    Attributes
    ----------
    rotation
        Scores of each part by heads that had not seen it.
    within
        By group, scores of its test samples by the head of the usual run, which was trained on all groups; None for
        folds.
    """

    rotation: Rotation
    within: Mapping[str, Metrics] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        within = None if self.within is None else {name: one.to_dict() for name, one in self.within.items()}
        return {**self.rotation.to_dict(), "within": within}


@dataclass(frozen=True, repr=False)
class CrossValidateReport(Shown):
    """What became of every store and head.

    Attributes
    ----------
    found
        One a store and head.
    failed
        What could not be done.
    """

    found: tuple[Rotated, ...]
    failed: tuple[Failure[StoreJob], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "rotations": [one.to_dict() for one in self.found],
            "failed": [failure.to_dict() for failure in self.failed],
        }

    def tables(self) -> list[Table]:
        """Return one table a store and head."""
        return [rotation_table(one.rotation, one.within) for one in self.found]


def cross_validate(
    data: str | Sequence[str] | None = None,
    backbone: str | Sequence[str] | None = None,
    *,
    folds: int | None = None,
    group_column: str | None = None,
    groups: str | Path | None = None,
    head: HeadsAsked = None,
    size: int | None = None,
    task: str | Task | None = None,
    labels: str | Path | None = None,
    label_column: str | Sequence[str] | None = None,
    drop: str | None = None,
    keep: str | None = None,
    relabel: str | None = None,
    name: str | None = None,
    partial: bool = False,
    classes: str | Sequence[str] | None = None,
    seed: int = 0,
    choose: str = VAL,
    class_weight: str = NONE,
    resamples: int = RESAMPLES,
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> CrossValidateReport:
    """Leave every sample out once and test it there: by folds, or group by group (hospital, scanner, country).

    Parameters
    ----------
    data, backbone, head, size, task, labels, label_column, drop, keep, relabel, name, partial, classes, cache_dir
        As `medfeat.probe` takes them; the task's own split is set aside. Patients are never parted.
    folds
        How many, classes dealt evenly; of a fold's other samples a fifth is val.
    group_column
        Instead of folds: a column that says of each sample to which group it belongs.
    groups
        CSV with ``id`` (or ``path``) and that column; by default that of `labels`, where it is then no label, or the
        one that the images came from.
    seed, choose, class_weight, resamples
        As `medfeat.probe` takes them.
    progress
        Told of each part. None is a bar in a notebook and a log elsewhere; `medfeat.types.SilentProgress()` shows
        nothing.

    Returns
    -------
    CrossValidateReport
        Scores of each part, and for groups beside them those of a head that was trained on all groups.

    Raises
    ------
    UsageError
        Not exactly one of `folds` and `group_column`.
    """
    aside = group_column if groups is None else None
    question = Question(
        task=task, labels=labels, label_column=label_column, drop=drop, keep=keep, relabel=relabel, name=name,
        partial=partial, classes=classes, aside=aside,
    )  # fmt: skip
    asked = ProbeRequest(
        data=data,
        backbone=backbone,
        head=names_of_heads(head),
        size=size,
        question=question,
        seed=seed,
        cache_dir=cache_dir,
    )
    options = RotationOptions("", seed, choose, class_weight, resamples)
    return cross_validate_of(asked, options, Parts(folds, group_column, groups or labels), progress=progress)


@dataclass(frozen=True)
class Parts:
    """By what samples are left out.

    Attributes
    ----------
    folds
        How many folds, or None.
    column, path
        Or the column of groups, and the CSV that has it; None is the one that the images came from.

    Raises
    ------
    UsageError
        Not exactly one of both.
    """

    folds: int | None = None
    column: str | None = None
    path: str | Path | None = None

    def __post_init__(self) -> None:
        if (self.folds is None) == (self.column is None):
            raise UsageError("give either --folds or --group-column: samples are left out by one of them")

    def of(self, task: Task, store: FeatureStore, seed: int) -> IdArray:
        """Return the (n,) part of each sample of a task.

        Raises
        ------
        UsageError
            No file, and images that came from none.
        DataError
            Samples without a group, or patients in several.
        """
        if self.folds is not None:
            return folds_of(task, self.folds, seed)
        if self.path is not None:
            path, of_images = Path(self.path), None
        else:
            path, of_images = file_of_images(store, f"--group-column {self.column}", "--groups")
        named = read_column(path, str(self.column), store, of_images)
        without = np.array([name for name in task.ids.tolist() if name not in named], dtype=np.str_)
        if len(without):
            raise DataError(
                f"{path}: {len(without)} of {len(task.ids)} samples have no {self.column}: {examples(without)}"
            )
        return np.array([named[name] for name in task.ids.tolist()], dtype=np.str_)


def cross_validate_of(
    asked: ProbeRequest, options: RotationOptions, parts: Parts, *, progress: Progress | None = None
) -> CrossValidateReport:
    """Do what `cross_validate` says, with what is asked in values."""
    check_draws(options.seed, options.resamples)
    check_way(options.choose)
    check_class_weight(options.class_weight)
    cache, progress = asked.catalogue(), heard(progress)
    once, kind = SaidOnce(progress), FOLDS if parts.column is None else GROUPS

    def rotated(job: StoreJob) -> Rotated:
        progress.say(f"leaving out {kind}: {job.name}")
        how = replace(options, head=job.head)
        with FeatureStore(job.header.path) as store:
            task = asked.question.of(store, once)
            named = parts.of(task, store, how.seed)
            found = replace(rotate(store, task, named, how, kind=kind, progress=progress), dataset=job.dataset)
            run = None if kind == FOLDS else probe_store(store, task, cache.root, _usual(how), progress=progress)
            key = [store.digest, task_digest(task), asdict(how), named.tolist(), PROTOCOL]
        within = None if run is None else _by_group(run, dict(zip(task.ids.tolist(), named.tolist(), strict=True)), how)
        one = Rotated(found, within)
        keep_result(cache.root, str(job.header.recipe["dataset"]), kind, one.to_dict(), key=key)
        return one

    jobs = only_suited(asked, asked.jobs(cache, asked.stores(cache)), once, class_weight=options.class_weight)
    done = each(jobs, rotated)
    done.raise_if_alone()
    return CrossValidateReport(done.results, done.failures)


def _usual(how: RotationOptions) -> Options:
    """Return how the head of all groups is probed, by the task's own split."""
    return Options(how.head, how.seed, resamples=how.resamples, choose=how.choose, class_weight=how.class_weight)


def _by_group(run: Run, group_of: Mapping[str, str], how: RotationOptions) -> dict[str, Metrics]:
    """Return by group the scores of its test samples in a run, which learnt from all groups."""
    assert run.folder is not None  # it was written there
    stored = read_scores(run.folder)
    group = np.array([group_of[name] for name in stored["test_ids"].tolist()])
    patients = stored.get("test_groups")
    found = {}
    for name in np.unique(group).tolist():
        here = group == name
        found[name] = evaluate(
            LabelledScores.of(stored["test_labels"][here], stored["test_scores"][here], run.task["type"]),
            tuple(run.task["classes"]),
            groups=None if patients is None else patients[here],
            seed=how.seed,
            resamples=how.resamples,
        )
    return found
