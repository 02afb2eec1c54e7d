"""Vectors that came without images, as a dataset: ids, and what the file said of labels, splits and patients."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from medfeat.counted import counted_have
from medfeat.datasets.labels.patients import nobody, one_spelling
from medfeat.datasets.objects.object_labels import object_labels
from medfeat.datasets.splits.split_names import splits_of
from medfeat.errors import DataError, UsageError
from medfeat.types import DatasetInfo, IdArray, ImageBatch, LabelArray, Progress, TaskType
from medfeat_cache import Features

SOURCE = "import"


class ImportedData:
    """A `medfeat.types.Dataset` of which no image is known.

    Parameters
    ----------
    name
        Of the dataset.
    features
        By group, as `medfeat_cache.read_features` gives them.
    where
        The file, for errors.
    task, classes
        What labels mean and their names in order, where a person said it; else as the file says, or told from them.
    progress
        Told of labels that can be meant in two ways.

    Raises
    ------
    DataError
        Labels, splits or patients that cannot be meant.
    """

    def __init__(
        self,
        name: str,
        features: Mapping[str, Features],
        *,
        where: str,
        task: TaskType | None,
        classes: Sequence[str],
        progress: Progress,
    ) -> None:
        self._ids = {group: one.ids for group, one in features.items()}
        rows = {
            group: [None] * len(one.ids) if one.labels is None else _rows(one.labels) for group, one in features.items()
        }
        first = next(iter(features.values()))
        said: TaskType | None = first.task or None  # type: ignore[assignment]  # object_labels refuses any other word
        found = object_labels(where, rows, task or said, progress, known=first.classes, wanted=tuple(classes))
        self._labels = found.values
        self.split = _splits(features, where)
        self.patients = _patients(features, where, progress)
        content = _digest(self._ids)
        self.info = DatasetInfo(
            name=name,
            size=0,
            task=found.task,
            classes=found.classes,
            channels=0,
            ndim=2,
            counts={group: len(ids) for group, ids in self._ids.items()},
            fingerprint=content,
            source=SOURCE,
            content=content,
        )

    def ids(self, group: str) -> IdArray:
        """Return the (n,) ids of a group."""
        return self._ids[group]

    def labels(self, group: str) -> LabelArray | None:
        """Return the (n, k) labels of a group, None when there are none."""
        return self._labels.get(group)

    def batches(self, group: str, batch_size: int, rows: NDArray[np.int64] | None = None) -> Iterator[ImageBatch]:
        """Refuse: there are no images."""
        del group, batch_size, rows
        raise UsageError(f"{self.info.name} was imported without images: nothing can be embedded")


def _rows(labels: LabelArray | NDArray[np.str_]) -> list[object]:
    flat = labels.ndim == 1 or (labels.dtype.kind == "U" and labels.shape[1] == 1)
    return list(labels.reshape(-1).tolist() if flat else labels)


def _splits(features: Mapping[str, Features], where: str) -> IdArray | None:
    """Return the split of each image as the file says it, under its usual name."""
    if any(one.split is None for one in features.values()):
        return None
    words = [str(word) for one in features.values() for word in (one.split if one.split is not None else ())]
    names = splits_of(words, f"{where}, split")
    strange = sorted(set(words) - set(names))
    if strange:
        raise DataError(f"{where}: split must be train, val or test, got {strange[0]!r}")
    return np.array([names[word] for word in words])


def _patients(features: Mapping[str, Features], where: str, progress: Progress) -> IdArray | None:
    if any(one.patients is None for one in features.values()):
        return None
    written = [str(word) for one in features.values() for word in (one.patients if one.patients is not None else ())]
    unknown = nobody(written)
    if unknown:
        raise DataError(
            f"{where}: {counted_have(len(unknown), 'row')} no patient: name one in each, or leave the column out"
        )
    patients, said = one_spelling(written)
    if said:
        progress.say(f"{where}: {said}")
    return np.array(patients)


def _digest(ids: Mapping[str, IdArray]) -> str:
    """Name the images by their ids, the one thing known of them: features of the same ids are of the same images."""
    digest = hashlib.blake2b(b"ids\n", digest_size=16)
    for name in sorted(str(name) for group in ids.values() for name in group):
        digest.update(f"{name}\0".encode())
    return f"ids:{digest.hexdigest()}"
