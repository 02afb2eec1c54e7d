"""`medfeat probe --shots`: how a head's score grows with the number of labels, on stores in the cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from medfeat.comma_lists import as_names
from medfeat.evaluation.judging.few_shot import Curve, CurveOptions, Point, learning_points
from medfeat.evaluation.runs import wording
from medfeat.evaluation.runs.choice import PROTOCOL
from medfeat.evaluation.runs.run import task_digest
from medfeat.heads import HeadsAsked, head_identity, names_of_heads
from medfeat.heads.texts import TextSource
from medfeat.report.few_shot import curve_tables, draw_curves
from medfeat.report.shown import Shown
from medfeat.report.tables import Table
from medfeat.saying import SaidOnce, heard
from medfeat.types import Progress, SilentProgress, Task
from medfeat.workflows.asking.question import Question
from medfeat.workflows.jobs.each import Failure, Overall, each
from medfeat.workflows.jobs.store_jobs import ProbeRequest, StoreJob
from medfeat.workflows.jobs.suited import only_suited
from medfeat.workflows.results.kept import keep_result, kept_result
from medfeat.workflows.stores.texts import TextsAsked, source_for
from medfeat_cache import FeatureStore

_POINT = "shots"  # what a point is kept as, beside the runs
_SHOTS = ("1", "2", "5", "10", "20", "50", "all")
RESAMPLES = 200


@dataclass(frozen=True, repr=False)
class FewShotReport(Shown):
    """Learning curves.

    Attributes
    ----------
    curves
        One a store and head.
    options
        How they were made.
    failed
        What could not be.
    figure
        Where they were drawn, None when they were not.
    """

    curves: tuple[Curve, ...]
    options: CurveOptions
    failed: tuple[Failure[StoreJob], ...] = ()
    figure: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "curves": [curve.to_dict() for curve in self.curves],
            "options": asdict(self.options),
            "failed": [failure.to_dict() for failure in self.failed],
            "figure": None if self.figure is None else str(self.figure),
        }

    def tables(self) -> list[Table]:
        """Return one table a dataset and task."""
        return curve_tables(self.curves)


def few_shot(
    data: str | Sequence[str] | None = None,
    backbone: str | Sequence[str] | None = None,
    *,
    store: str | Sequence[str] | None = None,
    shots: str | int | Sequence[str | int] = _SHOTS,
    draws: int = 20,
    head: HeadsAsked = "linear",
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
    resamples: int = RESAMPLES,
    figure: str | Path | None = None,
    prompts: str | Path | None = None,
    offline: bool = False,
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> FewShotReport:
    """Train on few labels, drawn many times, and test on all of test.

    Parameters
    ----------
    data, backbone, store, head, size, task, labels, label_column, drop, keep, relabel, name, partial, classes, prompts,
    offline, cache_dir
        As `medfeat.probe` takes them.
    shots
        Samples a class from train, and as many from val, which selects (cross-validation below 5), one number or
        several; ``all`` for the whole of both.
    draws
        Of each number of shots.
    seed
        Of draws, heads and resamples; draws are nested, so that curves are comparable.
    resamples
        Bootstrap resamples of test for each draw.
    figure
        PNG (or SVG, PDF) to draw the curves in.
    progress
        Hears of every draw. None is a bar in a notebook and a log elsewhere; `medfeat.types.SilentProgress()` shows
        nothing.

    Returns
    -------
    FewShotReport
        Curves with intervals over draws alone, and over draws and test together.
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
        texts=TextsAsked(prompts, offline), cache_dir=cache_dir,
    )  # fmt: skip
    return few_shot_of(asked, shots=shots, draws=draws, resamples=resamples, figure=figure, progress=progress)


def few_shot_of(
    asked: ProbeRequest,
    *,
    shots: str | int | Sequence[str | int] = _SHOTS,
    draws: int = 20,
    resamples: int = RESAMPLES,
    figure: str | Path | None = None,
    progress: Progress | None = None,
) -> FewShotReport:
    """Do what `few_shot` says, with what is asked in one value."""
    cache, progress = asked.catalogue(), heard(progress)
    words = as_names(str(shots)) if isinstance(shots, (str, int)) else tuple(map(str, shots))
    options = CurveOptions(words, draws, asked.seed, resamples)
    once = SaidOnce(progress)

    def curve_of(job: StoreJob) -> Curve:
        with FeatureStore(job.header.path) as store:
            task = asked.question.of(store, once)
            texts = source_for(job.head, store, task, asked.texts, progress)
            curve = _curve(store, task, job.head, options, root=cache.root, texts=texts, progress=progress)
        return replace(curve, dataset=job.dataset)

    jobs = only_suited(asked, asked.jobs(cache, asked.stores(cache)), once)
    overall = Overall(progress, "curve", len(jobs))
    done = each(jobs, curve_of, overall=overall)
    overall.end()
    done.raise_if_alone()
    curves = done.results
    drawn = draw_curves(curves, Path(figure)) if figure is not None and curves else None
    return FewShotReport(curves, options, done.failures, drawn)


