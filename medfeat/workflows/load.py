"""Cached embeddings as numpy arrays: one call from names to X, y and ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from medfeat.errors import DataError, UsageError
from medfeat.tasks import OFFICIAL, find_task, gather, official
from medfeat.types import FloatArray, IdArray, LabelArray
from medfeat.workflows.versions import find_meant, other_versions
from medfeat_cache import FeatureStore, StoreHeader, differences, resolve_root

DEFAULT = "default"


class Loaded(NamedTuple):
    """Features, labels and ids of one split, row by row the same samples.

    Attributes
    ----------
    X
        (n, d) float32.
    y
        (n,) labels, or (n, k) for multi-label sets.
    ids
        (n,) sample ids.
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
    cache_dir: str | Path | None = None,
    **query: Any,
) -> Loaded:
    """Read the cached embeddings of one split.

    Parameters
    ----------
    data, backbone
        Names, as they were extracted; ``name@2`` is a version of own images, the name alone the last one.
    split
        ``train``, ``val`` or ``test``.
    task
        Name of a saved task; ``official`` for the dataset's own labels and splits.
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
        When no store matches, or more than one; the message says how they differ.
    """
    header = one_store(data, backbone, cache_dir=cache_dir, **query)
    with FeatureStore(header.path) as store:
        chosen = official(store) if task == OFFICIAL else find_task(task, store)
        if split not in ("train", "val", "test"):
            raise UsageError(f"split must be one of train, val, test, got {split!r}")
        part = gather(store, chosen).split(split)
    return Loaded(part.X, part.y[:, 0] if part.y.shape[1] == 1 else part.y, part.ids)


def one_store(data: str, backbone: str, *, cache_dir: str | Path | None = None, **query: Any) -> StoreHeader:
    """Return the header of the one store that matches; `UsageError` says how several differ.

    Parameters
    ----------
    data, backbone, cache_dir, **query
        As in `load`; None means any value, ``"default"`` the one that nobody named.
    """
    root = resolve_root(cache_dir)
    wanted = {name: (None,) if isinstance(value, str) and value == DEFAULT else value for name, value in query.items()}
    found = find_meant(root, [data], backbone=backbone, **wanted)
    if len(found) == 1:
        return found[0]
    if not found:
        others = other_versions(root, [data], backbone=backbone, **wanted)
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


def _spelled(value: Any) -> str:
    return DEFAULT if value is None else str(value)
