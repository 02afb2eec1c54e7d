"""Cached embeddings as numpy arrays: one call from names to X, y and ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medfeat.errors import DataError, MissingExtraError, UsageError, unknown_name
from medfeat.tasks import OFFICIAL, find_task, gather, official
from medfeat.types import OFFICIAL_GROUPS, FloatArray, IdArray, LabelArray, Recipe
from medfeat.workflows.stores.store_names import find_meant, other_versions
from medfeat_cache import Catalogue, FeatureStore, StoreHeader, differences, resolve_root

DEFAULT = "default"
_FIELDS = frozenset(field.name for field in fields(Recipe))

EVERYTHING = "all"


class Loaded(NamedTuple):
    """Features, labels and ids of one split or of all, row by row the same samples.

    As pandas objects, `X` and `y` have one index: the id, and before it the split where all were asked for. The columns
    of `X` are called by the backbone and a number.

    Attributes
    ----------
    X
        (n, d) float32, or (n, P, d) where slices or tokens were kept; a DataFrame of the first.
    y
        (n,) labels, or (n, k) for multi-label sets; a Series called ``label``, or a DataFrame with a column a label.
    ids
        (n,) sample ids; an Index.
    """

    X: FloatArray
    y: LabelArray
    ids: IdArray


def load(
    data: str,
    backbone: str,
    *,
    split: str = "train",
    task: str = OFFICIAL,
    as_frame: bool = False,
    cache_dir: str | Path | None = None,
    **query: Any,
) -> Loaded:
    """Read the cached embeddings of one split, or of all.

    Parameters
    ----------
    data, backbone
        Names, as they were extracted; ``name@2`` is a version of own images, the name alone the last one.
    split
        ``train``, ``val``, ``test``, or ``all`` for these one after the other.
    task
        Name of a saved task; ``official`` for the dataset's own labels and splits.
    as_frame
        Return pandas objects, see `Loaded`.
    cache_dir
        Where stores live; None means the usual place.
    **query
        Fields of the recipe, when several stores match: ``size``, ``pool``, ``layer``, ``precision``, ``fit`` ...
        ``"default"`` is what a store has that was made without naming the field: ``layer="default"``.

    Returns
    -------
    Loaded
        ``X, y, ids``; unpacks like a tuple.

    Raises
    ------
    UsageError
        When no store matches, or more than one, with how they differ; for a field that no recipe has.
    """
    header = one_store(data, backbone, cache_dir=cache_dir, **query)
    with FeatureStore(header.path) as store:
        chosen = official(store) if task == OFFICIAL else find_task(task, store)
        if split not in (*OFFICIAL_GROUPS, EVERYTHING):
            raise UsageError(f"split must be one of {', '.join((*OFFICIAL_GROUPS, EVERYTHING))}, got {split!r}")
        samples = gather(store, chosen, bags=True)
        there = [one for one in OFFICIAL_GROUPS if (chosen.split == one).any()] if split == EVERYTHING else [split]
        parts = [samples.split(one) for one in there]
    columns = zip(*((np.asarray(part.X), part.y, part.ids) for part in parts), strict=True)
    X, y, ids = (np.concatenate(column) if len(parts) > 1 else column[0] for column in columns)
    found = Loaded(X, y[:, 0] if y.shape[1] == 1 else y, ids)
    if not as_frame:
        return found
    if found.X.ndim > 2:
        raise UsageError(f"as_frame has a row a sample, and here each has {found.X.shape[1]} vectors: leave it out")
    splits = [part.name for part in parts for _ in part.ids] if split == EVERYTHING else None
    return _as_frames(found, backbone, chosen.classes, splits)


def _as_frames(found: Loaded, backbone: str, classes: Sequence[str], splits: Sequence[str] | None) -> Loaded:
    try:
        import pandas
    except ImportError as error:
        raise MissingExtraError(f"as_frame needs the package pandas ({error}): pip install pandas") from error
    ids = pandas.Index(found.ids, name="id")
    index = ids if splits is None else pandas.MultiIndex.from_arrays([splits, ids], names=["split", "id"])
    columns = [f"{backbone}_{column}" for column in range(found.X.shape[1])]
    X: Any = pandas.DataFrame(found.X, index=index, columns=columns)
    y: Any = (
        pandas.Series(found.y, index=index, name="label")
        if found.y.ndim == 1
        else pandas.DataFrame(found.y, index=index, columns=list(classes))
    )
    return Loaded(X, y, ids)


def one_store(data: str, backbone: str, *, cache_dir: str | Path | None = None, **query: Any) -> StoreHeader:
    """Return the header of the one store that matches; `UsageError` says how several differ.

    Parameters
    ----------
    data, backbone, cache_dir, **query
        As in `load`; None means any value, ``"default"`` the one that nobody named.
    """
    root = resolve_root(cache_dir)
    cache = Catalogue(root)
    wanted = {name: (None,) if isinstance(value, str) and value == DEFAULT else value for name, value in query.items()}
    if not _FIELDS.issuperset(query):
        _refuse_unknown_fields(query, find_meant(cache, [data], backbone=backbone))
    found = find_meant(cache, [data], backbone=backbone, **wanted)
    if len(found) == 1:
        return found[0]
    if not found:
        others = other_versions(cache, [data], backbone=backbone, **wanted)
        if others:
            raise UsageError(
                f"no store of {data} x {backbone} in {root}, of the images that {data} means now: run `medfeat extract "
                f"--backbone {backbone} --data {data}`, or ask for {' or '.join(others)}, which has one"
            )
        if found.problems:
            path, problem = found.problems[0]
            raise DataError(f"no readable store of {data} x {backbone} in {root}; {path.name}: {problem}")
        raise UsageError(
            f"no store of {data} x {backbone} in {root}: "
            f"run `medfeat extract --backbone {backbone} --data {data}` first"
        )
    differing = differences(found)
    fields = "; ".join(f"{name} is {' or '.join(map(_spelled, values))}" for name, values in differing.items())
    example = next((f", e.g. {name}={_spelled(values[0])!r}" for name, values in differing.items()), "")
    raise UsageError(f"{len(found)} stores of {data} x {backbone} match: {fields}; name one of these fields{example}")


def _refuse_unknown_fields(query: Mapping[str, Any], stores: Iterable[StoreHeader]) -> None:
    """Refuse a field that no recipe has, before it is taken for one that no store has; imported ones have others."""
    known = _FIELDS.union(*({*header.recipe, *header.info} for header in stores))
    for name in query:
        if name not in known:
            raise unknown_name("field of a recipe", name, _FIELDS)


def _spelled(value: Any) -> str:
    return DEFAULT if value is None else str(value)
