"""Some images of a dataset, made worse in every kind and severity: a dataset of its own, a group each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.corruptions import KINDS, SEVERITIES, VERSION, corrupt, noise_of
from medfeat.types import BadImage, Dataset, DatasetInfo, IdArray, ImageBatch, LabelArray, UInt8Array

SOURCE = "corrupted"


class CorruptedImages:
    """A `medfeat.types.Dataset` of worse copies; ids are ``noise-3/<id>``.

    Parameters
    ----------
    dataset
        Whose images they are.
    ids
        (n,) which of them.
    """

    def __init__(self, dataset: Dataset, ids: IdArray) -> None:
        self._dataset, self._wanted = dataset, ids
        self._rows: dict[str, NDArray[np.int64]] = {}
        for group in dataset.info.counts:
            rows = np.flatnonzero(np.isin(dataset.ids(group), ids))
            if len(rows):
                self._rows[group] = rows
        self._ids = np.concatenate([dataset.ids(group)[rows] for group, rows in self._rows.items()])
        was = dataset.info
        told = "\0".join([str(VERSION), was.fingerprint, *self._ids.tolist()])
        content = f"blake2b:{hashlib.blake2b(told.encode(), digest_size=16).hexdigest()}"
        self.noise = noise_of(was.name)
        self.info: DatasetInfo = replace(
            was,
            name=f"{was.name}-corrupted",
            task=None,
            classes=(),
            counts={f"{kind}-{severity}": len(self._ids) for kind in KINDS for severity in SEVERITIES},
            fingerprint=content,
            source=SOURCE,
            content=content,
        )

    def ids(self, group: str) -> IdArray:
        """Return the (n,) ids of a kind and severity."""
        return np.char.add(f"{group}/", self._ids)

    def labels(self, group: str) -> LabelArray | None:
        """Return None: the labels are those of the images, and are joined by id."""
        del group
        return None

    def batches(self, group: str, batch_size: int, rows: NDArray[np.int64] | None = None) -> Iterator[ImageBatch]:
        """Read images and make them worse, in ascending order."""
        kind, _, severity = group.rpartition("-")
        start = 0
        for name, places in self._rows.items():
            asked = np.arange(start, start + len(places))
            mine = (asked if rows is None else np.intersect1d(rows, asked)) - start
            at = {int(place): start + i for i, place in enumerate(places.tolist())}
            for batch in self._dataset.batches(name, batch_size, places[mine]) if len(mine) else ():
                here = np.array([at[row] for row in batch.rows.tolist()], np.int64)
                worse = [
                    self._worse(image, kind, int(severity), str(self._ids[row]))
                    for image, row in zip(batch.images, here.tolist(), strict=True)
                ]
                same = len({image.shape for image in worse}) == 1
                bad = tuple(_moved(one, at, group) for one in batch.bad)
                yield ImageBatch(here, np.stack(worse) if same else worse, bad)
            start += len(places)

    def _worse(self, image: UInt8Array, kind: str, severity: int, name: str) -> UInt8Array:
        volume = self._dataset.info.ndim == 3
        return corrupt(image, kind, severity, seed_of=name, noise=self.noise, volume=volume)


def _moved(bad: BadImage, at: dict[int, int], group: str) -> BadImage:
    return BadImage(f"{group}/{bad.id}", bad.reason, None if bad.row is None else at[bad.row])
