"""`medfeat probe --shots`: how a head's score grows with the number of labels, on stores in the cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from medfeat.evaluation.judging.few_shot import Curve, CurveOptions, learning_points
from medfeat.evaluation.runs import wording
from medfeat.evaluation.runs.choice import PROTOCOL
from medfeat.evaluation.runs.run import task_digest
from medfeat.heads.texts import TextSource
from medfeat.report.few_shot import curve_tables, draw_curves
from medfeat.report.tables import Table
from medfeat.types import Progress, SilentProgress, Task, as_names
from medfeat.workflows.asking.question import Question, SaidOnce
from medfeat.workflows.jobs.each import Failure, each
from medfeat.workflows.jobs.store_jobs import ProbeRequest, StoreJob
from medfeat.workflows.results.kept import keep_result
from medfeat.workflows.stores.texts import source_for
from medfeat_cache import FeatureStore

_SHOTS = ("1", "2", "5", "10", "20", "50", "all")
RESAMPLES = 200


@dataclass(frozen=True)
class FewShotReport:
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
    shots: str | Sequence[str | int] = _SHOTS,
    draws: int = 20,
    head: str | Sequence[str] = "linear",
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
    resamples: int = RESAMPLES,
    figure: str | Path | None = None,
    prompts: str | Path | None = None,
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> FewShotReport:
    """Train on few labels, drawn many times, and test on all of test.

    Parameters
    ----------
    data, backbone, head, size, task, labels, drop, keep, relabel, name, partial, classes, prompts, cache_dir
        As `medfeat.probe` takes them.
    shots
        Samples a class from train, and as many from val, which selects (cross-validation below 5); ``all`` for the
        whole of both.
    draws
        Of each number of shots.
    seed
        Of draws, heads and resamples; draws are nested, so that curves are comparable.
    resamples
        Bootstrap resamples of test for each draw.
    figure
        PNG (or SVG, PDF) to draw the curves in.
    progress
        Hears of every draw.

    Returns
    -------
    FewShotReport
        Curves with intervals over draws alone, and over draws and test together.
    """
    question = Question(
        task=task, labels=labels, drop=drop, keep=keep, relabel=relabel, name=name, partial=partial, classes=classes
    )
    asked = ProbeRequest(
        data=data, backbone=backbone, head=head, size=size, question=question, seed=seed, prompts=prompts,
        cache_dir=cache_dir,
    )  # fmt: skip
    return few_shot_of(asked, shots=shots, draws=draws, resamples=resamples, figure=figure, progress=progress)


def few_shot_of(
    asked: ProbeRequest,
    *,
    shots: str | Sequence[str | int] = _SHOTS,
    draws: int = 20,
    resamples: int = RESAMPLES,
    figure: str | Path | None = None,
    progress: Progress | None = None,
) -> FewShotReport:
    """Do what `few_shot` says, with what is asked in one value."""
    cache, progress = asked.catalogue(), progress or SilentProgress()
    words = as_names(shots) if isinstance(shots, str) else tuple(map(str, shots))
    options = CurveOptions(words, draws, asked.seed, resamples)
    once = SaidOnce(progress, set())

    def curve_of(job: StoreJob) -> Curve:
        with FeatureStore(job.header.path) as store:
            task = asked.question.of(store, once)
            texts = source_for(job.head, store, task, asked.prompts, progress)
            curve = _curve(store, task, job.head, options, root=cache.root, texts=texts, progress=progress)
        return replace(curve, dataset=job.dataset)

    done = each(asked.jobs(cache, asked.stores(cache)), curve_of)
    done.raise_if_alone()
    curves = done.results
    drawn = draw_curves(curves, Path(figure)) if figure is not None and curves else None
    return FewShotReport(curves, options, done.failures, drawn)


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
    progress.say(f"few-shot {store.recipe['dataset']} / {store.recipe['backbone']} / {head}")
    curve = Curve(
        dataset=store.recipe["dataset"],
        backbone=store.recipe["backbone"],
        size=int(store.recipe.get("size") or 0),
        embedding=wording.embedding(store.recipe),
        head=head,
        task=task.name,
        points=tuple(learning_points(store, task, head, options, progress, texts=texts)),
        cautions=wording.class_cautions(task),
    )
    key = [store.digest, task_digest(task), head, asdict(options), PROTOCOL, *([texts.digest] if texts else [])]
    facts = {"options": asdict(options), "task_digest": task_digest(task), **curve.to_dict()}
    keep_result(root, curve.dataset, "curve", facts, key=key)
    return curve
