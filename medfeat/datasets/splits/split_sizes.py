"""How many of each class go to each split: the sizes of the splits first, then every class as evenly as can be."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Shares = NDArray[np.float64]

# What a class costs, in order of weight: to be absent from a split, to be more than one sample off its share, to be
# off. A cycle changes at most three classes, so that a weight of ten times the next cannot be outbid.
_ABSENT = 1e6
_BEYOND = 1e3
_BETTER = 1e-6
# A move among whole patients may not trade one sample of a split's size for any evenness of classes.
_SIZE_WEIGHT = 100.0
_BETTER_MOVE = 1e-2
_CANDIDATES = 128
_MOST_MOVES = 300


def split_sizes(total: int, shares: Shares) -> Counts:
    """Round the shares of a number of samples to whole samples, by largest remainder.

    No split stays empty while there are as many samples as splits.

    Examples
    --------
    >>> split_sizes(100, np.array([0.7, 0.1, 0.2])).tolist()
    [70, 10, 20]
    >>> split_sizes(4, np.array([0.7, 0.1, 0.2])).tolist()
    [2, 1, 1]
    """
    due = np.round(total * shares, 9)
    sizes = np.floor(due).astype(np.int64)
    largest = np.argsort(-(due - sizes), kind="stable")
    sizes[largest[: total - int(sizes.sum())]] += 1
    for empty in np.flatnonzero(sizes == 0)[: max(0, total - 1)]:
        if total >= len(shares):
            sizes[np.argmax(sizes)] -= 1
            sizes[empty] += 1
    return sizes


def apportion(counts: Counts, shares: Shares) -> Counts:
    """Say how many samples of each class go to each split.

    The sizes of the splits are those of `split_sizes`. Among all tables with these sizes the one returned has the
    fewest classes absent from a split (first from the largest), then no class more than one sample off its share,
    then the smallest sum over cells of ``(placed - due)^2 / due``. It is found by cancelling cycles that cost less
    than nothing (Klein, *Management Science* 14:205-220, 1967), which ends at the best one since the cost of each
    cell is convex.

    Parameters
    ----------
    counts
        (k,) samples a class.
    shares
        (s,) share of each split; they sum to 1.

    Returns
    -------
    ndarray
        (k, s) samples.
    """
    placed = _filled(counts, shares)
    change = _changes(placed, counts, shares)
    cycles = [
        list(zip(cycle, (*cycle[1:], cycle[0]), strict=True))
        for length in range(2, len(shares) + 1)
        for cycle in itertools.permutations(range(len(shares)), length)
    ]
    while True:
        who, least = change.argmin(axis=0), change.min(axis=0)
        best = min(cycles, key=lambda cycle: sum(least[step] for step in cycle))
        if sum(least[step] for step in best) >= -_BETTER:
            return placed
        for source, target in best:
            placed[who[source, target], source] -= 1
            placed[who[source, target], target] += 1
        touched = np.array([who[step] for step in best])
        change[touched] = _changes(placed[touched], counts[touched], shares)


def _filled(counts: Counts, shares: Shares) -> Counts:
    """Return any table of the right sums that is near the shares."""
    placed = np.floor(np.round(counts[:, None] * shares, 9)).astype(np.int64)
    room = split_sizes(int(counts.sum()), shares) - placed.sum(axis=0)
    while (room < 0).any():
        full = int(np.argmin(room))
        placed[int(np.argmax(placed[:, full])), full] -= 1
        room[full] += 1
    for row, left in enumerate(counts - placed.sum(axis=1)):
        for _ in range(int(left)):
            split = int(np.argmax(np.where(room > 0, (counts[row] * shares - placed[row]) + 1.0, 0.0)))
            placed[row, split] += 1
            room[split] -= 1
    return placed


def _changes(placed: Counts, counts: Counts, shares: Shares) -> NDArray[np.float64]:
    """Return (k, s, s) what it costs to move one sample of a class from one split to another."""
    now = _cost(placed, counts, shares)
    fewer = np.where(placed > 0, _cost(np.maximum(placed - 1, 0), counts, shares) - now, np.inf)
    more = _cost(placed + 1, counts, shares) - now
    moved: NDArray[np.float64] = fewer[:, :, None] + more[:, None, :]
    return moved


def _cost(placed: Counts, counts: Counts, shares: Shares) -> NDArray[np.float64]:
    due = counts[:, None] * shares
    off = placed - due
    beyond = np.maximum(np.abs(off) - 1.0, 0.0)
    absent = _ABSENT * 10.0 ** np.argsort(np.argsort(shares, kind="stable"), kind="stable")
    cost: NDArray[np.float64] = off**2 / due + _BEYOND * beyond + absent * (placed == 0)
    return cost


def allot(kinds: Counts, members: Counts, shares: Shares) -> Counts:
    """Say how many patients of each kind go to each split.

    Patients go one after another, the largest first, to the split where they are missed most; then single patients
    move, and pairs change places, while that makes sizes, or at equal sizes classes, more even.

    Parameters
    ----------
    kinds
        (u, f) of each kind of patient: the number of samples, then the samples of each class or label.
    members
        (u,) patients of each kind.
    shares
        (s,) share of each split; they sum to 1.

    Returns
    -------
    ndarray
        (u, s) patients.
    """
    total = members @ kinds
    due = np.column_stack([split_sizes(int(total[0]), shares), *(_label_due(int(n), shares) for n in total[1:])])
    weight = 1.0 / np.maximum(due, 0.5)
    placed = _none_empty(_first_come(kinds, members, due, weight, shares), kinds)
    weight[:, 0] *= _SIZE_WEIGHT * max(1, int(total[0]))
    values = kinds.astype(np.float64)
    squares = values**2
    for _ in range(_MOST_MOVES):
        found = min(_steps(values, squares, placed, due, weight), key=lambda step: step[0], default=None)
        if found is None or found[0] >= -_BETTER_MOVE:
            break
        (source, target), (going, coming) = found[1]
        placed[going, source] -= 1
        placed[going, target] += 1
        if coming is not None:
            placed[coming, target] -= 1
            placed[coming, source] += 1
    return placed


def _label_due(total: int, shares: Shares) -> NDArray[np.float64]:
    """Return what each split is due of a label; of one that is rare, first one sample each, the largest split first."""
    due = total * shares
    present = np.argsort(-shares, kind="stable")[:total]
    if total == 0 or due[present].min() >= 1:
        return due
    least = np.zeros_like(due)
    least[present] = 1.0
    extra = np.maximum(due - least, 0.0)
    spread: NDArray[np.float64] = least + extra * ((total - least.sum()) / max(extra.sum(), 1e-12))
    return spread


def _first_come(
    kinds: Counts, members: Counts, due: NDArray[np.float64], weight: NDArray[np.float64], shares: Shares
) -> Counts:
    placed = np.floor(np.round(members[:, None] * shares, 9)).astype(np.int64)
    held = placed.T @ kinds
    for kind in np.argsort(-kinds[:, 0], kind="stable"):
        for _ in range(int(members[kind] - placed[kind].sum())):
            off = held - due
            change = (weight * ((off + kinds[kind]) ** 2 - off**2)).sum(axis=1)
            split = int(np.argmin(change))
            placed[kind, split] += 1
            held[split] += kinds[kind]
    return placed


def _none_empty(placed: Counts, kinds: Counts) -> Counts:
    """Give an empty split the smallest patient of the split that has most, while there are enough patients."""
    for empty in np.flatnonzero(placed.sum(axis=0) == 0):
        fullest = int(np.argmax(placed.sum(axis=0)))
        if placed[:, fullest].sum() > 1:
            there = np.flatnonzero(placed[:, fullest])
            smallest = there[np.argmin(kinds[there, 0])]
            placed[smallest, fullest] -= 1
            placed[smallest, empty] += 1
    return placed


Step = tuple[tuple[int, int], tuple[int, int | None]]


def _steps(
    kinds: NDArray[np.float64], squares: NDArray[np.float64], placed: Counts, due: Shares, weight: Shares
) -> Iterator[tuple[float, Step]]:
    """Yield, for each two splits, the best move of a patient and the best exchange of two, and what it changes."""
    off = placed.T @ kinds - due
    for source, target in itertools.permutations(range(placed.shape[1]), 2):
        slope = kinds @ (2 * (weight[target] * off[target] - weight[source] * off[source]))
        curve = weight[target] + weight[source]
        going, gain = _least(slope + squares @ curve, placed[:, source])
        coming, loss = _least(-slope + squares @ curve, placed[:, target])
        if len(going) and placed[:, source].sum() > 1:
            yield float(gain[0]), ((source, target), (int(going[0]), None))
        if len(going) and len(coming) and source < target:
            pairs = gain[:, None] + loss[None, :] - 2.0 * ((kinds[going] * curve) @ kinds[coming].T)
            best = np.unravel_index(int(np.argmin(pairs)), pairs.shape)
            yield float(pairs[best]), ((source, target), (int(going[best[0]]), int(coming[best[1]])))


def _least(change: NDArray[np.float64], there: Counts) -> tuple[Counts, NDArray[np.float64]]:
    """Return the kinds that are there and whose change is least, and the change."""
    present = np.flatnonzero(there > 0)
    order = present[np.argsort(change[present], kind="stable")[:_CANDIDATES]]
    return order, change[order]