def curves_before(
    asked: ProbeRequest, *, shots: str, draws: int = 20, resamples: int = RESAMPLES
) -> list[tuple[StoreJob, Curve | None]]:
    """Return the curve of each job, if all of its points were made before, without making any."""
    cache, found = asked.catalogue(), []
    options = CurveOptions(as_names(shots), draws, asked.seed, resamples)
    for job in asked.jobs(cache, asked.stores(cache)):
        with FeatureStore(job.header.path) as store:
            task = asked.question.of(store)
            texts = source_for(job.head, store, task, asked.texts, SilentProgress())
            key = _curve_key(store, task, job.head, options, texts)
            kept = kept_result(cache.root, str(store.recipe["dataset"]), "curve", key)
            points = (
                _kept(cache.root, str(store.recipe["dataset"]), one)
                for one in _point_keys(store, task, job.head, options, texts)
            )
            whole = kept is not None and all(point is not None for point in points)
        found.append((job, Curve.from_dict(kept) if kept is not None and whole else None))
    return found


def _curve(
    store: FeatureStore,
    task: Task,
    head: str,
    options: CurveOptions,
    *,
    root: Path,
    texts: TextSource | None,
    progress: Progress,
) -> Curve:
    network = wording.network(str(store.recipe["backbone"]), wording.weights(store.info))
    progress.say(f"few-shot {store.recipe['dataset']} / {network} / {head}")
    curve = Curve(
        dataset=store.recipe["dataset"],
        backbone=store.recipe["backbone"],
        size=int(store.recipe.get("size") or 0),
        embedding=wording.embedding(store.recipe),
        head=head,
        task=task.name,
        points=tuple(_points(store, task, head, options, root=root, texts=texts, progress=progress)),
        cautions=wording.class_cautions(task),
        weights=wording.weights(store.info),
    )
    key = _curve_key(store, task, head, options, texts)
    facts = {"options": asdict(options), "task_digest": task_digest(task), **curve.to_dict()}
    keep_result(root, curve.dataset, "curve", facts, key=key)
    return curve


def _points(
    store: FeatureStore,
    task: Task,
    head: str,
    options: CurveOptions,
    *,
    root: Path,
    texts: TextSource | None,
    progress: Progress,
) -> Iterator[Point]:
    """Yield the points of a curve; each is kept when it is made, so that a command that was stopped goes on from it."""
    dataset, made = str(store.recipe["dataset"]), 0
    keys = _point_keys(store, task, head, options, texts)
    for shots, key in zip(options.shots, keys, strict=True):
        asked = replace(options, shots=(shots,))
        point = _kept(root, dataset, key)
        if point is None:
            (point,) = learning_points(store, task, head, asked, progress, texts=texts)
            keep_result(root, dataset, _POINT, asdict(point), key=key)
        else:
            made += 1
        yield point
    if made:
        progress.say(f"{made} of {len(options.shots)} points were there already")


def _curve_key(
    store: FeatureStore, task: Task, head: str, options: CurveOptions, texts: TextSource | None
) -> list[Any]:
    return [store.digest, task_digest(task), head, asdict(options), PROTOCOL, *([texts.digest] if texts else [])]


def _point_keys(
    store: FeatureStore, task: Task, head: str, options: CurveOptions, texts: TextSource | None
) -> list[list[Any]]:
    said = [store.digest, task_digest(task), head, head_identity(head)]
    read = [texts.digest] if texts else []
    return [[*said, asdict(replace(options, shots=(shots,))), PROTOCOL, *read] for shots in options.shots]


def _kept(root: Path, dataset: str, key: Any) -> Point | None:
    """Return a point that was made before; one that cannot be read is made anew."""
    kept = kept_result(root, dataset, _POINT, key)
    try:
        return None if kept is None else Point.from_dict(kept)
    except (KeyError, TypeError, AttributeError):
        return None
