"""Cosine nearest neighbours whose votes are weighted, so that their scores rank and have a real AUC.

The weight of a neighbour is ``exp(similarity / temperature)``, as in Wu et al., Unsupervised Feature Learning via
Non-Parametric Instance Discrimination, CVPR 2018; an infinite temperature counts heads.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from medfeat.errors import DataError
from medfeat.heads.class_weights import BALANCED, NONE, evened, refuse_numbers, weight_settings, weights_tried
from medfeat.heads.inputs import check_split, decide, target_matrix
from medfeat.heads.standardise import BLOCK, Standardiser, row_blocks
from medfeat.types import Candidate, FloatArray, LabelArray, Progress, TaskType

NEIGHBOURS = (5, 11, 21, 51, 101, 201)
TEMPERATURES = (float("inf"), 0.1, 0.02)
# Similarities held at a time, and train features of length one that are kept, as numbers: 64 MiB of float32 each.
BLOCK_NUMBERS = 1 << 24
# Numbers of train in a saved head: 1 GiB of float32, of which saving holds several copies.
MOST_SAVED = 1 << 28


class CosineIndex:
    """Train features of length one, and whom they are nearest to.

    Of more than `BLOCK_NUMBERS` numbers, rows of length one are made block by block whenever they are needed, from
    features that may stay in their file: memory does not grow with train.

    Parameters
    ----------
    X
        (n, d) train features.
    standardised
        Measure angles between standardised features, seen from the mean of train.
    most
        Largest number of neighbours that will be asked for.
    """

    def __init__(self, X: FloatArray, *, standardised: bool, most: int) -> None:
        d = X.shape[1]
        statistics = Standardiser.fit(X) if standardised else Standardiser(np.zeros(d), np.ones(d))
        self.mean, self.scale, self.most = statistics.mean, statistics.scale, min(most, len(X))
        self.rows: NDArray[np.float32] | None = self._unit(X) if X.size <= BLOCK_NUMBERS else None
        self._train: FloatArray | None = X if self.rows is None else None
        self._last: tuple[FloatArray, NDArray[np.float32], NDArray[np.int64]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        rows, train = self.rows, self._train
        if rows is None and train is not None:
            if train.size > MOST_SAVED:
                raise DataError(
                    f"a kNN head is its train features, and {len(train)} x {train.shape[1]} numbers are more than the "
                    f"{MOST_SAVED} that are saved: probe another head to predict with"
                )
            rows = self._unit(train)
        return {**self.__dict__, "rows": rows, "_train": None, "_last": None}

    def nearest(self, X: FloatArray) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return (n, most) similarities, largest first, and the rows of train they are to.

        The last answer is kept: candidates that share an index differ only in how its neighbours vote.
        """
        if self._last is None or self._last[0] is not X:
            step = max(1, BLOCK_NUMBERS // BLOCK)
            blocks = [self._search(X[i : i + step]) for i in range(0, max(len(X), 1), step)]
            values, rows = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
            self._last = (X, values, rows)
        return self._last[1:]

    def _search(self, X: FloatArray) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        units = self._unit(X)
        value = np.empty((len(X), 0), np.float32)
        place = np.empty((len(X), 0), np.int64)
        for start, rows in self._blocks():
            value = np.concatenate([value, units @ rows.T], axis=1)
            place = np.concatenate([place, np.broadcast_to(start + np.arange(len(rows)), (len(X), len(rows)))], axis=1)
            some = largest(value, self.most)
            value, place = np.take_along_axis(value, some, axis=1), np.take_along_axis(place, some, axis=1)
        return value, place

    def _blocks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield train rows of length one and where they start."""
        kept, train = self.rows, getattr(self, "_train", None)  # heads saved by earlier versions have rows alone
        source = kept if kept is not None else train
        assert source is not None
        for block in row_blocks(len(source)):
            yield block.start, source[block] if kept is not None else self._unit(source[block])

    def _unit(self, X: FloatArray) -> NDArray[np.float32]:
        centred = Standardiser(self.mean, self.scale).transform(X, dtype=np.float32)
        length = np.linalg.norm(centred, axis=1, keepdims=True)
        unit: NDArray[np.float32] = centred / np.maximum(length, np.finfo(np.float32).tiny)
        return unit


def largest(value: NDArray[np.float32], most: int) -> NDArray[np.int64]:
    """Return (n, most) positions of the largest numbers of each row, largest first, equal ones in their order.

    Also where equal ones stand at the border: which of them are among the `most` does not hang on a partition.
    """
    most = min(most, value.shape[1])
    some = np.argpartition(-value, most - 1, axis=1)[:, :most]
    found = np.take_along_axis(value, some, axis=1)
    crowded = np.flatnonzero((value >= found.min(axis=1, keepdims=True)).sum(axis=1) > most)
    some[crowded] = np.argsort(-value[crowded], axis=1, kind="stable")[:, :most]
    found = np.take_along_axis(value, some, axis=1)
    order = np.lexsort((some, -found), axis=1)
    return np.take_along_axis(some, order, axis=1)


class NeighboursProbe(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Weighted votes of the `k` train samples at the smallest angle; every task type.

    Parameters
    ----------
    k
        Number of neighbours.
    temperature
        Of the votes; small trusts the nearest, infinite counts all `k` alike.
    standardised
        Standardise features before measuring angles.
    task_type, n_classes
        As in every head.
    class_weight
        ``none``, or ``balanced``: a vote counts by how rare its class is in train.
    """

    def __init__(
        self,
        k: int = 21,
        *,
        temperature: float = 0.1,
        standardised: bool = False,
        task_type: TaskType = "multi-class",
        n_classes: int = 2,
        class_weight: str = NONE,
    ) -> None:
        self.k = k
        self.temperature = temperature
        self.standardised = standardised
        self.task_type = task_type
        self.n_classes = n_classes
        self.class_weight = class_weight

    def fit(self, X: FloatArray, y: LabelArray, *, index: CosineIndex | None = None) -> NeighboursProbe:
        """Remember (n, d) features and (n, k) labels; `index` is one already made of `X`.

        Raises
        ------
        DataError
            Fewer samples than neighbours, or features or labels that cannot be learnt from.
        """
        check_split(X, y, "train")
        if not 0 < self.k <= len(X):
            raise DataError(f"k must be between 1 and the number of train samples ({len(X)}), got {self.k}")
        self.targets_ = target_matrix(y, self.task_type, self.n_classes).astype(np.float32)
        self.index_ = index or CosineIndex(X, standardised=self.standardised, most=self.k)
        return self

    def scores(self, X: FloatArray) -> FloatArray:
        """Return (n, n_classes) weighted mean of the neighbours' targets."""
        similarity, rows = (found[:, : self.k] for found in self.index_.nearest(X))
        weights = np.exp((similarity - similarity[:, :1]) / self.temperature, dtype=np.float64)
        votes, total = np.zeros((len(X), self.targets_.shape[1])), np.zeros((len(X), 1))
        # Votes and their total are summed in the same order, so that no probability is rounded above 1.
        for near in range(self.k):
            votes += weights[:, near, None] * self.targets_[rows[:, near]]
            total += weights[:, near, None]
        shares = votes / total
        if self.class_weight == BALANCED:
            return evened(shares, self.targets_.mean(axis=0, dtype=np.float64), several=self.task_type == "multi-label")
        return shares

    predict_proba = scores

    def predict(self, X: FloatArray) -> LabelArray:
        """Return (n,) class numbers, (n, k) labels, or numbers for a regression."""
        return decide(self.scores(X), self.task_type)


class NeighboursHead:
    """kNN over `NEIGHBOURS` and `TEMPERATURES`, with features as they are and standardised; many neighbours first."""

    name = "knn"

    def __init__(self, class_weight: str = NONE) -> None:
        self.class_weight = class_weight

    def candidates(
        self,
        train: tuple[FloatArray, LabelArray],
        val: tuple[FloatArray, LabelArray],
        task_type: TaskType,
        n_classes: int,
        *,
        seed: int,
        progress: Progress,
    ) -> Iterator[Candidate]:
        """Yield one probe a setting; settings with more neighbours than train samples are left out."""
        del val, seed
        X, y = train
        check_split(X, y, "train")
        counts = [k for k in NEIGHBOURS if k <= len(X)] or [len(X)]
        refuse_numbers(self.class_weight, task_type)
        tried = weights_tried(self.class_weight)
        progress.start(2 * len(counts) * len(TEMPERATURES) * len(tried), self.name, unit="settings")
        indices = {flag: CosineIndex(X, standardised=flag, most=max(counts)) for flag in (False, True)}
        asked: dict[str, Any] = {"task_type": task_type, "n_classes": n_classes}
        for k, temperature, flag, how in product(reversed(counts), TEMPERATURES, indices, tried):
            probe = NeighboursProbe(k, temperature=temperature, standardised=flag, class_weight=how, **asked)
            probe.fit(X, y, index=indices[flag])
            progress.advance(1)
            settings = {"k": k, "temperature": _plain(temperature), "standardised": flag}
            yield Candidate(settings | weight_settings(how, self.class_weight), probe, 1 / k)
        progress.finish()


def _plain(temperature: float) -> float | str:
    # JSON knows no infinity.
    return temperature if np.isfinite(temperature) else "inf"
