"""Several stores of the same samples, read as one: their embeddings side by side, joined by id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medfeat.errors import DataError
from medfeat.tasks.binding import unlike_images
from medfeat.tasks.check import examples
from medfeat.types import FloatArray, IdArray, LabelArray
from medfeat_cache import FeatureStore, one_vector, recipe_digest


class FusedStore:
    """Stores side by side; rows are in the order of the first store. Made by `fuse`.

    Attributes
    ----------
    stores
        What was fused, in order.
    path, groups
        Those of the first store.
    recipe, digest
        What all recipes have in common, and each of them under ``stores``.
    info
        What is known of the data, by the first store; of each store under ``stores``; costs are sums over passes.
    dim
        Sum of the dimensions.
    blocks
        The columns of each store.
    """

    def __init__(self, stores: Sequence[FeatureStore]) -> None:
        self.stores = tuple(stores)
        self.path: Path = self.stores[0].path
        self.recipe = _fused_recipe([store.recipe for store in self.stores])
        self.digest = recipe_digest(self.recipe)
        self.info = _fused_info([store.info for store in self.stores])
        self.groups: tuple[str, ...] = self.stores[0].groups
        ends = np.cumsum([store.dim for store in self.stores]).tolist()
        self.dim: int = ends[-1]
        self.blocks = tuple(slice(end - store.dim, end) for end, store in zip(ends, self.stores, strict=True))

    def n(self, group: str) -> int:
        """Return the number of rows of a group."""
        return self.stores[0].n(group)

    def ids(self, group: str) -> IdArray:
        """Return the (n,) ids of a group."""
        return self.stores[0].ids(group)

    def labels(self, group: str) -> LabelArray | None:
        """Return the (n, k) official labels of a group, or None."""
        return self.stores[0].labels(group)

    def embeddings(self, group: str) -> FloatArray:
        """Return (n, dim) float32 embeddings of a group, each store's joined by id."""
        return self.take(self.ids(group))

    def batches(self, group: str, rows: int = 4096) -> Iterator[tuple[IdArray, FloatArray]]:
        """Yield the ids and embeddings of a group, at most `rows` at a time."""
        ids = self.ids(group)
        for start in range(0, len(ids), rows):
            some = ids[start : start + rows]
            yield some, self.take(some)

    def take(self, ids: Sequence[str] | IdArray) -> FloatArray:
        """Return (m, dim) float32 embeddings in the order of `ids`."""
        out = np.empty((len(ids), self.dim), dtype=np.float32)
        for store, columns in zip(self.stores, self.blocks, strict=True):
            out[:, columns] = store.take(ids)
        return out


def _fused_recipe(recipes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the recipe of features side by side: the fields in which all agree, and each recipe under ``stores``.

    Its backbone names each network once; its size is the largest.
    """
    first, *others = recipes
    common = {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}
    backbone = "+".join(dict.fromkeys(str(recipe["backbone"]) for recipe in recipes))
    size = max(int(recipe.get("size") or 0) for recipe in recipes)
    fields = {"dataset": first["dataset"], "backbone": backbone, "size": size}
    return {**common, **fields, "stores": [dict(recipe) for recipe in recipes]}


def _fused_info(infos: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what is known of stores side by side; several stores of one pass cost that pass once."""
    kept = {name: infos[0][name] for name in ("dataset", "source", "images", "bad_images") if name in infos[0]}
    networks = [info.get("backbone") or {} for info in infos]
    overlap = sorted({name for network in networks for name in network.get("overlap") or ()})
    network = {**networks[0], "overlap": overlap}
    for name in ("name", "source", "source_id", "origin", "licence", "pretraining"):
        network[name] = " + ".join(dict.fromkeys(str(one[name]) for one in networks if one.get(name)))
    if any("random" in (one.get("origin"), one.get("source")) for one in networks):
        network["origin"] = "random"
    passes = {(e.get("seconds"), e.get("energy_wh")): e for e in (info.get("environment") or {} for info in infos)}
    summed = {
        name: sum(float(cost) for cost in (one[i] for one in passes) if cost is not None)
        for i, name in enumerate(("seconds", "energy_wh"))
        if all(one[i] is not None for one in passes)
    }
    environment = {**next(iter(passes.values())), **summed}
    return {**kept, "backbone": network, "environment": environment, "stores": [dict(info) for info in infos]}


def fuse(stores: Sequence[FeatureStore]) -> FusedStore:
    """Read several stores of one dataset as one, concatenating their embeddings.

    Of a store that has several vectors a sample, their mean is taken. Nothing is rescaled here: heads that mind the
    scale standardise each feature with train statistics.

    Raises
    ------
    DataError
        No store, or stores that do not hold the same ids, or other images under them; the message counts these.
    """
    if not stores:
        raise DataError("fusion needs at least one store, got none")
    first = _ids(stores[0])
    for other in stores[1:]:
        theirs = _ids(other)
        lacks, extra = sorted(first - theirs), sorted(theirs - first)
        if lacks or extra:
            raise DataError(
                f"stores to be fused must hold the same ids: {other.path} lacks {len(lacks)} ids of {stores[0].path} "
                f"and has {len(extra)} others, such as {examples(lacks or extra, 2)}; extract both from the same images"
            )
    _refuse_other_images(stores)
    return FusedStore([one_vector(store) for store in stores])


def _refuse_other_images(stores: Sequence[FeatureStore]) -> None:
    for other in stores[1:]:
        unlike = unlike_images(stores[0], other)
        if len(unlike):
            raise DataError(
                f"stores to be fused must show the same images: {other.path} shows others than {stores[0].path} under "
                f"{len(unlike)} ids, such as {examples(unlike, 2)}; extract both from the same images"
            )


def _ids(store: FeatureStore) -> set[str]:
    return {str(name) for group in store.groups for name in store.ids(group)}
