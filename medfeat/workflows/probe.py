"""`medfeat probe`: heads on the stores in the cache, each by the protocol, each kept as a run."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from medfeat.errors import DataError, UnsuitedHeadError, UsageError, unknown_name
from medfeat.evaluation.judging.baselines import BASELINE_BACKBONES
from medfeat.evaluation.judging.probe_store import Options, probe_store
from medfeat.evaluation.judging.select_stores import Contender, Selection, contender, select_contender
from medfeat.evaluation.measures.bootstrap import RESAMPLES
from medfeat.evaluation.runs.run import Run
from medfeat.heads import HEADS, all_heads
from medfeat.report.run_tables import runs_tables, selection_tables
from medfeat.report.tables import Table
from medfeat.tasks.versions import split_name
from medfeat.types import Progress, SilentProgress, Task, as_names
from medfeat.workflows.asking.given_names import asked_names
from medfeat.workflows.asking.question import Question, SaidOnce
from medfeat.workflows.results.unforeseen import in_one_line, show_traceback
from medfeat.workflows.stores.store_names import find_meant, meant, other_versions, shown_names
from medfeat_cache import FeatureStore, StoreHeader, find_stores, resolve_root

T = TypeVar("T")
DEFAULT_HEADS = ("linear",)
REGRESSION_HEADS = ("ridge", "xgboost")


@dataclass(frozen=True)
class Failure:
    """What could not be probed, and why, in one line."""

    what: str
    error: str

    def line(self) -> str:
        """Return both in one line."""
        return f"{self.what}: {self.error}"


@dataclass(frozen=True)
class ProbeReport:
    """What `probe` found.

    Attributes
    ----------
    runs
        One for each store and head that was asked for, best on val first within a dataset.
    baselines
        Runs of the weights-free backbones on the same data, when they are in the cache.
    reused
        How many of all these were found instead of made.
    failed
        What could not be probed.
    notes
        Lines that belong under the table.
    selections
        With ``select=True``, what val chose among the cached stores of each dataset.
    """

    runs: tuple[Run, ...]
    baselines: tuple[Run, ...] = ()
    reused: int = 0
    failed: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()
    selections: tuple[Selection, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; a run's test score is at ``runs[i].test.auc.value``."""
        return {
            "runs": [run.to_dict() for run in self.runs],
            "baselines": [run.to_dict() for run in self.baselines],
            "reused": self.reused,
            "failed": [asdict(failure) for failure in self.failed],
            "notes": list(self.notes),
            "selections": [selection.to_dict() for selection in self.selections],
        }

    def tables(self) -> list[Table]:
        """Return one table a dataset for `medfeat.report.tables`."""
        return [*selection_tables(self.selections), *runs_tables(self.runs, baselines=self.baselines)]


def probe(
    data: str | Sequence[str] | None = None,
    backbone: str | Sequence[str] | None = None,
    *,
    head: str | Sequence[str] | None = None,
    size: int | None = None,
    task: str | Task | None = None,
    labels: str | Path | None = None,
    drop: str | None = None,
    keep: str | None = None,
    relabel: str | None = None,
    name: str | None = None,
    partial: bool = False,
    classes: str | Sequence[str] | None = None,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    refit: bool = False,
    resamples: int = RESAMPLES,
    select: bool = False,
    progress: Progress | None = None,
) -> ProbeReport:
    """Train heads on stores in the cache and evaluate them; unchanged runs are reused.

    Parameters
    ----------
    data, backbone
        Names, several as a sequence or comma list; None (or ``all``) means every one in the cache.
    head
        Names of heads, or ``all`` that can learn the task; None means ``linear``, for regression ``ridge`` and
        ``xgboost``.
    size
        Side of the stored images in pixels; None means every size in the cache.
    task
        A task, the name of a saved one, or a task type to read the labels as; None means the dataset's own labels and
        splits.
    labels, drop, keep, relabel, name, partial, classes
        Change that question, and save it under a name: see `medfeat.workflows.asking.question.Question`.
    seed
        Of the heads and of the bootstrap.
    cache_dir
        Where stores live; None means ``$MEDFEAT_CACHE``, else the user cache folder.
    refit
        Fit the chosen settings again on train and val; the results say so.
    resamples
        Of the bootstrap.
    select
        Let val choose among the cached stores of each dataset (backbone, size, layer, pooling) and the heads, and read
        test for the chosen one alone.
    progress
        Told of runs, candidates and resamples.

    Returns
    -------
    ProbeReport
        Also written to ``<cache>/runs/<dataset>/<key>/``, one folder a run.

    Raises
    ------
    UsageError
        Nothing in the cache fits what was asked; the message says what to run.
    """
    for one in asked_names(head) or ():
        HEADS[one]  # a mistyped name is said before anything is looked for
    root = resolve_root(cache_dir)
    question = Question(task, labels, drop, keep, relabel, name, partial, classes)
    stores = find_probed(root, data, backbone, size)
    names = shown_names(stores, root)
    jobs = [
        Job(header, Options(one, seed, refit, resamples), names[header.digest])
        for header in stores
        for one in heads_for(header, head, question)
    ]
    work = _Work(root, question, progress or SilentProgress(), lenient=head == "all")
    selections = work.select(jobs) if select else []
    chosen = winners(jobs, selections) if select else jobs
    runs = work.run(chosen)
    work.raise_if_alone(runs)
    extra = work.run(_baseline_jobs(root, chosen))
    reused = sum(run.reused for run in (*runs, *extra))
    return ProbeReport(
        runs=tuple(sorted(runs, key=_order)),
        baselines=tuple(extra),
        reused=reused,
        failed=tuple(work.failed),
        notes=(
            *_notes([*runs, *extra], stores, reused),
            *_left_out(root, data, backbone, size),
            *_unreadable(root),
            *_broken(head),
        ),
        selections=tuple(selections),
    )


