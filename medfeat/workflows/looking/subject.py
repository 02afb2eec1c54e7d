"""What is looked at: images that are at hand or what stores know of them, and what is known of each image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medfeat.datasets import DATASETS
from medfeat.errors import DataError, MedfeatError, UsageError
from medfeat.report.page.columns import PointColumn
from medfeat.report.page.page_names import pseudonyms, shown_ids
from medfeat.tasks.versions import split_name
from medfeat.types import Dataset, Progress
from medfeat.workflows.asking.data_options import DataOptions
from medfeat.workflows.looking import spaces
from medfeat.workflows.looking.listed import Listed, list_images, list_store, read_columns, words_of
from medfeat.workflows.looking.look import Seen
from medfeat.workflows.stores.store_names import find_meant, versions_of
from medfeat_cache import Catalogue, FeatureStore, StoreHeader


@dataclass(frozen=True)
class Subject:
    """What is explored: a dataset whose images are at hand, or the stores of one whose images are not."""

    name: str
    dataset: Dataset | None
    headers: tuple[StoreHeader, ...]
    listed: Listed
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        data: str,
        options: DataOptions,
        root: Path,
        backbones: Sequence[str] | None,
        progress: Progress,
        *,
        stores: Sequence[StoreHeader] | None = None,
    ) -> Subject:
        """Open the images, or fall back on what the stores know; show `stores`, or those that the names fit."""
        dataset, problem = _opened(data, options, root, progress)
        size = options.size if dataset is None else dataset.info.size or None
        try:
            headers, notes = (
                spaces.asked_stores(root, data, backbones, size, pictured=dataset is not None)
                if stores is None
                else (list(stores), [])
            )
        except UsageError as error:
            if dataset is None or backbones is not None:
                raise problem or error from error
            headers, notes = [], [str(error)]  # the images of the cache are others: these can be looked at all the same
        if dataset is not None:
            listed = list_images(dataset, root)
        else:
            assert problem is not None
            if not headers:
                raise problem
            notes.append(f"the images cannot be opened, so this shows what the stores know: {problem}")
            with FeatureStore(headers[0].path) as store:
                listed = list_store(store)
        name = dataset.info.name if dataset is not None else str(headers[0].recipe["dataset"])
        return cls(name, dataset, tuple(headers), listed, (*listed.notes, *notes))


def _opened(
    data: str, options: DataOptions, root: Path, progress: Progress
) -> tuple[Dataset | None, MedfeatError | None]:
    """Open images by what they are called: a registered name, a path, or a name of the cache, which knows the path."""
    try:
        if data not in DATASETS and not Path(data).expanduser().exists():
            known = [header.info.get("source") for header in find_meant(Catalogue(root), [data])]
            source = next((one for one in known if one), None)
            if source is not None:
                offline = options.offline or None
                where, kept = DataOptions.from_source(source, data_root=options.data_root, offline=offline)
                return _of_version(kept.open(where, root=root, progress=progress), data, root), None
        return options.open(data, root=root, progress=progress), None
    except MedfeatError as error:
        return None, error


def _of_version(dataset: Dataset, data: str, root: Path) -> Dataset:
    """Return a dataset that was opened where those of a version were; refuse it where others lie there now."""
    name, number = split_name(data)
    if number is not None:
        here = versions_of(Catalogue(root), name).of(dataset.info.content or dataset.info.fingerprint)
        if here is None or here.number != number:
            what = "other images" if here is None else f"{name}@{here.number}"
            raise DataError(f"where the images of {data} were, {what} are now")
    return dataset


def shown_in(listed: Listed, *, identifiers: bool) -> dict[str, str]:
    """Return what images are called where others see them, by id."""
    ids = listed.ids.tolist()
    if identifiers:
        return dict(zip(ids, ids, strict=True))
    patients = None if listed.patients is None else listed.patients.tolist()
    return dict(zip(ids, shown_ids(ids, patients), strict=True))


def called_patients(patients: Sequence[str], *, identifiers: bool) -> dict[str, str]:
    """Return what patients are called where others see them."""
    return {name: name for name in patients} if identifiers else pseudonyms(patients)


def point_columns(
    subject: Subject, root: Path, rows: Any, seen: Seen | None, extra: str | Path | None, *, identifiers: bool
) -> list[PointColumn]:
    """Return what is known of some images: class, split, patient, predictions, columns of the user's, mean value."""
    listed, ids = subject.listed, subject.listed.ids[rows].tolist()
    columns: list[PointColumn] = []
    if listed.labels is not None and listed.task == "regression":
        columns.append(PointColumn(listed.classes[0] if listed.classes else "value", numbers=listed.labels[rows, 0]))
    elif listed.labels is not None and listed.task is not None:
        columns.append(PointColumn("class", words=words_of(listed.labels[rows], listed.task, listed.classes),
                              order=tuple(listed.classes)))  # fmt: skip
        columns += _label_columns(listed, rows)
    if (listed.split != "").any():
        columns.append(PointColumn("split", words=listed.split[rows].tolist(), order=("train", "val", "test")))
    if listed.patients is not None:
        called = called_patients(listed.patients.tolist(), identifiers=identifiers)
        columns.append(PointColumn("patient", words=[called[name] for name in listed.patients[rows].tolist()]))
    names = spaces.space_names(subject.headers)
    columns += spaces.prediction_columns(root, subject.name, subject.headers, names, listed, ids=ids)
    columns += read_columns(Path(extra), np.array(ids)) if extra is not None else []
    if seen is not None:
        columns.append(PointColumn("mean pixel value", numbers=seen.levels, hover=False))
    return columns or [PointColumn("all", words=["images"] * len(ids), hover=False)]


def _label_columns(listed: Listed, rows: Any) -> list[PointColumn]:
    """Return one column a label where images have several, for combinations are many."""
    if listed.task != "multi-label" or listed.labels is None:
        return []
    return [
        PointColumn(f"has {name}", words=["yes" if one else "no" for one in has], order=("yes", "no"), hover=False)
        for name, has in zip(listed.classes, listed.labels[rows].T.tolist(), strict=True)
    ]
