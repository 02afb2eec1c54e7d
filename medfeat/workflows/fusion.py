"""`medfeat probe --fuse`: several stores of one dataset answer together, if val finds that better."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medfeat.comma_lists import as_names
from medfeat.errors import UsageError
from medfeat.evaluation.judging.fusion import WAYS, Fusion, Way, fuse_stores
from medfeat.evaluation.measures.bootstrap import RESAMPLES, check_draws
from medfeat.evaluation.runs import wording
from medfeat.evaluation.runs.run import headline
from medfeat.heads import HEADS, HeadsAsked, names_of_heads
from medfeat.report.run_tables import NAMES
from medfeat.report.shown import Shown
from medfeat.report.tables import Table, number, with_interval
from medfeat.saying import heard
from medfeat.types import Progress, Task
from medfeat.workflows.asking.question import Question
from medfeat.workflows.jobs.side_by_side import apart_from_precision
from medfeat.workflows.jobs.store_jobs import ProbeRequest, heads_for
from medfeat.workflows.results.kept import keep_result
from medfeat.workflows.stores.store_names import shown_name
from medfeat_cache import Catalogue, FeatureStore, StoreHeader
from medfeat_cache.commands import command


@dataclass(frozen=True, repr=False)
class FusionReport(Shown):
    """What became of fusing the stores of one dataset.

    Attributes
    ----------
    dataset, task, task_type, head
        What was asked.
    stores
        Digests of the stores, in the order of their names.
    fusion
        Every way, the chosen one, and its scores.
    cautions
        What must be said beside the scores.
    """

    dataset: str
    task: str
    task_type: str
    head: str
    stores: tuple[str, ...]
    fusion: Fusion
    cautions: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; the winner's test scores are at ``test``."""
        facts = {"dataset": self.dataset, "task": self.task, "task_type": self.task_type, "head": self.head}
        return {
            **facts,
            "stores": list(self.stores),
            "cautions": list(self.cautions),
            "ways": [asdict(way) for way in self.fusion.ways],
            "chosen": self.fusion.chosen,
            "val": self.fusion.val.to_dict(),
            "test": self.fusion.test.to_dict(),
        }

    def tables(self) -> list[Table]:
        """Return one table: every way on val, test for the chosen one alone."""
        best, other = headline(self.task_type)
        columns = ("features", "head", "chosen on val", f"val {NAMES[best]}", f"val {NAMES[other]}",
                   f"test {NAMES[best]}", f"test {NAMES[other]}")  # fmt: skip
        rows = []
        for i, way in enumerate(self.fusion.ways):
            test = self.fusion.test.values
            shown = [with_interval(test[best]), with_interval(test[other])] if i == self.fusion.chosen else ["", ""]
            words = (
                "" if any(isinstance(value, dict) for value in way.settings.values()) else wording.chosen(way.settings)
            )
            rows.append((way.name, self.head, words, number(way.best.first), number(abs(way.best.second)), *shown))
        title = f"{self.dataset}, task {self.task}: several stores"
        notes = ("val chose; test was read for the chosen one alone", *self.cautions)
        strong, less = frozenset({self.fusion.chosen}), ("chosen on val", columns[4], columns[6])
        return [Table(title, columns, tuple(rows), notes, strong, less, prose=("features", "chosen on val"))]


def fuse(
    data: str,
    backbone: str | Sequence[str] | None = None,
    *,
    ways: str | Sequence[str] = WAYS,
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
    resamples: int = RESAMPLES,
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> FusionReport:
    """Let several stores of one dataset, of other backbones, layers, poolings or sizes, answer one question together.

    Parameters
    ----------
    data
        One dataset.
    backbone
        Whose stores, two or more in all; None means every one in the cache.
    ways
        ``concat``, ``average``, or both (a comma list).
    head, size, task, labels, label_column, drop, keep, relabel, name, partial, classes, seed, resamples, cache_dir,
    progress
        As `medfeat.probe` takes them; one head.

    Returns
    -------
    FusionReport
        Each store alone and each way of fusing them, chosen among on val.

    Raises
    ------
    UsageError
        Fewer than two stores, or two that differ in precision alone.
    DataError
        Stores that do not hold the same ids.
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
        data=data,
        backbone=backbone,
        head=names_of_heads(head),
        size=size,
        question=question,
        seed=seed,
        cache_dir=cache_dir,
    )
    return fuse_of(asked, ways=ways, resamples=resamples, progress=progress)


def fuse_of(
    asked: ProbeRequest,
    *,
    ways: str | Sequence[str] = WAYS,
    resamples: int = RESAMPLES,
    progress: Progress | None = None,
) -> FusionReport:
    """Do what `fuse` says, with what is asked in one value."""
    check_draws(asked.seed, resamples)
    cache, progress = asked.catalogue(), heard(progress)
    root, headers = cache.root, _one_each(asked.stores(cache), asked.data, cache)
    heads = heads_for(headers[0], asked.head, asked.question)
    one = heads[0]
    HEADS[one]
    if asked.head is not None and len(heads) > 1:
        raise UsageError(f"fusion takes one head, got {', '.join(heads)}")
    with ExitStack() as stack:
        stores = [stack.enter_context(FeatureStore(header.path)) for header in headers]
        question = asked.question.of(stores[0], progress)

        def write_down(tried: Sequence[Way], chosen: int) -> None:
            facts = {"task": question.name, "head": one, "ways": [asdict(way) for way in tried], "chosen": chosen}
            keep_result(root, str(headers[0].recipe["dataset"]), "fusion-choice", facts)

        fusion = fuse_stores(
            stores,
            question,
            head=one,
            ways=as_names(ways),
            seed=asked.seed,
            resamples=resamples,
            write_down=write_down,
            progress=progress,
        )
    digests = tuple(header.digest for header in headers)
    dataset, cautions = shown_name(headers[0], cache), wording.class_cautions(question)
    report = FusionReport(dataset, question.name, question.task_type, one, digests, fusion, cautions)
    keep_result(root, str(headers[0].recipe["dataset"]), "fusion", report.to_dict())
    return report


def _one_each(headers: Sequence[StoreHeader], data: str | Sequence[str] | None, cache: Catalogue) -> list[StoreHeader]:
    datasets = sorted({shown_name(header, cache) for header in headers})
    names = [wording.network(str(header.recipe["backbone"]), wording.weights(header.info)) for header in headers]
    if len(datasets) != 1:
        raise UsageError(f"fusion is for one dataset: say with --data which of {', '.join(datasets)}")
    spelled = [apart_from_precision(header.recipe) for header in headers]
    twice = sorted({name for name, one in zip(names, spelled, strict=True) if spelled.count(one) > 1})
    if twice:
        raise UsageError(
            f"{data} has an embedding of {', '.join(twice)} twice, in two precisions: remove one with "
            f"{command('cache', 'rm', 'DIGEST')}"
        )
    if len(headers) < 2:
        raise UsageError(
            f"fusion needs two stores or more in the cache, {data} has one of {', '.join(names)}: extract another "
            "backbone or size, or --layer quarter"
        )
    return list(headers)
