"""A stratified draw of splits from a fixed seed, by whole patients where these are known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.splits.split_sizes import allot, apportion
from medfeat.types import IdArray

# Beyond these many, the rarest classes among whole patients are evened out together.
MOST_CLASSES = 256


def draw_split(
    ids: IdArray,
    strata: NDArray[np.int64],
    fractions: Mapping[str, float],
    *,
    patients: IdArray | None = None,
    seed: int = 0,
) -> IdArray:
    """Draw a stratified split.

    Overall shares come first: without patients of several samples, every split has its share to within one sample.
    Then classes are as even as can be (`split_sizes`), and a class of three or more is in every split
    where the other classes can spare the place. The seed draws which samples, or patients, these are.

    Parameters
    ----------
    ids
        (n,) sample ids; the draw depends on these and not on their order.
    strata
        (n,) number of the class a sample has, or (n, k) 0 or 1 for each of its labels.
    fractions
        Share of each split; they sum to 1.
    patients
        (n,) patient a sample; all of one patient go to one split.
    seed
        Of the draw.

    Returns
    -------
    ndarray
        (n,) name of the split a sample.
    """
    _, who = np.unique(ids if patients is None else patients, return_inverse=True)
    shares = np.array(list(fractions.values()))
    kind, table = _table(who.reshape(-1), strata, shares, np.random.Generator(np.random.PCG64(seed)))
    shuffled = np.random.Generator(np.random.PCG64(seed)).permutation(len(kind))
    in_turn = shuffled[np.argsort(kind[shuffled], kind="stable")]
    drawn = np.empty(len(kind), dtype=np.int64)
    drawn[in_turn] = np.repeat(np.tile(np.arange(len(shares)), len(table)), table.reshape(-1))
    found: IdArray = np.array(list(fractions), dtype=np.str_)[drawn[who.reshape(-1)]]
    return found


def _table(
    who: NDArray[np.int64], strata: NDArray[np.int64], shares: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the kind of each patient (or sample), and how many of each kind go to each split."""
    sizes = np.bincount(who)
    if strata.ndim == 1 and sizes.max(initial=1) == 1:
        kind = np.empty(len(who), dtype=np.int64)
        kinds, kind[who], counts = np.unique(strata, return_inverse=True, return_counts=True)
        order = rng.permutation(len(kinds))
        table = np.empty((len(kinds), len(shares)), dtype=np.int64)
        table[order] = apportion(counts[order].astype(np.int64), shares)
        return kind, table
    held = np.zeros((len(sizes), 1 + _columns(strata).shape[1]), dtype=np.int64)
    np.add.at(held, who, np.column_stack([np.ones(len(who), np.int64), _columns(strata)]))
    kinds, kind, counts = np.unique(held, axis=0, return_inverse=True, return_counts=True)
    return kind.reshape(-1), allot(kinds, counts.astype(np.int64), shares)


def _columns(strata: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the classes as columns of 0 and 1; beyond `MOST_CLASSES` the rarest share the last one."""
    if strata.ndim == 2:
        return strata[:, :MOST_CLASSES]
    _, number, counts = np.unique(strata, return_inverse=True, return_counts=True)
    place = np.empty(len(counts), dtype=np.int64)
    place[np.argsort(-counts, kind="stable")] = np.minimum(np.arange(len(counts)), MOST_CLASSES - 1)
    return np.eye(min(len(counts), MOST_CLASSES), dtype=np.int64)[place[number.reshape(-1)]]