@dataclass(frozen=True)
class Job:
    """One store to be probed with one head; `dataset` names its images, with the version where there are several."""

    header: StoreHeader
    options: Options

    dataset: str

    @property
    def name(self) -> str:
        """What it is, in a few words."""
        return f"{self.dataset} / {self.header.recipe['backbone']} / {self.options.head}"


class _Work:
    """Runs jobs one by one; one that fails is kept for the report and does not stop the others."""

    def __init__(self, root: Path, question: Question, progress: Progress, *, lenient: bool) -> None:
        self.root, self.question, self.progress, self.lenient = root, question, progress, lenient
        self.failed: list[Failure] = []
        self.said: set[str] = set()
        self._errors: list[Exception] = []

    def run(self, jobs: Sequence[Job]) -> list[Run]:
        return self._each(jobs, self._probe)

    def select(self, jobs: Sequence[Job]) -> list[Selection]:
        """Let val choose one job a dataset, and write each choice down."""
        found = []
        for dataset in dict.fromkeys(job.dataset for job in jobs):
            mine = [job for job in jobs if job.dataset == dataset]
            stood = self._each(mine, self._stand)
            if stood:
                selection = select_contender(dataset, stood[0][0], [one for _, one in stood])
                selection.write(self.root)
                found.append(selection)
        return found

    def _probe(self, store: FeatureStore, task: Task, job: Job) -> Run:
        found = probe_store(store, task, self.root, job.options, progress=self.progress)
        return replace(found, data=job.dataset)

    def _stand(self, store: FeatureStore, task: Task, job: Job) -> tuple[Task, Contender]:
        return task, contender(store, task, self.root, job.options, progress=self.progress)

    def _each(self, jobs: Sequence[Job], do: Callable[[FeatureStore, Task, Job], T]) -> list[T]:
        found = []
        for job in jobs:
            try:
                with FeatureStore(job.header.path) as store:
                    found.append(do(store, self._task(store), job))
            except Exception as error:
                if self.lenient and isinstance(error, UnsuitedHeadError):
                    continue  # all heads were asked for, and this one cannot learn such a task
                show_traceback(error)
                self._errors.append(error)
                self.failed.append(Failure(job.name, in_one_line(error)))
        return found

    def _task(self, store: FeatureStore) -> Task:
        if self.question.plain and not store.info.get("dataset"):
            name = store.recipe["dataset"]
            raise DataError(f"{name} was imported without a task: give labels with --labels FILE.csv (id,label,split)")
        return self.question.of(store, SaidOnce(self.progress, self.said))

    def raise_if_alone(self, runs: Sequence[Run]) -> None:
        """Raise what went wrong when it was the one thing that did: there is no report to put it in."""
        if not runs and len({str(error) for error in self._errors}) == 1:
            raise self._errors[0]


def heads_for(header: StoreHeader, head: str | Sequence[str] | None, question: Question) -> tuple[str, ...]:
    """Return the heads that were asked for, or those that suit the question."""
    if head is not None:
        return all_heads() if head == "all" else as_names(head)
    kind = (header.info.get("dataset") or {}).get("task")
    if not question.plain:
        # What cannot be asked of this store is said when its job comes, beside the others.
        with suppress(Exception), FeatureStore(header.path) as store:
            kind = question.of(store).task_type
    return REGRESSION_HEADS if kind == "regression" else DEFAULT_HEADS


