"""`medfeat probe`: heads on the stores in the cache, each by the protocol, each kept as a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medfeat.errors import DataError, OneVectorError, UnsuitedHeadError, UsageError
from medfeat.evaluation.judging.baselines import BASELINE_BACKBONES
from medfeat.evaluation.judging.probe_store import Options, existing_run, probe_store
from medfeat.evaluation.judging.reading import takes_bags
from medfeat.evaluation.judging.select_stores import Contender, Selection, contender, select_contender
from medfeat.evaluation.measures.bootstrap import RESAMPLES
from medfeat.evaluation.runs.run import Run
from medfeat.heads import HEADS, HeadsAsked, names_of_heads, reads_texts, takes_budget
from medfeat.heads.class_weights import NONE
from medfeat.report.frame import runs_frame
from medfeat.report.pivot import pivot_table
from medfeat.report.run_tables import runs_tables, selection_tables
from medfeat.report.shown import Shown
from medfeat.report.tables import Table
from medfeat.saying import SaidOnce, heard, warn_of
from medfeat.tasks.patients import PATIENTS, by_patient
from medfeat.tasks.readable import Probed
from medfeat.types import Progress, SilentProgress, Task
from medfeat.workflows.asking.question import Question
from medfeat.workflows.jobs.each import Failure, Overall, each
from medfeat.workflows.jobs.side_by_side import joined, layered
from medfeat.workflows.jobs.store_jobs import LAYERS, ProbeRequest, StoreJob, heads_for, settled
from medfeat.workflows.jobs.suited import left_out, suited
from medfeat.workflows.results.probe_remarks import remarks
from medfeat.workflows.stores.store_names import find_meant
from medfeat.workflows.stores.texts import TextsAsked, source_for
from medfeat_cache import Catalogue, FeatureStore, StoreHeader, one_vector


@dataclass(frozen=True, repr=False)
class ProbeReport(Shown):
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
    failed: tuple[Failure[StoreJob], ...] = ()
    notes: tuple[str, ...] = ()
    selections: tuple[Selection, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; a run's test score is at ``runs[i].test.auc.value``."""
        return {
            "runs": [run.to_dict() for run in self.runs],
            "baselines": [run.to_dict() for run in self.baselines],
            "reused": self.reused,
            "failed": [failure.to_dict() for failure in self.failed],
            "notes": list(self.notes),
            "selections": [selection.to_dict() for selection in self.selections],
        }

    def tables(self) -> list[Table]:
        """Return one table a dataset for `medfeat.report.tables`."""
        return [*selection_tables(self.selections), *runs_tables(self.runs, baselines=self.baselines)]

    def frame(self) -> Any:
        """Return a pandas.DataFrame of a row a run, baselines last, see `medfeat.report.frame.runs_frame`."""
        return runs_frame((*self.runs, *self.baselines))

    def pivot(self) -> Table:
        """Return the test score of each network on each dataset, baselines among them."""
        return pivot_table((*self.runs, *self.baselines))


def probe(
    data: str | Sequence[str] | None = None,
    backbone: str | Sequence[str] | None = None,
    *,
    store: str | Sequence[str] | None = None,
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
    cache_dir: str | Path | None = None,
    refit: bool = False,
    choose: str | None = None,
    class_weight: str = NONE,
    resamples: int = RESAMPLES,
    select: bool = False,
    budget: float | None = None,
    prompts: str | Path | None = None,
    offline: bool = False,
    bag: str | None = None,
    progress: Progress | None = None,
) -> ProbeReport:
    """Train heads on stores in the cache and evaluate them; unchanged runs are reused.

    Parameters
    ----------
    data, backbone
        Names, several as a sequence or comma list; None (or ``all``) means every one in the cache.
    store
        First digits of digests of stores, instead of names or beside them.
    head
        Names of heads, heads of your own (`medfeat.extend.Head`, known by their names from then on), or ``all`` that
        can learn the task; None means ``quick``, the best or a mean of those that need no rounds, for regression
        ``ridge`` and ``xgboost``.
    size
        Side of the stored images in pixels; None means every size in the cache.
    task
        A task, the name of a saved one, or a task type to read the labels as; None means the dataset's own labels and
        splits.
    labels, label_column, drop, keep, relabel, name, partial, classes
        Change that question, and save it under a name: see `medfeat.workflows.asking.question.Question`.
    seed
        Of the heads and of the bootstrap.
    cache_dir
        Where stores live; None means ``$MEDFEAT_CACHE``, else the user cache folder.
    refit
        Fit the chosen settings again on train and val; the results say so.
    choose
        ``val``: settings are chosen on val; ``cv``: by cross-validation over train and val; ``auto``: the second where
        val is small. None means ``auto`` where no head is named, else ``val``.
    class_weight
        ``none``, ``balanced``: rare classes count as much as common ones, or ``auto``: both are tried.
    resamples
        Of the bootstrap.
    select
        Let val choose among the cached stores of each dataset (backbone, size, layer, pooling), several of them side
        by side (the quarter of a network's layers, all of them, all stores) and the heads, and read test for the
        chosen one alone.
    budget
        Seconds of one core that training a head on a store may take, turned into fewer candidates and rounds before
        it trains, so that the same call gives the same result; ``xgboost`` knows budgets. None tries everything.
    prompts
        A JSON file of texts for the classes, for ``zero-shot``, ``text-linear`` and ``lp++``; see
        `medfeat.tasks.prompts.prompts_for`. None means those that are known of the 18 sets.
    offline
        Make no network call, where a head that reads texts loads the network that embedded the images.
    bag
        ``layers``: the stores of a network that differ in layer or pooling are read together, and ``attention``, the
        head then where none is named, weighs them for each image; ``patients``: a sample is a patient with all images,
        which ``attention`` weighs and other heads average. None: images one by one.
    progress
        Told of runs, candidates and resamples. None is a bar in a notebook and a log elsewhere;
        `medfeat.types.SilentProgress()` shows nothing.

    Returns
    -------
    ProbeReport
        Also written to ``<cache>/runs/<dataset>/<key>/``, one folder a run.

    Raises
    ------
    UsageError
        Nothing in the cache fits what was asked; the message says what to run.
    MedfeatError
        No store could be probed; what fails beside others is in `failed`, and logged.
    """
    question = Question(
        task=task,
        labels=labels,
        label_column=label_column,
        drop=drop,
        keep=keep,
        relabel=relabel,
        name=name,
        partial=partial,
        classes=classes,
    )
    asked = ProbeRequest(
        data=data, backbone=backbone, store=store, head=names_of_heads(head), size=size, question=question, seed=seed,
        texts=TextsAsked(prompts, offline), bag=bag, cache_dir=cache_dir,
    )  # fmt: skip
    how: dict[str, Any] = {"choose": choose, "class_weight": class_weight, "refit": refit, "resamples": resamples}
    report = probe_stores(asked, **how, select=select, budget=budget, progress=progress, raising=True)
    warn_of(failure.line() for failure in report.failed)
    return report


