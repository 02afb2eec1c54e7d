"""Which samples train, select and test: the official split, the user's own, or one drawn from a fixed seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from medfeat.counted import counted
from medfeat.datasets.given_labels import labels_of
from medfeat.datasets.splits.earlier_places import Earlier, draw_beside
from medfeat.errors import DataError
from medfeat.types import OFFICIAL_GROUPS, OFFICIAL_SOURCES, Dataset, IdArray, LabelArray, Task, TaskType

FRACTIONS: Mapping[str, float] = {"train": 0.7, "val": 0.1, "test": 0.2}
_REGRESSION_BINS = 5
_NAMED = 5


@runtime_checkable
class _Grouped(Protocol):
    """A dataset of the user's own: one group of images, with what is known of their split and patients."""

    split: IdArray | None
    patients: IdArray | None


def source_task(dataset: Dataset, *, seed: int = 0, earlier: Earlier | None = None) -> Task:
    """Return the question a dataset itself asks: its labels and its split.

    Official sets and .npz files with several groups keep these as the split. Own images keep the split they were
    given; a part of it that is missing is drawn from train; with no split at all, 70 % train, 10 % val and 20 % test
    are drawn from `seed`, stratified by label, and by patient when patients are known; the origin says the shares
    really drawn, and the classes too small to be in train or test.

    Parameters
    ----------
    dataset
        Any dataset with labels.
    seed
        Of the draw; an id goes to the same split whatever the order of the images.
    earlier
        What was drawn of these images before: it is kept, and new images are drawn beside it.

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
    patients = dataset.patients if isinstance(dataset, _Grouped) else None
    given = _given_split(dataset, groups)
    if info.task is None:
        raise DataError(f"{info.name} has no labels to learn from; give them in a CSV with the columns path,label")
    if given is not None:
        _refuse_shared_patients(info.name, given, patients)
    official = info.source in OFFICIAL_SOURCES
    task = Task("official", info.task, info.classes, ids, labels, split=ids, group=patients)
    if given is None:
        split, how = drawn_task_split(
            ids, labels, info.task, info.classes, patients=patients, seed=seed, earlier=earlier
        )
    else:
        split, how = _completed(task, given, name=info.name, patients=patients, seed=seed, earlier=earlier)
    return replace(task, split=split, origin="official labels and split" if official else f"own labels; {how}")


def drawn_task_split(
    ids: IdArray,
    labels: LabelArray,
    task: TaskType,
    classes: Sequence[str],
    *,
    patients: IdArray | None = None,
    seed: int = 0,
    earlier: Earlier | None = None,
) -> tuple[IdArray, str]:
    """Draw train, val and test for a task, and say in words how, what came of it and which classes it leaves out.

    Parameters
    ----------
    ids, patients, seed, earlier
        As `draw_beside` takes them.
    labels, task, classes
        (n, k) labels, what they mean, and their names.
    """
    strata = _strata(labels, task)
    split, kept = draw_beside(ids, strata, FRACTIONS, patients=patients, seed=seed, earlier=earlier)
    by = " by patient" if patients is not None else ""
    return split, f"{kept}split stratified 70/10/20{by} from seed {seed}: {_in_words(split, labels, task, classes)}"


def _in_words(split: IdArray, labels: LabelArray, task: TaskType, classes: Sequence[str]) -> str:
    """Tell the shares of a split that was drawn, and the classes that train or test does not hold."""
    counts = {part: int((split == part).sum()) for part in OFFICIAL_GROUPS}
    words = [", ".join(f"{count} {part} ({100 * count / len(split):.1f} %)" for part, count in counts.items())]
    for part in ("train", "test"):
        lost = _absent(labels[split == part], labels, task, classes)
        if lost and counts[part]:
            more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
            words.append(f"too few samples of {', '.join(lost[:_NAMED])}{more} for {part} to have any")
    return "; ".join(words)


def _absent(part: LabelArray, labels: LabelArray, task: TaskType, classes: Sequence[str]) -> list[str]:
    """Return the classes that all samples have and a part of them has not."""
    if task == "regression":
        return []
    if task == "multi-label":
        gone = labels.any(axis=0) & ~part.any(axis=0)
        return [classes[int(i)] for i in np.flatnonzero(gone)]
    return [classes[i] for i in np.setdiff1d(labels, part).astype(int)]


def _labels(dataset: Dataset, groups: Sequence[str]) -> LabelArray:
    found = [labels_of(dataset, group) for group in groups]
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
    return dataset.split if isinstance(dataset, _Grouped) else None


def _strata(labels: LabelArray, task: TaskType) -> NDArray[np.int64]:
    """Return the class of each sample, the columns of a multi-label set, or fifths of the first target."""
    if task == "regression":
        edges = np.quantile(labels[:, 0], np.linspace(0, 1, _REGRESSION_BINS + 1)[1:-1])
        return np.searchsorted(edges, labels[:, 0]).astype(np.int64)
    whole = labels.astype(np.int64)
    return whole if task == "multi-label" else whole[:, 0]


def _completed(
    task: Task, given: IdArray, *, name: str, patients: IdArray | None, seed: int, earlier: Earlier | None
) -> tuple[IdArray, str]:
    """Return the split with the parts that are missing drawn from train, and in words where it came from."""
    missing = [part for part in OFFICIAL_GROUPS if part not in given]
    if "train" in missing:
        parts = ", ".join(f"{int((given == part).sum())} {part}" for part in OFFICIAL_GROUPS if part not in missing)
        raise DataError(
            f"the split of {name} has no train part ({parts}); train, val and test are needed: add one, or leave the "
            "split out (name the folder inside) to have one drawn"
        )
    if not missing:
        return given, "split as given"
    train = given == "train"
    fractions = {"train": 1.0 - sum(FRACTIONS[part] for part in missing), **{part: FRACTIONS[part] for part in missing}}
    split = given.astype("<U5")
    split[train], kept = draw_beside(
        task.ids[train],
        _strata(task.labels, task.task_type)[train],
        fractions,
        patients=None if patients is None else patients[train],
        seed=seed,
        earlier=earlier,
    )
    by = " by patient" if patients is not None else ""
    drawn = f"split as given, {' and '.join(missing)} drawn from train, stratified{by} from seed {seed}"
    return split, f"{kept}{drawn}: {_in_words(split, task.labels, task.task_type, task.classes)}"


def _refuse_shared_patients(name: str, split: IdArray, patients: IdArray | None) -> None:
    if patients is None:
        return
    pairs = np.unique(np.stack([patients, split.astype(np.str_)]), axis=1)
    names, counts = np.unique(pairs[0], return_counts=True)
    if (counts > 1).any():
        shared = names[counts > 1]
        where = ", ".join(pairs[1][pairs[0] == shared[0]])
        raise DataError(
            f"{counted(len(shared), 'patient')} of {name} "
            f"{'is' if len(shared) == 1 else 'are'} in more than one split, such as {shared[0]} in {where}: the test "
            "would ask about patients seen in training; give each patient one split, or leave the split out"
        )