def winners(jobs: Sequence[Job], selections: Sequence[Selection]) -> list[Job]:
    """Return the jobs that were selected."""
    chosen = {(one.store, one.head) for s in selections for one in (s.contenders[s.chosen],)}
    return [job for job in jobs if (job.header.digest, job.options.head) in chosen]


def find_probed(
    root: Path, data: str | Sequence[str] | None, backbone: str | Sequence[str] | None, size: int | None
) -> list[StoreHeader]:
    """Return the stores that were asked for.

    Raises
    ------
    UsageError
        When there are none, saying what is there and what to run.
    """
    everything = find_stores(root)
    if not everything and everything.problems:
        raise UsageError(f"no readable store in {root}: {everything.problems[0][1]}")
    if not everything:
        raise UsageError(
            f"no stores in {root}: run `medfeat extract --data NAME --backbone NAME` first, or `medfeat demo`"
        )
    named = meant(root, data)
    names = {"dataset": None if named is None else tuple(one.name for one in named), "backbone": asked_names(backbone)}
    for field, wanted in names.items():
        stored = {str(header.recipe.get(field)) for header in everything}
        for name in wanted or ():
            if name not in stored:
                error = unknown_name(f"{field} in the cache", name, stored)
                raise UsageError(f"{error}; to add it, run `medfeat extract --data NAME --backbone NAME`")
    found = find_meant(root, data, backbone=names["backbone"], size=size)
    if not found:
        sizes = sorted({int(header.recipe.get("size") or 0) for header in everything})
        asked = ", ".join(f"{key} {value}" for key, value in {**names, "size": size}.items() if value)
        others = other_versions(root, data, backbone=names["backbone"], size=size)
        hint = f" for it, or ask {', '.join(f'--data {one}' for one in others)}, which has" if others else " for it"
        raise UsageError(f"no store in {root} has {asked}; sizes there: {sizes}; run `medfeat extract`{hint}")
    return list(found)


def _baseline_jobs(root: Path, jobs: Sequence[Job]) -> list[Job]:
    """Return the weights-free stores of the same datasets and sizes, with the same heads, that are no jobs already."""
    there = {(job.header.digest, job.options) for job in jobs}
    wanted = {(job.dataset, job.header.recipe.get("size"), job.options) for job in jobs}
    return [
        Job(header, options, dataset)
        for dataset, size, options in sorted(wanted, key=str)
        for header in find_meant(root, [dataset], backbone=BASELINE_BACKBONES, size=size)
        if (header.digest, options) not in there
    ]


def _notes(runs: Sequence[Run], stores: Sequence[StoreHeader], reused: int) -> list[str]:
    notes = [f"{reused} unchanged runs were reused, {len(runs) - reused} were made"] if reused else []
    for dataset, size in dict.fromkeys((run.shown, run.size) for run in runs):
        there = {run.backbone for run in runs if (run.shown, run.size) == (dataset, size)}
        missing = [name for name in BASELINE_BACKBONES if name not in there]
        if missing:
            named = split_name(dataset)[0]
            if all("imported_from" in one.info for one in stores if one.recipe["dataset"] == named):
                continue  # no image of it is known
            source = next((_source(header) for header in stores if header.recipe["dataset"] == named), named)
            side = f" --size {size}" if size and source == dataset else ""
            notes.append(
                f"{dataset}: no baseline {' or '.join(missing)} in the cache; get it with "
                f"`medfeat extract --data {shlex.quote(source)}{side} --backbone {','.join(missing)}`"
            )
    return notes


def _source(header: StoreHeader) -> str:
    """Return what `extract` was told to embed: a registered name, or the path of somebody's own images."""
    return str((header.info.get("source") or {}).get("data") or header.recipe["dataset"])


def _left_out(
    root: Path, data: str | Sequence[str] | None, backbone: str | Sequence[str] | None, size: int | None
) -> list[str]:
    others = other_versions(root, data, backbone=asked_names(backbone), size=size)
    return [f"left out, other versions of the images: {', '.join(others)}; say --data {others[0]}"] if others else []


def _unreadable(root: Path) -> list[str]:
    problems = find_stores(root).problems
    more = f" (and {len(problems) - 1} more: `medfeat cache verify`)" if len(problems) > 1 else ""
    return [f"left out: {problems[0][1]}{more}"] if problems else []


def _broken(head: str | Sequence[str] | None) -> list[str]:
    """Return a line for each head that an installed package brings broken, where all were asked for."""
    return [f"left out: {problem}" for problem in HEADS.problems().values()] if head == "all" else []


def _order(run: Run) -> tuple[str, float]:
    value = run.val.values[run.headline[0]].value
    return run.shown, -value if value == value else float("inf")  # noqa: PLR0124 - NaN sorts last
