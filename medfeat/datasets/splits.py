"""Which samples train, select and test: the official split, the user's own, or one drawn from a fixed seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import DataError
from medfeat.types import OFFICIAL_GROUPS, Dataset, IdArray, LabelArray, Task, TaskType

FRACTIONS: Mapping[str, float] = {"train": 0.7, "val": 0.1, "test": 0.2}
REGRESSION_BINS = 5
RARE = 3


@runtime_checkable
class Grouped(Protocol):
    """A dataset of the user's own: one group of images, with what is known of their split and patients."""

    split: IdArray | None
    patients: IdArray | None


def source_task(dataset: Dataset, *, seed: int = 0) -> Task:
    """Return the question a dataset itself asks: its labels and its split.

    Official sets and .npz files with several groups keep these as the split. Own images keep the split they were
    given; a part of it that is missing is drawn from train; with no split at all, 70 % train, 10 % val and 20 % test
    are drawn from `seed`, stratified by label, and by patient when patients are known.

    Parameters
    ----------
    dataset
        Any dataset with labels.
    seed
        Of the draw; an id goes to the same split whatever the order of the images.

    Returns
    -------
    Task
        Over every id, those of bad images too: whoever joins by id leaves them out.

    Raises
    ------
    DataError
        When there are no labels, only one class, or a patient in two given splits.
    """
    info, groups = dataset.info, tuple(dataset.info.counts)
    ids = np.concatenate([dataset.ids(group) for group in groups])
    labels = _labels(dataset, groups)
    patients = dataset.patients if isinstance(dataset, Grouped) else None
    given = _given_split(dataset, groups)
    if info.task is None:
        raise DataError(f"{info.name} has no labels to learn from; give them in a CSV with the columns path,label")
    if given is not None:
        _refuse_shared_patients(info.name, given, patients)
    split, how = _completed(info.name, ids, _strata(labels, info.task), given, patients=patients, seed=seed)
    official = info.source in ("medmnist", "synthetic")
    return Task(
        name="official",
        task_type=info.task,
        classes=info.classes,
        ids=ids,
        labels=labels,
        split=split,
        group=patients,
        origin="official labels and split" if official else f"own labels; {how}",
    )


def draw_split(
    ids: IdArray,
    strata: NDArray[np.int64],
    fractions: Mapping[str, float],
    *,
    patients: IdArray | None = None,
    seed: int = 0,
) -> IdArray:
    """Draw a stratified split.

    Each patient (or each sample, where there are none), the largest first and in an order drawn from the seed, goes
    to the split that lacks most of the patient's labels, measured against what the split is due.

    Parameters
    ----------
    ids
        (n,) sample ids; the draw depends on these and not on their order.
    strata
        (n,) number of the label, or combination of labels, a sample has.
    fractions
        Share of each split, in the order in which ties are resolved.
    patients
        (n,) patient a sample; all of one patient go to one split.
    seed
        Of the draw.

    Returns
    -------
    ndarray
        (n,) name of the split a sample.
    """
    order = np.argsort(ids, kind="stable")
    keys = ids if patients is None else patients
    members = _members(keys, order)
    shuffled = np.random.Generator(np.random.PCG64(seed)).permutation(len(members))
    queue = sorted(shuffled.tolist(), key=lambda i: -len(members[i]))
    totals = np.bincount(strata)
    due = np.array([[share * total for total in totals] for share in fractions.values()])
    placed = np.zeros_like(due)
    names = np.array(list(fractions), dtype=np.str_)
    split = np.empty(len(ids), dtype=names.dtype)
    for i in queue:
        counts = np.bincount(strata[members[i]], minlength=len(totals))
        lacking = ((due - placed) / np.maximum(due, 1e-12)) @ counts
        chosen = int(np.argmax(lacking))
        placed[chosen] += counts
        split[members[i]] = names[chosen]
    return split


def _members(keys: IdArray, order: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the positions of each patient's samples, patients and samples in the order of their names."""
    sorted_keys = keys[order]
    by_key = np.argsort(sorted_keys, kind="stable")
    edges = np.flatnonzero(sorted_keys[by_key][1:] != sorted_keys[by_key][:-1]) + 1
    return list(np.split(order[by_key], edges))


def _labels(dataset: Dataset, groups: Sequence[str]) -> LabelArray:
    found = [dataset.labels(group) for group in groups]
    known = [labels for labels in found if labels is not None]
    if len(known) != len(found):
        raise DataError(
            f"{dataset.info.name} has no labels to learn from; give them in a CSV with the columns path,label"
        )
    joined: LabelArray = np.concatenate(known)  # type: ignore[assignment]  # numpy widens the union of dtypes
    return joined


def _given_split(dataset: Dataset, groups: Sequence[str]) -> IdArray | None:
    if set(groups) <= set(OFFICIAL_GROUPS):
        return np.concatenate([np.full(len(dataset.ids(group)), group, dtype="<U5") for group in groups])
    return dataset.split if isinstance(dataset, Grouped) else None


def _strata(labels: LabelArray, task: TaskType) -> NDArray[np.int64]:
    """Return the stratum of each sample: rare combinations of labels are taken together, numbers go into bins."""
    if task == "regression":
        edges = np.quantile(labels[:, 0], np.linspace(0, 1, REGRESSION_BINS + 1)[1:-1])
        return np.searchsorted(edges, labels[:, 0]).astype(np.int64)
    _, number, counts = np.unique(labels, axis=0, return_inverse=True, return_counts=True)
    number = number.reshape(-1).astype(np.int64)
    if task == "multi-label":
        number = np.where(counts[number] < RARE, len(counts), number)
    return number


def _completed(
    name: str,
    ids: IdArray,
    strata: NDArray[np.int64],
    given: IdArray | None,
    *,
    patients: IdArray | None,
    seed: int,
) -> tuple[IdArray, str]:
    """Return the whole split, and in words where it came from."""
    by = " by patient" if patients is not None else ""
    if given is None:
        return draw_split(ids, strata, FRACTIONS, patients=patients, seed=seed), (
            f"split stratified 70/10/20{by} from seed {seed}"
        )
    missing = [part for part in OFFICIAL_GROUPS if part not in given]
    if "train" in missing:
        raise DataError(f"the split of {name} has no train part; train, val and test are needed")
    if not missing:
        return given, "split as given"
    train = given == "train"
    fractions = {"train": 1.0 - sum(FRACTIONS[part] for part in missing), **{part: FRACTIONS[part] for part in missing}}
    split = given.astype("<U5")
    split[train] = draw_split(
        ids[train], strata[train], fractions, patients=None if patients is None else patients[train], seed=seed
    )
    return split, f"split as given, {' and '.join(missing)} drawn from train, stratified{by} from seed {seed}"


def _refuse_shared_patients(name: str, split: IdArray, patients: IdArray | None) -> None:
    if patients is None:
        return
    pairs = np.unique(np.stack([patients, split.astype(np.str_)]), axis=1)
    names, counts = np.unique(pairs[0], return_counts=True)
    if (counts > 1).any():
        shared = names[counts > 1]
        where = ", ".join(pairs[1][pairs[0] == shared[0]])
        raise DataError(
            f"{len(shared)} patients of {name} are in more than one split, such as {shared[0]} in {where}: the test "
            "would ask about patients seen in training; give each patient one split, or leave the split out"
        )
