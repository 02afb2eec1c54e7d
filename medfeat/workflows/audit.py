"""`medfeat audit`: images that are there twice, scores without them, and labels that look wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import DataError, MedfeatError, UsageError
from medfeat.evaluation.audit.duplicates import EXACT, NEAR, Calibration, Pair, exact_pairs, families, leaked
from medfeat.evaluation.audit.label_errors import LabelError, cross_scores, find_label_errors
from medfeat.evaluation.audit.nearest import Near, near_pairs
from medfeat.evaluation.judging.probe_store import Options, probe_store
from medfeat.evaluation.measures import official_scores as metrics
from medfeat.evaluation.measures.bootstrap import RESAMPLES
from medfeat.evaluation.measures.evaluate import Metrics, evaluate
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.runs.run import Run, read_scores, task_digest
from medfeat.extraction.ask.made_from import MadeFrom, RemakeOptions
from medfeat.saying import heard
from medfeat.tasks.versions import image_key
from medfeat.types import Progress, Task
from medfeat.workflows.asking.question import Question
from medfeat.workflows.auditing.audit_images import StoredImages
from medfeat.workflows.auditing.audit_report import AuditReport
from medfeat.workflows.jobs.store_jobs import heads_for
from medfeat.workflows.results.kept import keep_result
from medfeat.workflows.stores.one_store import one_store
from medfeat.workflows.stores.remake import Remake
from medfeat.workflows.stores.store_names import shown_name
from medfeat_cache import AveragedStore, Catalogue, FeatureStore, open_vectors, resolve_root

_SAMPLE = 64
# Near pairs that are looked at: seconds of comparing details; a store with more of them holds series of images.
MOST_PAIRS = 200_000


def audit(
    data: str | None = None,
    backbone: str | None = None,
    *,
    store: str | Path | None = None,
    threshold: float | None = None,
    out: str | Path | None = None,
    head: str | None = None,
    size: int | None = None,
    task: str | Task | None = None,
    labels: str | Path | None = None,
    classes: str | Sequence[str] | None = None,
    sample: int = _SAMPLE,
    seed: int = 0,
    resamples: int = RESAMPLES,
    weights: str | Path | None = None,
    data_root: str | Path | None = None,
    device: str = "auto",
    offline: bool = False,
    trust_remote_code: bool = False,
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
    **query: Any,
) -> AuditReport:
    """Look for duplicates inside and across splits, and for label errors.

    Parameters
    ----------
    data, backbone, size, store
        Which store: by names, of which those may be left out that one store fits without, or by its digest.
    threshold
        Cosine from which two images are near duplicates; None calibrates it on augmented copies of a few images.
    out
        Folder for `duplicates.csv` and `label_errors.csv`.
    head
        Whose scores are compared and cross-validated; by default the one that suits the task.
    task, labels, classes
        As `medfeat.probe` takes them.
    sample
        Images to make copies of.
    seed, resamples
        Of sample, folds and bootstrap.
    weights, data_root, device, offline, trust_remote_code
        Where weights and images are now, and how to run the network over the copies.
    cache_dir
        Where stores live.
    progress
        Hears of copies and runs. None is a bar in a notebook and a log elsewhere; `medfeat.types.SilentProgress()`
        shows nothing.
    **query
        Other fields of the recipe, when several stores match.

    Returns
    -------
    AuditReport
        Also written under ``<cache>/runs/<data>/``.
    """
    if threshold is not None and not -1 <= threshold <= 1:
        raise UsageError(f"--threshold is a cosine between -1 and 1, got {threshold}")
    root, question = resolve_root(cache_dir), Question(task, labels, partial=labels is not None, classes=classes)
    progress, header = heard(progress), one_store(data, backbone, store=store, cache_dir=cache_dir, size=size, **query)
    options = RemakeOptions(
        data_root=data_root, weights=weights, device=device, offline=offline, trust_remote_code=trust_remote_code
    )
    with open_vectors(header.path) as opened:
        answer = _Answer.of(opened, question)
        remake = Remake(MadeFrom.of(opened.recipe, opened.info), options, root, progress)
        images, notes = (None, []) if threshold is not None else _images(opened, remake)
        given = Calibration(1.0 if threshold is None else float(threshold), None)
        line = given if images is None else images.calibrate(sample=sample, seed=seed)
        progress.start(1, f"comparing {len(answer.ids):,} embeddings", "comparisons")
        pairs, unseen = _pairs(opened, answer, line, images)
        progress.finish()
        notes += unseen + ([opened.averaged] if isinstance(opened, AveragedStore) else [])
        report = AuditReport(
            dataset=shown_name(header, Catalogue(root)), backbone=str(opened.recipe["backbone"]), calibration=line,
            task=answer.task.name if answer.task else "", task_type=answer.task.task_type if answer.task else "",
            pairs=tuple(pairs), embedded=0 if images is None else images.embedded, notes=tuple(notes),
            out=None if out is None else Path(out),
        )  # fmt: skip
        if answer.task is not None:
            how = Options(heads_for(header, head, question)[0], seed, False, resamples)
            run = probe_store(opened, answer.task, root, how, progress=progress)
            progress.start(1, "cross-validating labels", "labels")
            report = _with_scores(report, run, answer.task, opened)
            progress.finish()
    if report.out is not None:
        report.write(report.out)
    key = [header.digest, None if answer.task is None else task_digest(answer.task), report.head]
    facts = report.to_dict() | {"images": image_key(header.info)}
    keep_result(root, str(header.recipe["dataset"]), "audit", facts, key=key)
    return report


@dataclass(frozen=True)
class _Answer:
    """What is known of each stored row: where it is used and what it is labelled."""

    task: Task | None
    ids: NDArray[np.str_]
    splits: list[str]
    labels: list[tuple[float, ...] | None]

    @classmethod
    def of(cls, store: FeatureStore, question: Question) -> _Answer:
        """Ask a store; one without labels is still audited for duplicates."""
        ids = np.concatenate([store.ids(group) for group in store.groups])
        groups = np.repeat(np.array(store.groups), [store.n(group) for group in store.groups])
        try:
            task: Task | None = question.of(store)
        except DataError:
            if not question.plain:
                raise
            task = None
        known = {} if task is None else {
            str(name): (str(split), tuple(row))
            for name, split, row in zip(task.ids, task.split, task.labels.tolist(), strict=True)
        }  # fmt: skip
        splits = [
            known[name][0] if name in known else str(group) for name, group in zip(ids.tolist(), groups, strict=True)
        ]
        return cls(task, ids, splits, [known[name][1] if name in known else None for name in ids.tolist()])


def _images(store: FeatureStore, remake: Remake) -> tuple[StoredImages | None, list[str]]:
    try:
        return StoredImages(store, remake), []
    except (MedfeatError, OSError) as error:
        reason = f"near duplicates were not looked for, the images cannot be opened: {error}"
        return None, [f"{reason} (or give --threshold)"]


def _pairs(
    store: FeatureStore, answer: _Answer, line: Calibration, images: StoredImages | None
) -> tuple[list[Pair], list[str]]:
    first, second = exact_pairs(store)
    unseen: list[str] = []
    same = set(zip(first.tolist(), second.tolist(), strict=True))
    found = [_pair(answer, a, b, EXACT, cosine=1.0, detail=1.0) for a, b in same]
    if line.threshold < 1.0 or images is not None:
        near, unseen = _nearest_first(near_pairs(store, line.threshold))
        details = np.full(len(near.first), np.nan) if images is None else images.details(near)
        # Where the images can be looked at, features alone do not make two of them the same.
        keep = np.isnan(details) if line.detail is None else details >= line.detail
        alike = _families_of(first, second)
        found += [
            _pair(answer, int(a), int(b), NEAR, cosine=float(cosine), detail=float(detail))
            for a, b, cosine, detail in zip(*_only(near, keep), details[keep], strict=True)
            if alike.get(int(a), -1) != alike.get(int(b), -2)
        ]
    found.sort(key=lambda pair: (not pair.across, pair.kind, -pair.cosine, pair.first, pair.second))
    return found, unseen


def _nearest_first(near: Near) -> tuple[Near, list[str]]:
    """Keep the `MOST_PAIRS` pairs of the largest cosine, and say how many were not looked at."""
    more = len(near.first) - MOST_PAIRS
    if more <= 0:
        return near, []
    kept = np.sort(np.argsort(-near.cosine, kind="stable")[:MOST_PAIRS])
    least = f"{float(near.cosine[kept].min()):.4f}"
    said = f"{more} more pairs reach the threshold and were not looked at: of {MOST_PAIRS}, the least cosine is {least}"
    return Near(near.first[kept], near.second[kept], near.cosine[kept]), [said]


def _families_of(first: NDArray[np.int64], second: NDArray[np.int64]) -> dict[int, int]:
    """Return by row the first row that shows the same pixels, for rows that are there more than once."""
    return dict(zip(second.tolist(), first.tolist(), strict=True)) | {row: row for row in first.tolist()}


def _only(near: Near, keep: NDArray[np.bool_]) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
    return near.first[keep].tolist(), near.second[keep].tolist(), near.cosine[keep].tolist()


def _pair(answer: _Answer, a: int, b: int, kind: str, *, cosine: float, detail: float) -> Pair:
    labels = answer.labels[a], answer.labels[b]
    same = None if None in labels else labels[0] == labels[1]
    ids = str(answer.ids[a]), str(answer.ids[b])
    return Pair(*ids, answer.splits[a], answer.splits[b], kind, cosine=cosine, detail=detail, same_label=same)


def _with_scores(report: AuditReport, run: Run, task: Task, store: FeatureStore) -> AuditReport:
    """Add the scores without leaked test images, and the likely label errors."""
    gone = leaked(report.pairs)
    after, removed = _without(run, task, gone)
    errors: tuple[LabelError, ...] = ()
    if task.task_type != "regression":
        together = families(task.ids, report.pairs) if task.group is None else task.group
        scores = cross_scores(store, task, run.head, together=together, seed=run.protocol["seed"])
        errors = tuple(find_label_errors(task, scores))
        right = metrics.acc(LabelledScores.of(task.labels, scores, task.task_type))
        note = f"left out, {right:.0%} of labels are predicted right: the fewer, the less a doubt means"
        report = replace(report, notes=(*report.notes, note))
    return replace(report, head=run.head, before=run.test, after=after, removed=removed, label_errors=errors)


def _without(run: Run, task: Task, gone: set[str]) -> tuple[Metrics | None, int]:
    if run.folder is None:
        return None, 0
    stored = read_scores(run.folder)
    kept = ~np.isin(stored["test_ids"], sorted(gone))
    if not kept.any():
        return None, int((~kept).sum())
    group = None
    if task.group is not None:
        of = dict(zip(task.ids.tolist(), task.group.tolist(), strict=True))
        group = np.array([of[name] for name in stored["test_ids"][kept].tolist()])
    found = evaluate(
        LabelledScores.of(stored["test_labels"][kept], stored["test_scores"][kept], task.task_type),
        task.classes,
        val=LabelledScores.of(stored["val_labels"], stored["val_scores"], task.task_type),
        val_groups=stored.get("val_groups"),
        groups=group,
        seed=run.protocol["seed"],
        resamples=run.protocol["resamples"],
    )
    return found, int((~kept).sum())
