"""Stores by the names that a person gives: each dataset at the version that is meant, ``name@2`` where it is said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfeat.datasets.corrupted import SOURCE as CORRUPTED
from medfeat.tasks.versions import Version, Versions, image_key, known_versions, split_name
from medfeat.workflows.asking.given_names import asked_datasets
from medfeat_cache import Catalogue, FeatureStore, Found, StoreHeader, canonical_json, resolve_root


@dataclass(frozen=True)
class Meant:
    """One dataset of the cache as a person named it: the version of a number, or the one that is meant."""

    name: str
    number: int | None


def find_meant(cache: Catalogue, data: str | Sequence[str] | None, **query: Any) -> Found:
    """Return the stores of the datasets that are named, of the version that is meant.

    Parameters
    ----------
    cache
        In which to look.
    data
        Names, or paths that were extracted, several as a sequence or a comma list; ``name@2`` is a version, the name
        alone the one that was extracted last. None (or ``all``) means every dataset but corrupted copies of others.
    **query
        As of `medfeat_cache.find_stores`.

    Returns
    -------
    Found
        Sorted by path; its `problems` names the files that could not be read.

    Raises
    ------
    UsageError
        A version that is not there, or a path whose images are not those in the cache.
    """
    named = meant(cache, data)
    for one in named or ():
        if one.number is not None:
            versions_of(cache, one.name).numbered(one.number)
    found = cache.find(dataset=None if named is None else tuple(one.name for one in named), **query)
    if named is None:  # worse copies of test are no dataset of their own to whoever means all
        found = Found((one for one in found if _source(one) != CORRUPTED), found.problems)
    kept = [header for header in found if not image_key(header.info)]
    own: dict[str, list[StoreHeader]] = {}
    for header in found:
        if image_key(header.info):
            own.setdefault(str(header.recipe["dataset"]), []).append(header)
    for dataset, headers in own.items():
        versions, numbers = versions_of(cache, dataset), [one.number for one in named or () if one.name == dataset]
        for version in filter(None, (_version(cache, versions, number) for number in numbers or [None])):
            kept += _latest([header for header in headers if image_key(header.info) in version.keys], version)
    return Found(sorted({header.path: header for header in kept}.values(), key=lambda one: one.path), found.problems)


def _source(header: StoreHeader) -> object:
    return (header.info.get("dataset") or {}).get("source")


def meant(cache: Catalogue, data: str | Sequence[str] | None) -> tuple[Meant, ...] | None:
    """Return which datasets a person means, None for all of them; a path is the version that was extracted there."""
    names = asked_datasets(data, cache)
    if names is None:
        return None
    stored = {str(header.recipe.get("dataset")) for header in cache.find()} if "@" in "".join(names) else set()
    return tuple(Meant(name, None) if name in stored else Meant(*split_name(name)) for name in names)


def versions_of(cache: Catalogue, dataset: str) -> Versions:
    """Return the versions of a dataset in the cache."""
    return known_versions(cache.root, dataset, cache.find(dataset=dataset))


def shown_name(header: StoreHeader, cache: Catalogue) -> str:
    """Name the dataset of a store as a person can ask for it: ``name@2`` where there are several versions."""
    return shown_names([header], cache)[header.digest]


def shown_names(headers: Iterable[StoreHeader], cache: Catalogue) -> dict[str, str]:
    """Name the datasets of several stores, by the digest of each."""
    versions: dict[str, Versions] = {}
    found: dict[str, str] = {}
    for header in headers:
        dataset, key = str(header.recipe.get("dataset", "-")), image_key(header.info)
        if key and dataset not in versions:
            versions[dataset] = versions_of(cache, dataset)
        found[header.digest] = versions[dataset].name(key) if key else dataset
    return found


def names_of(headers: Iterable[StoreHeader], *, cache_dir: str | Path | None = None) -> dict[str, str]:
    """Name the datasets of several stores of the cache, as `shown_names`."""
    return shown_names(headers, Catalogue(resolve_root(cache_dir)))


def other_versions(cache: Catalogue, data: str | Sequence[str] | None, **query: Any) -> list[str]:
    """Return the versions of the datasets named that have such stores and are not meant, as they are asked for."""
    named = meant(cache, data)
    every = cache.find(dataset=None if named is None else tuple(one.name for one in named), **query)
    own = [header for header in every if image_key(header.info)]
    chosen = {header.digest for header in find_meant(cache, data)} if own else set()
    names, taken = shown_names(own, cache), shown_names([one for one in own if one.digest in chosen], cache)
    return [name for name in dict.fromkeys(names.values()) if "@" in name and name not in taken.values()]


def _latest(headers: Iterable[StoreHeader], version: Version) -> list[StoreHeader]:
    """Of stores of the same images by one recipe and contract, keep the one whose fingerprint was seen last."""
    found: dict[str, tuple[int, StoreHeader]] = {}
    for header in headers:
        recipe = {name: value for name, value in header.recipe.items() if name != "fingerprint"}
        contract = (header.info.get("dataset") or {}).get("intensity", "uint8")
        group = canonical_json([recipe, contract, header.recipe["fingerprint"] if header.info.get("images") else ""])
        fingerprint = str(header.recipe.get("fingerprint"))
        rank = version.keys.index(fingerprint) if fingerprint in version.keys else -1
        if group not in found or rank > found[group][0]:
            found[group] = rank, header
    return [header for _, header in found.values()]


def _version(cache: Catalogue, versions: Versions, number: int | None) -> Version | None:
    """Return the version of a number; without one, the current one, or the newest that still has a store."""
    if number is not None:
        return versions.numbered(number)
    there = {image_key(header.info) for header in cache.find(dataset=versions.dataset)}
    alive = [one for one in versions.known if there & set(one.keys)]
    current = [one for one in alive if one.number == versions.current]
    return next(iter(current or alive[-1:]), None)


def known_ids(cache: Catalogue, dataset: str, version: Version) -> set[str]:
    """Return the ids of the images of a version, as its stores hold them."""
    found: set[str] = set()
    for header in cache.find(dataset=dataset):
        if image_key(header.info) in version.keys and not header.info.get("images"):
            with FeatureStore(header.path) as store:
                found |= {str(name) for group in store.groups for name in store.ids(group)}
    return found