def probe_stores(
    asked: ProbeRequest,
    *,
    refit: bool = False,
    choose: str | None = None,
    class_weight: str = NONE,
    resamples: int = RESAMPLES,
    select: bool = False,
    budget: float | None = None,
    baselines: bool = True,
    progress: Progress | None = None,
    raising: bool = False,
) -> ProbeReport:
    """Do what `probe` says, with what is asked in one value; several different failures are raised only on demand.

    `baselines` says whether the weights-free stores of the same datasets are probed too, where they are in the cache.
    """
    cache = asked.catalogue()
    asked, choose = settled(asked, choose)
    options = Options(
        seed=asked.seed, refit=refit, resamples=resamples, choose=choose, class_weight=class_weight, budget=budget
    )
    stores = asked.stores(cache)
    jobs = _jobs(asked, cache, stores, select=select)
    if budget is not None and not any(takes_budget(job.head) for job in jobs):
        raise UsageError("--budget is for heads that train in rounds: ask for --head xgboost, or leave it out")
    work = _Work(cache.root, asked.question, options, SaidOnce(heard(progress)), asked.of_all, asked.texts)
    jobs, unsuited = suited(asked, jobs, work.progress, class_weight=class_weight)
    # all heads were asked for, and some turn out to be unable to learn these samples
    passed_over: tuple[type[Exception], ...] = (UnsuitedHeadError,) if work.all_heads else ()
    if any(len(header.shape) > 1 for header in stores):
        passed_over = (*passed_over, OneVectorError)  # named for the stores that it is for
    contenders = [*jobs, *joined(jobs)] if select else []
    standing = Overall(work.progress, "contender", len(contenders))
    stood = each(contenders, work.stand, passed_over=passed_over, overall=standing)
    selections = work.selections(stood.results)
    jobs = [winner for _, winner in selections] if select else jobs
    beside = _baseline_jobs(cache, jobs, asked.question) if baselines else []
    overall = Overall(work.progress, "run", len(jobs) + len(beside))
    chosen = each(jobs, work.probe, passed_over=passed_over, overall=overall)
    failures, errors = (*stood.failures, *chosen.failures), (*stood.errors, *chosen.errors)
    replace(chosen, failures=failures, errors=errors).raise_if_nothing(alike=not raising)
    extra = each(beside, work.probe, passed_over=passed_over, overall=overall)
    overall.end()
    runs = (*chosen.results, *extra.results)
    reused = sum(run.reused for run in runs)
    return ProbeReport(
        runs=tuple(sorted(chosen.results, key=_order)),
        baselines=extra.results,
        reused=reused,
        failed=(*failures, *extra.failures),
        notes=(
            *remarks(cache, asked, runs, stores, reused),
            *left_out((*unsuited, *stood.passed_over, *chosen.passed_over)),
        ),
        selections=tuple(selection for selection, _ in selections),
    )


def _jobs(asked: ProbeRequest, cache: Catalogue, stores: Sequence[StoreHeader], *, select: bool) -> list[StoreJob]:
    """Return what is asked for, a store each, or all layers of a network."""
    jobs = asked.jobs(cache, stores)
    if asked.bag == LAYERS and select:
        raise UsageError("--bag layers reads all layers of a network: leave --select out")
    return layered(jobs) if asked.bag == LAYERS else jobs


