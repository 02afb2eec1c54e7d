"""The wrong answers a run was surest of, and the training images nearest to each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import MedfeatError
from medfeat.evaluation.measures.evaluate import evaluate
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.measures.patients import by_patient
from medfeat.evaluation.runs.run import Run
from medfeat.report.page.page_names import shown_ids
from medfeat.report.page.pictures import flat
from medfeat.report.page.results import Mistake, PatientScores, Shown
from medfeat.report.tables import number
from medfeat.types import Dataset, FloatArray, IdArray, Progress, UInt8Array
from medfeat.workflows.asking.data_options import DataOptions
from medfeat.workflows.looking.listed import Listed, list_store, words_of
from medfeat.workflows.looking.look import SIDE, planes
from medfeat_cache import FeatureStore, StoreHeader, open_vectors

MOST, NEAR = 6, 3


def wrong(labels: NDArray[Any], scores: NDArray[Any], task: str, classes: Sequence[str]) -> list[tuple[int, str]]:
    """Return the rows of the surest wrong answers, and each in words.

    Parameters
    ----------
    labels, scores
        (n, k) and (n, c) of test.
    task, classes
        As a run keeps them.

    Returns
    -------
    list
        (row, words), the surest first: of classes by the score of the class that was called, of labels by the
        one that is furthest off, of numbers by how far they are off.
    """
    if task == "regression":
        off = np.abs(scores - labels.reshape(scores.shape)).max(axis=1)
        rows = np.argsort(-off, kind="stable")[:MOST]
        return [(int(i), f"is {labels.reshape(scores.shape)[i, 0]:g}, predicted {scores[i, 0]:.4g}") for i in rows]
    given = LabelledScores.of(labels, scores, task)  # type: ignore[arg-type]
    y, called = given.labels, given.predicted
    if task == "multi-label":
        off = np.where(called != y, np.abs(given.scores - y), 0.0)
        sure = off.max(axis=1)
    else:
        sure = np.where(called != y, np.take_along_axis(given.by_class, called[:, None], axis=1)[:, 0], 0.0)
    rows = np.argsort(-sure, kind="stable")[:MOST]
    truth = words_of(y.reshape(len(y), -1), task, classes)  # type: ignore[arg-type]
    said = words_of(called.reshape(len(called), -1), task, classes)  # type: ignore[arg-type]
    mine = [(int(i), number(float(sure[i]), 2)) for i in rows if sure[i] > 0]
    return [(i, f"labelled {truth[i]}, predicted {said[i]} ({score})") for i, score in mine]


# From ids and their pictures to pictures with heat over them.
Heat = Callable[[Sequence[str], Mapping[str, UInt8Array]], Mapping[str, UInt8Array]]


def mistakes_of(
    run: Run,
    stored: Mapping[str, Any],
    header: StoreHeader | None,
    *,
    images: Dataset | None,
    identifiers: bool,
    heat: Heat | None = None,
) -> tuple[Mistake, ...]:
    """Return the surest mistakes of a run; pictures where images are given, neighbours where its store is there.

    `heat` draws where the network looked; None leaves that out.
    """
    found = wrong(stored["test_labels"], stored["test_scores"], run.task["type"], run.task["classes"])
    ids = stored["test_ids"].tolist()
    wanted = [str(ids[row]) for row, _ in found]
    if header is None or not wanted:
        called = dict(zip(ids, ids if identifiers else shown_ids(ids), strict=True))
        return tuple(Mistake(Shown(called[ids[row]], words, None), ()) for row, words in found)
    with open_vectors(header.path) as store:
        listed = list_store(store)
        near = _nearest(store, wanted, set(listed.ids[listed.split == "train"].tolist()))
    called = called_in(listed, identifiers=identifiers)
    words = {} if listed.labels is None or listed.task is None else dict(
        zip(listed.ids.tolist(), words_of(listed.labels, listed.task, listed.classes), strict=True)
    )  # fmt: skip
    pictures = _pictures_of(images, {*wanted, *(one for some in near for one in some)}) if images is not None else {}

    heats = heat(wanted, pictures) if heat is not None and pictures else {}

    def shown(one: str, said: str) -> Shown:
        return Shown(called.get(one, "an image"), said, pictures.get(one))

    return tuple(
        Mistake(shown(name, said), tuple(shown(one, words.get(one, "")) for one in some), heats.get(name))
        for name, (_, said), some in zip(wanted, found, near, strict=True)
    )


def patients_of(run: Run, stored: Mapping[str, Any], *, seed: int) -> PatientScores | None:
    """Return the scores of a run by patient, a patient's score being the mean over its images; None without patients.

    Parameters
    ----------
    run, stored
        A run and its scores.
    seed
        Of the bootstrap, in which a patient is one sample.
    """
    if "test_groups" not in stored:
        return None
    found = by_patient(stored["test_labels"], stored["test_scores"], stored["test_groups"])
    if len(found.labels) < 2:
        return None
    given = LabelledScores.of(found.labels, found.scores, run.task["type"])
    return PatientScores(evaluate(given, tuple(run.task["classes"]), seed=seed), found.left_out)


def called_in(listed: Listed, *, identifiers: bool) -> dict[str, str]:
    """Return what the images of a dataset are called on a page, by id."""
    ids = listed.ids.tolist()
    patients = None if listed.patients is None else listed.patients.tolist()
    return dict(zip(ids, ids if identifiers else shown_ids(ids, patients), strict=True))


def _nearest(store: FeatureStore, wanted: Sequence[str], train: set[str]) -> list[list[str]]:
    """Return for each image the ids of the training images nearest by cosine, a block of the store at a time."""
    query = _unit(store.take(list(wanted)))
    ids: list[IdArray] = []
    cosines: list[FloatArray] = []
    for group in store.groups:
        for names, rows in store.batches(group, 8192):
            here = np.array([str(one) in train for one in names.tolist()], np.bool_)
            if here.any():
                near = query @ _unit(rows[here]).T
                best = np.argsort(-near, axis=1, kind="stable")[:, :NEAR]
                ids.append(names[here][best])
                cosines.append(np.take_along_axis(near, best, axis=1))
    if not ids:
        return [[] for _ in wanted]
    names_, near = np.concatenate(ids, axis=1), np.concatenate(cosines, axis=1)
    order = np.argsort(-near, axis=1, kind="stable")[:, :NEAR]
    return [[str(one) for one in row] for row in np.take_along_axis(names_, order, axis=1).tolist()]


def _unit(rows: FloatArray) -> FloatArray:
    rows = rows.astype(np.float32)
    found: FloatArray = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return found


def images_of(
    header: StoreHeader, *, root: Path, data_root: str | Path | None, offline: bool, progress: Progress
) -> tuple[Dataset | None, str]:
    """Open the images of a store where they are still at hand; otherwise say in one line why not."""
    source = header.info.get("source")
    if not source:
        return None, "its store does not say where its images are"
    try:
        where, options = DataOptions.from_source(source, data_root=data_root, offline=offline or None)
        return options.open(where, root=root, progress=progress), ""
    except MedfeatError as error:
        return None, str(error)


def _pictures_of(dataset: Dataset, wanted: set[str]) -> dict[str, UInt8Array]:
    """Return pictures of some images, by id; of volumes the three middle planes side by side."""
    info, found = dataset.info, {}
    channels, side = 1 if info.channels == 1 or info.ndim == 3 else 3, min(info.size or SIDE, SIDE)
    for group in info.counts:
        ids = dataset.ids(group)
        rows = np.flatnonzero(np.isin(ids, list(wanted)))
        for batch in dataset.batches(group, 64, rows) if len(rows) else ():
            for row, image in zip(batch.rows.tolist(), batch.images, strict=True):
                shown = planes(np.asarray(image), side, channels, volume=info.ndim == 3)
                found[str(ids[row])] = flat(shown)
    return found
