"""What is known of each image of a dataset before one is read: split, class, patient, and columns of the user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets import source_task
from medfeat.datasets.given_labels import labels_of
from medfeat.datasets.labels.cells import UnclearNumber, read_numbers
from medfeat.datasets.labels.table_file import TABLES, read_table
from medfeat.errors import DataError, MissingFileError
from medfeat.report.page.columns import UNKNOWN, PointColumn
from medfeat.tasks import official
from medfeat.tasks.near_ids import no_such_image
from medfeat.types import OFFICIAL_GROUPS, Dataset, DatasetInfo, IdArray, LabelArray, TaskType
from medfeat.workflows.asking.earlier_split import split_in_cache
from medfeat.workflows.looking.look import Kinds
from medfeat_cache import FeatureStore

_RANGES = 4
# A column with more different numbers than these is coloured as a number, not by words.
_FEW_NUMBERS = 12


@dataclass(frozen=True)
class Listed:
    """The images of a dataset, groups one after the other.

    Attributes
    ----------
    ids
        (n,) ids.
    split
        (n,) split, empty where there is none.
    task, classes, labels
        As in `medfeat.types.Task`; None, () and None without labels.
    patients
        (n,) patient, None when unknown.
    notes
        What must be said of labels and splits.
    """

    ids: IdArray
    split: IdArray
    task: TaskType | None
    classes: tuple[str, ...]
    labels: LabelArray | None
    patients: IdArray | None
    notes: tuple[str, ...] = ()


def list_images(dataset: Dataset, root: Path) -> Listed:
    """List the images of an open dataset, in the split that was drawn when they were extracted into a cache."""
    info, groups = dataset.info, tuple(dataset.info.counts)
    ids = np.concatenate([dataset.ids(group) for group in groups])
    parts = [labels_of(dataset, group) for group in groups]
    labels: LabelArray | None = None
    if info.task is not None and all(part is not None for part in parts):
        labels = np.concatenate([part for part in parts if part is not None])
    patients, given = getattr(dataset, "patients", None), getattr(dataset, "split", None)
    split, notes = given, []
    if set(groups) <= set(OFFICIAL_GROUPS):
        split = np.repeat(np.array(groups), [len(dataset.ids(group)) for group in groups])
    elif labels is not None:
        try:
            kept = split_in_cache(dataset, root)
            task = source_task(dataset, earlier=kept)
            split, notes = task.split, [task.origin]
            if kept is not None and kept.places == dict(zip(ids.tolist(), split.tolist(), strict=True)):
                notes = [kept.origin]
        except DataError as error:  # two patients in two splits is what one wants to see here, not what stops the page
            notes = [str(error)]
    return Listed(
        ids,
        np.full(len(ids), "") if split is None else split,
        None if labels is None else info.task,
        info.classes,
        labels,
        patients,
        tuple(notes),
    )


def list_store(store: FeatureStore) -> Listed:
    """List the images of a store, where the images themselves are not at hand."""
    ids = np.concatenate([store.ids(group) for group in store.groups])
    groups = np.repeat(np.array(store.groups), [store.n(group) for group in store.groups])
    try:
        task = official(store)
    except DataError:
        split = groups if set(store.groups) <= set(OFFICIAL_GROUPS) else np.full(len(ids), "")
        return Listed(ids, split, None, (), None, None)
    at = {str(one): i for i, one in enumerate(task.ids)}
    here = np.array([one in at for one in ids.tolist()])
    order = np.array([at[one] for one in ids[here].tolist()], np.int64)
    patients = None if task.group is None else task.group[order]
    return Listed(
        ids[here], task.split[order], task.task_type, task.classes, task.labels[order], patients, (task.origin,)
    )


def words_of(labels: LabelArray, task: TaskType, classes: Sequence[str]) -> list[str]:
    """Return a word an image: its class, its labels joined, or its number."""
    if task == "regression":
        return ["|".join(f"{value:g}" for value in row) for row in labels.tolist()]
    if task == "multi-label":
        return [" + ".join(n for n, here in zip(classes, row, strict=True) if here) or "none" for row in labels]
    return [classes[int(number)] for number in labels[:, 0]]


def kinds_of(listed: Listed) -> Kinds:
    """Return what images are sorted by: classes, labels (and none of them), ranges of a number, or one kind of all."""
    labels = listed.labels
    if labels is None or listed.task is None:
        return Kinds(("all images",), np.ones((len(listed.ids), 1), np.bool_))
    if listed.task == "multi-label":
        has = labels.astype(bool)
        return Kinds((*listed.classes, "none of them"), np.column_stack([has, ~has.any(axis=1)]))
    if listed.task == "regression":
        name = listed.classes[0] if listed.classes else ""
        return _ranges(labels[:, 0].astype(np.float64), "value" if not name or name.isdecimal() else name)
    return Kinds(tuple(listed.classes), labels[:, :1] == np.arange(len(listed.classes)))


def _ranges(values: NDArray[np.float64], name: str) -> Kinds:
    edges = np.unique(np.quantile(values, np.linspace(0, 1, _RANGES + 1)))
    if len(edges) < 2:
        return Kinds((f"{name} {edges[0]:g}",), np.ones((len(values), 1), np.bool_))
    which = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    names = tuple(f"{name} {low:g} to {high:g}" for low, high in pairwise(edges))
    return Kinds(names, which[:, None] == np.arange(len(names)))


def read_columns(path: Path, ids: IdArray) -> list[PointColumn]:
    """Read columns of the user's from a CSV or .xlsx that has an ``id`` (or ``path``).

    Parameters
    ----------
    path
        The file.
    ids
        (n,) images to find in it.

    Raises
    ------
    MissingFileError
        No such file.
    DataError
        No column of ids, no other column, or none of the ids.
    """
    try:
        (_, names), *filled = read_table(path).rows or ((1, []),)
    except FileNotFoundError as error:
        raise _no_columns(path) from error
    key = next((name for name in names if name.lower() in ("id", "path")), None)
    if key is None or len(names) < 2:
        raise DataError(f"{path} has the columns {', '.join(names) or 'none'}: needed are id (or path) and others")
    rows = [dict(zip_longest(names, cells[: len(names)], fillvalue="")) for _, cells in filled]
    found = {row[key]: row for row in rows}
    if not any(one in found for one in ids.tolist()):
        first = next(iter(found), "")
        raise DataError(f"{path}: none of its {len(found)} ids is in the dataset, and {no_such_image(first, ids)}")
    return [
        _column(name, [(found.get(one) or {}).get(name) or "" for one in ids.tolist()]) for name in names if name != key
    ]


def refuse_missing(path: Path) -> None:
    """Refuse a table that is not there before anything long is done."""
    if not path.exists():
        raise _no_columns(path)


def _no_columns(path: Path) -> MissingFileError:
    near = sorted(one.name for one in Path().glob("*") if one.suffix.lower() in TABLES)[:3]
    there = f"; here lie {', '.join(near)}" if near else ""
    return MissingFileError(
        f"there is no file {path}: --columns takes a CSV with id (or path) and the columns to colour by{there}"
    )


def _column(name: str, values: Sequence[str]) -> PointColumn:
    there = [value for value in values if value.strip()]
    try:
        read = dict(zip(there, read_numbers(there).values, strict=True))
    except UnclearNumber:
        read = {}
    known = [read.get(value) for value in there]
    numbers = (
        None if None in known else np.array([read[value] if value.strip() else np.nan for value in values], np.float64)
    )
    if numbers is not None and len(np.unique(numbers[np.isfinite(numbers)])) > _FEW_NUMBERS:
        return PointColumn(name, numbers=numbers)
    return PointColumn(name, words=[value.strip() or UNKNOWN for value in values])


def card_of(info: DatasetInfo | None, listed: Listed, shapes: Mapping[tuple[int, ...], int]) -> list[tuple[str, str]]:
    """Return names and values of what is known of a dataset."""
    often = sorted(shapes.items(), key=lambda one: -one[1])[:3]
    forms = ", ".join(f"{' x '.join(map(str, shape))} ({count:,})" for shape, count in often)
    forms += f" and {len(shapes) - 3} other shapes" if len(shapes) > 3 else ""
    splits = {part: int((listed.split == part).sum()) for part in dict.fromkeys(listed.split.tolist()) if part}
    patients = "" if listed.patients is None else f"{len(np.unique(listed.patients)):,}"
    facts = [
        ("Task", listed.task or "no labels"),
        ("Classes", f"{len(listed.classes)}" if listed.classes and listed.task != "regression" else ""),
        ("Images", f"{len(listed.ids):,}"),
        ("Splits", ", ".join(f"{name} {count:,}" for name, count in splits.items())),
        ("Patients", patients),
        ("Shapes", forms),
    ]
    if info is not None:
        facts += [("Values", info.intensity), ("Licence", info.licence), ("Citation", info.citation),
                  ("Home", info.url),
                  ("Fingerprint", info.fingerprint)]  # fmt: skip
    return facts
