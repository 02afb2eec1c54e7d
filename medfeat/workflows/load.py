"""Cached embeddings as numpy arrays: one call from names to X, y and ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medfeat.errors import MissingExtraError, UsageError
from medfeat.tasks import OFFICIAL, find_task, gather, official
from medfeat.types import OFFICIAL_GROUPS, FloatArray, IdArray, LabelArray
from medfeat.workflows.stores.one_store import one_store
from medfeat_cache import FeatureStore

EVERYTHING = "all"


class Loaded(NamedTuple):
    """Features, labels and ids of one split or of all, row by row the same samples.

    Rows stand by split, and a split that was drawn mixes them: join by `ids` what else is known of the images. Where an
    object was given without ids, these are ``all/0``, ``all/1`` ..., and its order comes back by ``X[order]`` with
    ``order = np.argsort([int(one.partition("/")[2]) for one in ids])``.

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

    def __repr__(self) -> str:
        """Return the shapes; the arrays are in the fields."""
        return f"Loaded(X {self.X.shape}, y {self.y.shape}, {len(self.ids)} ids)"


def load(
    data: str | None = None,
    backbone: str | None = None,
    *,
    store: str | Path | None = None,
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
        Names, as they were extracted; ``name@2`` is a version of own images, the name alone the last one. None means
        any, where one store fits.
    store
        First digits of the digest of the store, or its path.
    split
        ``train``, ``val``, ``test``, or ``all`` for these one after the other, which is not the order in which images
        without a split were given: see `Loaded`.
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
    header = one_store(data, backbone, store=store, cache_dir=cache_dir, **query)
    with FeatureStore(header.path) as opened:
        chosen = official(opened) if task == OFFICIAL else find_task(task, opened)
        if split not in (*OFFICIAL_GROUPS, EVERYTHING):
            raise UsageError(f"split must be one of {', '.join((*OFFICIAL_GROUPS, EVERYTHING))}, got {split!r}")
        samples = gather(opened, chosen, bags=True)
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
    return _as_frames(found, str(header.recipe["backbone"]), chosen.classes, splits)


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