def probed_before(asked: ProbeRequest, *, choose: str | None = None, **how: Any) -> list[tuple[StoreJob, Run | None]]:
    """Return the run of each job, if it was made before, without making any; heads that suit nothing are left out.

    `how` are further options of `probe_stores`.
    """
    cache = asked.catalogue()
    asked, choose = settled(asked, choose)
    options = Options(seed=asked.seed, choose=choose, **how)
    work = _Work(cache.root, asked.question, options, SilentProgress(), asked.of_all, asked.texts)
    passed_over: tuple[type[Exception], ...] = (UnsuitedHeadError,) if asked.of_all else ()
    jobs, _ = suited(asked, asked.jobs(cache, asked.stores(cache)), work.progress, class_weight=options.class_weight)
    done = each(jobs, work.known, passed_over=passed_over)
    if done.errors:
        raise done.errors[0]
    return list(done.results)


@dataclass(frozen=True)
class _Work:
    """What is done to each job of one probe."""

    root: Path
    question: Question
    options: Options
    progress: Progress
    all_heads: bool = False
    texts: TextsAsked = field(default_factory=TextsAsked)

    def probe(self, job: StoreJob) -> Run:
        """Let val choose, and read test once."""
        with self._asked(job) as (store, task):
            run = probe_store(store, task, self.root, self._options(job, store, task), progress=self.progress)
        return replace(run, data=job.dataset)

    def known(self, job: StoreJob) -> tuple[StoreJob, Run | None]:
        """Look for the run that was made before."""
        with self._asked(job) as (store, task):
            return job, existing_run(store, task, self.root, self._options(job, store, task))

    def stand(self, job: StoreJob) -> _Stood:
        """See what val says, with test closed."""
        with self._asked(job) as (store, task):
            options = self._options(job, store, task)
            return _Stood(job, task, contender(store, task, self.root, options, progress=self.progress))

    def selections(self, stood: Sequence[_Stood]) -> list[tuple[Selection, StoreJob]]:
        """Let val choose one job a dataset, and write each choice down."""
        found = []
        for dataset in dict.fromkeys(one.job.dataset for one in stood):
            mine = [one for one in stood if one.job.dataset == dataset]
            selection = select_contender(dataset, mine[0].task, [one.contender for one in mine])
            selection.write(self.root)
            found.append((selection, mine[selection.chosen].job))
        return found

    def _options(self, job: StoreJob, store: Probed, task: Task) -> Options:
        """Return how to probe with the head of a job; of heads, some know budgets and some read texts."""
        budget = self.options.budget if takes_budget(job.head) else None
        texts = source_for(job.head, store, task, self.texts, self.progress)
        words = self.question.words
        if words is not None and texts is not None and self.texts.prompts is not None:
            words["prompts"] = str(Path(self.texts.prompts).absolute())
        return replace(self.options, head=job.head, budget=budget, texts=texts, asked=words)

    @contextmanager
    def _asked(self, job: StoreJob) -> Iterator[tuple[Probed, Task]]:
        """Open what a job reads, with the question: of images, or of patients."""
        with job.opened() as store:
            task = self._task(store)
            if job.bag != PATIENTS:
                yield store, task
            else:
                yield by_patient(one_vector(store) if isinstance(store, FeatureStore) else store, task)

    def _task(self, store: Probed) -> Task:
        if self.question.plain and not store.info.get("dataset"):
            name = store.recipe["dataset"]
            raise DataError(f"{name} was imported without a task: give labels with --labels FILE.csv (id,label,split)")
        return self.question.of(store, self.progress)


@dataclass(frozen=True)
class _Stood:
    """A job as val saw it."""

    job: StoreJob
    task: Task
    contender: Contender


def _baseline_jobs(cache: Catalogue, jobs: Sequence[StoreJob], question: Question) -> list[StoreJob]:
    """Return the weights-free stores of the same datasets and sizes, with the same heads, that are no jobs already.

    They have one vector a sample, in no space of texts: of a head that needs either, the usual one is asked instead.
    """
    there = {(job.header.digest, job.head) for job in jobs}
    unsuited = [job for job in jobs if reads_texts(job.head) or takes_bags(HEADS[job.head]())]
    usual = {job.head: heads_for(job.header, None, question)[0] for job in unsuited}
    wanted = {(job.dataset, job.header.recipe.get("size"), usual.get(job.head, job.head)) for job in jobs}
    bag = next((job.bag for job in jobs if job.bag), "")
    return [
        StoreJob(header, head, dataset, bag=bag)
        for dataset, size, head in sorted(wanted, key=str)
        for header in find_meant(cache, [dataset], backbone=BASELINE_BACKBONES, size=size)
        if (header.digest, head) not in there
    ]


def _order(run: Run) -> tuple[str, float]:
    value = run.val.values[run.headline[0]].value
    return run.shown, -value if value == value else float("inf")  # noqa: PLR0124 - NaN sorts last
