"""Samples dealt over folds: classes evenly, patients whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medfeat.types import IdArray, LabelArray


def draw_folds(
    labels: LabelArray, ids: IdArray, together: IdArray | None, *, folds: int, seed: int
) -> NDArray[np.int64]:
    """Return (n,) fold of each sample: classes dealt evenly, what belongs together in one fold.

    Parameters
    ----------
    labels
        (n, k); samples of equal labels follow each other, and are dealt like cards.
    ids
        (n,) of the samples.
    together
        (n,) what must not be parted, such as patients; None for nothing.
    folds, seed
        Into how many parts, and how they are drawn.
    """
    rng = np.random.default_rng(seed)
    keys = np.unique(ids if together is None else together, return_inverse=True)[1].reshape(-1)
    strata = np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
    shuffled = rng.permutation(len(keys))
    # One sample stands for each group.
    _, first = np.unique(keys[shuffled], return_index=True)
    leaders = shuffled[np.sort(first)]
    leaders = leaders[np.argsort(strata[leaders], kind="stable")]
    home = np.empty(int(keys.max()) + 1, np.int64)
    home[keys[leaders]] = np.arange(len(leaders)) % folds
    return home[keys]
