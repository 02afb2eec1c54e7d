"""`medfeat probe --corrupt`: worse copies of the test images, embedded once, and how every head does on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfeat.datasets.corrupted import CorruptedImages
from medfeat.errors import DataError
from medfeat.evaluation.judging.probe_store import Options, probe_store
from medfeat.evaluation.judging.robustness import Robustness, judge_corrupted
from medfeat.evaluation.measures.bootstrap import RESAMPLES
from medfeat.extraction.ask.made_from import MadeFrom, RemakeOptions
from medfeat.heads import HeadsAsked, names_of_heads
from medfeat.report.robustness import draw_robustness, robustness_table
from medfeat.report.shown import Shown
from medfeat.report.tables import Table
from medfeat.saying import SaidOnce, heard
from medfeat.types import IdArray, Progress, Task
from medfeat.workflows.asking.question import Question
from medfeat.workflows.jobs.each import Failure, each
from medfeat.workflows.jobs.store_jobs import ProbeRequest, StoreJob
from medfeat.workflows.jobs.suited import only_suited
from medfeat.workflows.results.kept import keep_result
from medfeat.workflows.stores.remake import Remake
from medfeat_cache import FeatureStore, StoreHeader


@dataclass(frozen=True, repr=False)
class RobustnessReport(Shown):
    """Scores against severity.

    Attributes
    ----------
    found
        One a store and head.
    failed
        What could not be done.
    figure
        Where they were drawn, None when they were not.
    """

    found: tuple[Robustness, ...]
    failed: tuple[Failure[StoreJob], ...] = ()
    figure: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "robustness": [one.to_dict() for one in self.found],
            "failed": [failure.to_dict() for failure in self.failed],
            "figure": None if self.figure is None else str(self.figure),
        }

    def tables(self) -> list[Table]:
        """Return one table a store and head."""
        return [robustness_table(one) for one in self.found]


def robustness(
    data: str | Sequence[str] | None = None,
    backbone: str | Sequence[str] | None = None,
    *,
    head: HeadsAsked = None,
    size: int | None = None,
    task: str | Task | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    figure: str | Path | None = None,
    data_root: str | Path | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
    offline: bool = False,
    trust_remote_code: bool = False,
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> RobustnessReport:
    """Show how heads do on worse copies of their test images: noise, blur, contrast and compression.

    Parameters
    ----------
    data, backbone, head, size, task, cache_dir
        As `medfeat.probe` takes them.
    seed, resamples
        Of the heads and of intervals.
    figure
        PNG (or SVG, PDF) to draw the curves in.
    data_root, weights, device, offline, trust_remote_code
        Where images and weights are now, and how the network runs; as `medfeat.predict` takes them.
    progress
        Hears of every batch. None is a bar in a notebook and a log elsewhere; `medfeat.types.SilentProgress()` shows
        nothing.

    Returns
    -------
    RobustnessReport
        The copies are embedded once, into a store ``<dataset>-corrupted``; other heads find it there.
    """
    asked = ProbeRequest(
        data=data, backbone=backbone, head=names_of_heads(head), size=size, question=Question(task=task), seed=seed,
        cache_dir=cache_dir,
    )  # fmt: skip
    options = RemakeOptions(
        data_root=data_root, weights=weights, device=device, offline=offline, trust_remote_code=trust_remote_code
    )
    return robustness_of(asked, options, resamples=resamples, figure=figure, progress=progress)


def robustness_of(
    asked: ProbeRequest,
    options: RemakeOptions,
    *,
    resamples: int = RESAMPLES,
    figure: str | Path | None = None,
    progress: Progress | None = None,
) -> RobustnessReport:
    """Do what `robustness` says, with what is asked in values."""
    cache, progress = asked.catalogue(), heard(progress)
    once = SaidOnce(progress)

    def judged(job: StoreJob) -> Robustness:
        with FeatureStore(job.header.path) as store:
            question = asked.question.of(store, once)
            how = Options(head=job.head, seed=asked.seed, resamples=resamples)
            run = probe_store(store, question, cache.root, how, progress=progress)
        tested = question.ids[question.split == "test"]
        path, noise = _corrupted(job.header, tested, options, root=cache.root, progress=progress)
        with FeatureStore(path) as worse:
            found = judge_corrupted(run, worse, noise=noise)
        keep_result(cache.root, run.dataset, "robustness", found.to_dict())
        return found

    done = each(only_suited(asked, asked.jobs(cache, asked.stores(cache)), once), judged)
    done.raise_if_alone()
    drawn = draw_robustness(done.results, Path(figure)) if figure is not None and done.results else None
    return RobustnessReport(done.results, done.failures, drawn)


def _corrupted(
    header: StoreHeader, ids: IdArray, options: RemakeOptions, *, root: Path, progress: Progress
) -> tuple[Path, str]:
    """Return the store of worse copies of some images, made where it is not there yet, and which noise they have."""
    made = MadeFrom.of(header.recipe, header.info)
    if made.network is None:
        raise DataError(f"the features of {made.data.name} were not made by medfeat: no worse copy can join them")
    images = CorruptedImages(Remake(made, options, root, progress).open(whole=True), ids)
    from medfeat.extraction.network.device import resolve_device
    from medfeat.extraction.remake import request_again
    from medfeat.extraction.session import embed

    name, request = request_again(made.network, options)
    try:
        (store,) = embed(images, name, request, root=root, device=resolve_device(options.device), progress=progress)
    finally:
        progress.finish()
    if store.bad:
        raise DataError(f"{store.bad[0].id} cannot be read again ({store.bad[0].reason}): extract the images anew")
    return store.path, images.noise
