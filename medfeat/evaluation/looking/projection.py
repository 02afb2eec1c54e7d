"""High-dimensional rows in two and three dimensions: principal components, t-SNE, and who is near whom.

t-SNE is openTSNE's (Poličar, Stražar and Zupan, Journal of Statistical Software 109(3), 2024): it takes neighbours that
are known already, and places new rows into an old map. Neighbours are exact: among whole rows, or where these are many
among their strongest components.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medfeat.types import FloatArray

# Is told how many steps of t-SNE were done since it was told last; says whether to go on.
Stepped = Callable[[int], bool]
Float32 = NDArray[np.float32]
# What is left after these carries little of what makes rows alike, and a search among them is many times faster.
COMPONENTS = 64
# Up to so many products of numbers, neighbours are looked for among whole rows, which takes some seconds.
_MOST_PRODUCTS = 5e10
_PERPLEXITY = 30.0
EARLY, LATE, MOMENTUM = 250, 500, 0.8
# Steps of a `Map`: two layouts by t-SNE.
STEPS = 2 * (EARLY + LATE)
_TOLD_EVERY = 25
# Components that are drawn.
DRAWN = 3
# Above this, t-SNE in three dimensions has no fast method: it is made of a sample, which the map says.
MOST_3D = 3000
# Above this, interpolation is faster than a tree in two dimensions.
MOST_BY_TREE = 3000
# How coarse the grid of the interpolation is at first: half the time of openTSNE's 1. What it loses, the last fifth of
# the late steps brings back on openTSNE's own grid: without it maps are a little less trustworthy than by its defaults.
_GRID_STEP = 2
_FINE_SHARE = 5
# How coarsely a tree in three dimensions takes far rows together: half the time of openTSNE's 0.5.
_THETA_3D = 0.8
# Old neighbours that decide where a new row lies.
_DRAWN_BY = 5
# Numbers worked on at a time: 8 MiB of float32. Larger blocks are no faster.
_BLOCK = 1 << 21


@dataclass(frozen=True)
class Components:
    """The strongest principal components of rows, and how to bring other rows onto them.

    Attributes
    ----------
    mean
        (d,) of the rows they were found on.
    axes
        (k, d) unit vectors, strongest first.
    share
        (k,) of the variance.
    unit
        Whether rows are brought to length one first, so that distances follow the cosine.
    """

    mean: Float32
    axes: Float32
    share: NDArray[np.float64]
    unit: bool

    def of(self, X: FloatArray) -> Float32:
        """Return (n, k) coordinates of rows."""
        found = np.empty((len(X), len(self.axes)), np.float32)
        for some, rows in _blocks(X, unit=self.unit):
            found[some] = (rows - self.mean) @ self.axes.T
        return found


@dataclass(frozen=True)
class Map:
    """Where the rows of a space lie.

    Attributes
    ----------
    components
        (n, k) coordinates on the three strongest principal components, fewer where there are fewer.
    share
        (k,) of the variance, by component.
    tsne2, tsne3
        (n, 2) and (n, 3); NaN for rows that were not in the sample.
    near
        (n, m) the rows nearest to each, nearest first.
    placed
        (n,) rows that were placed into a map made before.
    """

    components: Float32
    share: NDArray[np.float64]
    tsne2: Float32
    tsne3: Float32
    near: NDArray[np.int32]
    placed: NDArray[np.bool_]


def principal(X: FloatArray, *, unit: bool, most: int = COMPONENTS, seed: int = 0) -> Components:
    """Find the strongest principal components of (n, d) rows.

    Parameters
    ----------
    X
        Rows.
    unit
        Bring each row to length one first: for embeddings, whose cosines are what counts.
    most
        Components to find; fewer where there are fewer rows or columns.
    seed
        Of the randomised solver.
    """
    from sklearn.decomposition import PCA

    rows = np.empty((len(X), int(np.prod(X.shape[1:]))), np.float32)
    for some, block in _blocks(X, unit=unit):
        rows[some] = block
    k = max(1, min(most, len(rows) - 1, rows.shape[1]))
    solver = "full" if min(rows.shape) <= 200 else "randomized"
    if len(rows) < 2 or not np.any(np.ptp(rows, axis=0)):
        return Components(rows.mean(axis=0), np.zeros((k, rows.shape[1]), np.float32), np.zeros(k), unit)
    fitted = PCA(k, svd_solver=solver, random_state=seed, copy=False).fit(rows)
    share = np.nan_to_num(np.asarray(fitted.explained_variance_ratio_, np.float64))
    return Components(fitted.mean_.astype(np.float32), fitted.components_.astype(np.float32), share, unit)


def _blocks(X: FloatArray, *, unit: bool) -> Iterator[tuple[slice, Float32]]:
    """Yield rows as float32 and where they stand, a few at a time: a store is large, and each copy of it counts."""
    step = max(1, _BLOCK // max(int(np.prod(X.shape[1:])), 1))
    for start in range(0, len(X), step):
        some = slice(start, start + step)
        rows = np.asarray(X[some], np.float32).reshape(len(X[some]), -1)
        if unit:
            length = np.linalg.norm(rows, axis=1, keepdims=True)
            rows = np.asarray(rows / np.maximum(length, np.finfo(np.float32).tiny), np.float32)
        yield some, rows


def neighbours(Z: Float32, k: int, *, among: Float32 | None = None) -> tuple[NDArray[np.int32], Float32]:
    """Return the `k` nearest other rows of each row and their distances, nearest first; exact, in bounded memory.

    Parameters
    ----------
    Z
        (n, d) rows.
    k
        At most; fewer where there are fewer rows.
    among
        (m, d) rows to look among; None means `Z` itself, each row left out of its own neighbours.
    """
    others = Z if among is None else among
    k = max(0, min(k, len(others) - (among is None)))
    found, far = np.empty((len(Z), k), np.int32), np.empty((len(Z), k), np.float32)
    squares = np.einsum("ij,ij->i", others, others)
    step = max(1, _BLOCK // max(len(others), 1))
    for start in range(0, len(Z) if k else 0, step):
        some = Z[start : start + step]
        distance = np.einsum("ij,ij->i", some, some)[:, None] + squares - 2 * (some @ others.T)
        if among is None:
            distance[np.arange(len(some)), start + np.arange(len(some))] = np.inf
        top = np.argpartition(distance, k - 1, axis=1)[:, :k]
        value = np.take_along_axis(distance, top, axis=1)
        order = np.lexsort((top, value), axis=1)
        found[start : start + step] = np.take_along_axis(top, order, axis=1)
        far[start : start + step] = np.sqrt(np.maximum(np.take_along_axis(value, order, axis=1), 0))
    return found, far


def _go_on(_: int) -> bool:
    return True


def tsne(
    Z: Float32,
    near: NDArray[np.int32],
    far: Float32,
    *,
    dims: Literal[2, 3],
    seed: int = 0,
    stepped: Stepped = _go_on,
) -> Float32:
    """Lay out rows by t-SNE, starting from their first principal components.

    Parameters
    ----------
    Z
        (n, k) coordinates on principal components, strongest first.
    near, far
        (n, m) neighbours, as `neighbours` gives them, and how far they are, as `apart` says it; up to three times the
        perplexity are used.
    dims
        Of the map.
    seed
        Of the optimiser.
    stepped
        Hears of each stretch of steps; when it says False, openTSNE's `OptimizationInterrupt` is raised.

    Returns
    -------
    ndarray
        (n, dims); the components themselves where there are too few rows for neighbourhoods (fewer than 8).
    """
    start = np.zeros((len(Z), dims))
    start[:, : min(dims, Z.shape[1])] = Z[:, :dims]
    if len(Z) < 8 or not np.any(start.std(axis=0)):
        return start.astype(np.float32)
    from openTSNE import TSNEEmbedding, affinity, initialization
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    known = PrecomputedNeighbors(near.astype(np.int64), far.astype(np.float64))
    # One thread a map: openTSNE's own threads spin while they wait for one another, and on cores that are shared a map
    # of 150 rows took a minute instead of a second.
    close = affinity.PerplexityBasedNN(knn_index=known, perplexity=_perplexity(near.shape[1]), n_jobs=1)
    method = "fft" if dims == 2 and len(Z) > MOST_BY_TREE else "bh"
    theta = 0.5 if dims == 2 else _THETA_3D
    made = TSNEEmbedding(
        initialization.rescale(start), close, random_state=seed, n_jobs=1, negative_gradient_method=method, theta=theta,
        ints_in_interval=_GRID_STEP, callbacks=lambda *_: not stepped(_TOLD_EVERY), callbacks_every_iters=_TOLD_EVERY,
    )  # fmt: skip
    # The momentum of openTSNE's own defaults, also in the early steps.
    made = made.optimize(EARLY, exaggeration=12, momentum=MOMENTUM, propagate_exception=True)
    fine = LATE // _FINE_SHARE if method == "fft" else 0
    made = made.optimize(LATE - fine, momentum=MOMENTUM, propagate_exception=True)
    if fine:
        made = made.optimize(fine, momentum=MOMENTUM, ints_in_interval=1, propagate_exception=True)
    found: Float32 = np.asarray(made, np.float32)
    return found


def _perplexity(neighbours_: int) -> float:
    return max(1.0, min(_PERPLEXITY, neighbours_ / 3))


def lay_out(X: FloatArray, *, unit: bool, seed: int = 0, near: int = 8, stepped: Stepped = _go_on) -> Map:
    """Lay out rows on principal components and by t-SNE, in two and three dimensions.

    Parameters
    ----------
    X
        (n, d) rows.
    unit
        As in `principal`.
    seed
        Of everything random.
    near
        Neighbours to keep of each row.
    stepped
        As in `tsne`.
    """
    found = principal(X, unit=unit, seed=seed)
    Z = found.of(X)
    rows, far = neighbours(searched(X, Z, unit=unit), int(3 * _PERPLEXITY))
    far = apart(far, unit=unit)
    flat = tsne(Z, rows, far, dims=2, seed=seed, stepped=stepped)
    deep = _deep(Z, rows, far, seed, stepped, unit=unit)
    return Map(Z[:, :DRAWN].copy(), found.share, flat, deep, rows[:, :near].copy(), np.zeros(len(Z), np.bool_))


def searched(X: FloatArray, Z: Float32, *, unit: bool) -> Float32:
    """Return the rows among which neighbours are looked for: whole ones, or where they are many their components."""
    width = int(np.prod(X.shape[1:]))
    if len(X) ** 2 * width > _MOST_PRODUCTS:
        return Z
    return np.concatenate([rows for _, rows in _blocks(X, unit=unit)])


def apart(far: Float32, *, unit: bool) -> Float32:
    """Return how far rows are for t-SNE: of rows of length one, whose cosine counts, one less that cosine.

    Their straight distance, whose half square this is, makes neighbourhoods flatter and maps less trustworthy.
    """
    return np.asarray(far**2 / 2, np.float32) if unit else far


def _deep(Z: Float32, near: NDArray[np.int32], far: Float32, seed: int, stepped: Stepped, *, unit: bool) -> Float32:
    if len(Z) <= MOST_3D:
        return tsne(Z, near, far, dims=3, seed=seed, stepped=stepped)
    pick = np.sort(np.random.default_rng(seed).choice(len(Z), MOST_3D, replace=False))
    deep = np.full((len(Z), 3), np.nan, np.float32)
    near, far = neighbours(Z[pick], int(3 * _PERPLEXITY))
    deep[pick] = tsne(Z[pick], near, apart(far, unit=unit), dims=3, seed=seed, stepped=stepped)
    return deep


def place(X: FloatArray, old: NDArray[np.bool_], before: Map, *, unit: bool, near: int = 8, seed: int = 0) -> Map:
    """Place new rows into a map made before, whose rows stay where they were.

    Parameters
    ----------
    X
        (n, d) all rows, the old ones in the order of `before`.
    old
        (n,) which rows `before` holds.
    before
        The map of the old rows.
    unit, near, seed
        As in `lay_out`.

    Returns
    -------
    Map
        Principal components are those of the old rows; by t-SNE a new row lies at the median of its old neighbours,
        as openTSNE begins to place rows (Poličar, Stražar and Zupan, Machine Learning 112:721-740, 2023).
    """
    found = principal(X[old], unit=unit, seed=seed)
    Z = found.of(X)
    fresh = ~old
    maps = []
    for known in (before.tsne2, before.tsne3):
        whole = np.full((len(X), known.shape[1]), np.nan, np.float32)
        whole[old] = known
        there = np.isfinite(known).all(axis=1)
        whole[fresh] = _drawn_to(Z[old][there], known[there], Z[fresh])
        maps.append(whole)
    nearest, _ = neighbours(searched(X, Z, unit=unit), near)
    return Map(Z[:, :DRAWN].copy(), found.share, maps[0], maps[1], nearest, fresh)


def _drawn_to(Z: Float32, Y: Float32, new: Float32) -> Float32:
    """Return where new rows lie in a map: at the median of their nearest old rows, which a stray one cannot move."""
    near, _ = neighbours(new, _DRAWN_BY, among=Z)
    if not near.shape[1]:
        return np.zeros((len(new), Y.shape[1]), np.float32)
    found: Float32 = np.median(Y[near], axis=1).astype(np.float32)
    return found
