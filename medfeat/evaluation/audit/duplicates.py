"""Images that are there twice: byte for byte, or nearly; and what a score is worth without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medfeat.types import FloatArray, IdArray, UInt8Array
from medfeat_cache import FeatureStore

EXACT, NEAR = "exact", "near"
# Copies that a threshold may miss when it is calibrated.
_MISSED = 0.02


@dataclass(frozen=True)
class Pair:
    """Two stored images that show the same.

    Attributes
    ----------
    first, second
        Ids, in the order of the store.
    split_first, split_second
        Where each is used.
    kind
        ``exact`` (same pixels) or ``near``.
    cosine
        Of their embeddings.
    detail
        Correlation of their fine detail; NaN where the images were not looked at.
    same_label
        None where one has no label.
    """

    first: str
    second: str
    split_first: str
    split_second: str
    kind: str
    cosine: float
    detail: float
    same_label: bool | None

    @property
    def across(self) -> bool:
        """Whether the two are in different splits."""
        return self.split_first != self.split_second


@dataclass(frozen=True)
class Calibration:
    """Where the line between alike and the same was drawn.

    Attributes
    ----------
    threshold
        Least cosine of a near duplicate.
    detail
        Least correlation of fine detail; None when images were not looked at.
    copies
        How many augmented copies it was calibrated on; 0 when the threshold was given.
    found
        Share of each kind of copy that both thresholds find.
    strangers
        Share of the sampled images whose nearest other image also passes: real duplicates, and false alarms.
    """

    threshold: float
    detail: float | None
    copies: int = 0
    found: Mapping[str, float] | None = None
    strangers: float = float("nan")


def calibrate_threshold(
    cosines: Mapping[str, FloatArray],
    details: Mapping[str, FloatArray],
    nearest: FloatArray,
    nearest_detail: FloatArray,
) -> Calibration:
    """Draw the line so that it finds nearly every augmented copy.

    Parameters
    ----------
    cosines, details
        Of each kind of copy with its original.
    nearest, nearest_detail
        Of each original with the stored image that is nearest to it.
    """
    threshold = min(float(np.quantile(part, _MISSED)) for part in cosines.values())
    line = min(float(np.quantile(part, _MISSED)) for part in details.values())
    found = {kind: float(((cosines[kind] >= threshold) & (details[kind] >= line)).mean()) for kind in cosines}
    strangers = float(((nearest >= threshold) & (nearest_detail >= line)).mean()) if len(nearest) else float("nan")
    return Calibration(threshold, line, sum(map(len, cosines.values())), found, strangers)


def exact_pairs(store: FeatureStore) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows (counted through the groups) that show the same pixels: each with the first that does."""
    return same_pixels(np.concatenate([store.image_hash(group) for group in store.groups]))


def same_pixels(hashes: UInt8Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows of (n, 16) hashes that are there again, each with the first of its kind; zeros are no hash."""
    keys = np.ascontiguousarray(hashes).view(f"V{hashes.shape[1]}").reshape(-1)
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    leader = first[which.reshape(-1)]
    again = np.flatnonzero((leader != np.arange(len(keys))) & hashes.any(axis=1))
    return leader[again].astype(np.int64), again.astype(np.int64)


def families(ids: IdArray, pairs: Sequence[Pair]) -> IdArray:
    """Return (n,) a name shared by all ids that are linked by duplicates."""
    leader = {str(name): str(name) for name in ids.tolist()}

    def root(name: str) -> str:
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    for pair in pairs:
        if pair.first in leader and pair.second in leader:
            leader[root(pair.first)] = root(pair.second)
    return np.array([root(str(name)) for name in ids.tolist()], dtype=np.str_)


def leaked(pairs: Sequence[Pair], into: str = "test") -> set[str]:
    """Return the ids of a split that are also in another."""
    found = {pair.first for pair in pairs if pair.across and pair.split_first == into}
    return found | {pair.second for pair in pairs if pair.across and pair.split_second == into}
