"""The images behind a store, opened again for an audit: copies to calibrate on, thumbnails to compare."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medfeat.evaluation.audit.duplicates import Calibration, calibrate_threshold
from medfeat.evaluation.audit.nearest import Near, nearest_to_each
from medfeat.extraction.ask.as_stored import as_stored
from medfeat.types import FloatArray, UInt8Array
from medfeat.workflows.auditing.copies import COPIES, detail_correlation, detail_correlations, thumbnail
from medfeat.workflows.stores.remake import Remake
from medfeat_cache import FeatureStore, mean_of


class StoredImages:
    """Read-only access to the pictures of stored rows, counted through the store's groups.

    Attributes
    ----------
    store, remake
        The embeddings, and what opens their images and builds their network.
    dataset
        Of these images.
    embedded
        How many copies went through the network so far; stored images never do.
    """

    def __init__(self, store: FeatureStore, remake: Remake) -> None:
        self.store, self.remake = store, remake
        self.dataset = dataset = remake.open(whole=True)
        self.embedded = 0
        self._volume = dataset.info.ndim == 3
        self._groups = np.concatenate([np.full(store.n(group), i) for i, group in enumerate(store.groups)])
        self._rows = np.concatenate([store.rows(group) for group in store.groups])
        self._thumbnails: dict[int, UInt8Array] = {}

    def read(self, rows: NDArray[np.int64]) -> dict[int, UInt8Array]:
        """Return the images of some rows."""
        found: dict[int, UInt8Array] = {}
        for number, group in enumerate(self.store.groups):
            mine = np.sort(rows[self._groups[rows] == number])
            at = dict(zip(self._rows[mine].tolist(), mine.tolist(), strict=True))
            if not at:
                continue
            for batch in self.dataset.batches(group, 64, np.array(sorted(at), np.int64)):
                for row, image in zip(batch.rows.tolist(), batch.images, strict=True):
                    found[at[row]] = np.asarray(image)
        return found

    def look(self, rows: NDArray[np.int64], step: int = 2048) -> None:
        """Keep thumbnails of some rows, reading a bounded number of images at a time."""
        new = np.array(sorted(set(rows.tolist()) - set(self._thumbnails)), np.int64)
        for start in range(0, len(new), step):
            images = self.read(new[start : start + step])
            self._thumbnails.update({row: thumbnail(image, volume=self._volume) for row, image in images.items()})

    def details(self, pairs: Near, step: int = 4096) -> NDArray[np.float64]:
        """Return the correlation of the fine detail of each pair; NaN where an image cannot be read."""
        self.look(np.concatenate([pairs.first, pairs.second]))
        found = np.full(len(pairs.first), np.nan)
        for start in range(0, len(found), step):
            some = slice(start, start + step)
            found[some] = self._some_details(pairs.first[some], pairs.second[some])
        return found

    def _some_details(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
        """Compare the thumbnails of some pairs, those of one shape together; of two shapes, nothing is alike."""
        kept = self._thumbnails
        shapes = [(kept[a].shape, kept[b].shape) if a in kept and b in kept else None
                  for a, b in zip(first.tolist(), second.tolist(), strict=True)]  # fmt: skip
        found = np.full(len(first), np.nan)
        for pair in {one for one in shapes if one is not None}:
            here = np.flatnonzero([one == pair for one in shapes])
            if pair[0] != pair[1]:
                found[here] = -1.0
                continue
            rows, places = np.unique(np.concatenate([first[here], second[here]]), return_inverse=True)
            a, b = places.reshape(2, -1)
            found[here] = detail_correlations(np.stack([kept[row] for row in rows.tolist()]), a, b)
        return found

    def calibrate(self, *, sample: int, seed: int) -> Calibration:
        """Embed augmented copies of a few images, and draw the line so that they are found."""
        count = len(self._rows)
        rows = np.sort(np.random.default_rng(seed).choice(count, min(sample, count), replace=False))
        images = self.read(rows)
        rows = np.array([row for row in rows.tolist() if row in images], np.int64)
        ids = np.concatenate([self.store.ids(group) for group in self.store.groups])
        originals = self.store.take(ids[rows]).astype(np.float32)
        network, progress = self.remake.network(self.dataset, count=len(COPIES) * len(rows)), self.remake.progress
        cosines: dict[str, FloatArray] = {}
        details: dict[str, FloatArray] = {}
        progress.start(len(COPIES) * len(rows), "embedding copies")
        for kind, change in COPIES.items():
            copies = [change(images[row], volume=self._volume) for row in rows.tolist()]
            step = network.batch_size
            found = [self._vectors(network(copies[i : i + step])[0]) for i in range(0, len(copies), step)]
            cosines[kind] = _cosine(np.concatenate(found), originals)
            details[kind] = np.array(
                [
                    detail_correlation(*(thumbnail(one, volume=self._volume) for one in (images[row], copy)))
                    for row, copy in zip(rows.tolist(), copies, strict=True)
                ]
            )
            self.embedded += len(copies)
            progress.advance(len(copies))
        progress.finish()
        others, cosine = self._nearest_others(rows, ids, originals)
        pairs = Near(rows, others, cosine)
        return calibrate_threshold(cosines, details, cosine, np.nan_to_num(self.details(pairs), nan=-1.0))

    def _vectors(self, rows: NDArray[np.float32]) -> FloatArray:
        """Return one vector an image of what the network gave, as the store is read."""
        recipe = self.store.recipe
        stored = as_stored(rows, kept=str(recipe.get("kept", "")), dtype=str(recipe.get("dtype", "")))
        return mean_of(stored) if stored.ndim > 2 else stored

    def _nearest_others(
        self, rows: NDArray[np.int64], ids: NDArray[np.str_], originals: FloatArray
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        place = {str(name): i for i, name in enumerate(ids.tolist())}
        others, cosines = [], []
        for row, (names, found) in zip(rows.tolist(), nearest_to_each(self.store, originals, 2), strict=True):
            pick = next(i for i, name in enumerate(names.tolist()) if place[name] != row)
            others.append(place[str(names[pick])])
            cosines.append(float(found[pick]))
        return np.array(others, np.int64), np.array(cosines, np.float32)


def _cosine(a: FloatArray, b: FloatArray) -> NDArray[np.float64]:
    a, b = a.astype(np.float64), b.astype(np.float64)
    size = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine: NDArray[np.float64] = (a * b).sum(axis=1) / np.maximum(size, 1e-300)
    return cosine
