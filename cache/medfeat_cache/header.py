"""What is known of a store without reading its features."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medfeat_cache.errors import StoreError
from medfeat_cache.format import Layout
from medfeat_cache.header_bytes import read_layout
from medfeat_cache.layout import checked, open_layout
from medfeat_cache.reading import look_at


@dataclass(frozen=True)
class StoreHeader:
    """What is known of a store without reading its features.

    Attributes
    ----------
    path
        Of the file.
    digest
        Of the recipe, 64 hex digits.
    recipe, info
        As in `medfeat_cache.FeatureStore`.
    counts
        Stored rows of each group, in order.
    dim, dtype
        Of a vector: its length, float32 or float16.
    shape
        Of one image's embedding: (dim,), or (P, dim) where its slices or tokens were kept.
    created_by, created_utc
        Who wrote it, and when.
    size_bytes
        Of the file.
    """

    path: Path
    digest: str
    recipe: dict[str, Any]
    info: dict[str, Any]
    counts: dict[str, int]
    dim: int
    dtype: str
    created_by: str
    created_utc: str
    size_bytes: int
    shape: tuple[int, ...]


def read_header(path: str | Path) -> StoreHeader:
    """Read what `StoreHeader` holds of one store."""
    path = Path(path)
    layout, file = open_layout(path)
    with file:
        size = os.fstat(file.fileno()).st_size
    return _header(path, layout, size)


def listed_header(path: Path) -> StoreHeader:
    """Read as `read_header` does, for lists of thousands: without HDF5 where the file is laid out as ours are.

    What the root digest covers is checked all the same. Where the columns lie is not, so that a store can be listed of
    which whoever opens it learns that this is damaged.

    Raises
    ------
    StoreNotFoundError, StoreDamaged, StoreVersionError
        As `read_header`, which says it.
    """
    try:
        look_at(path)  # a pipe of that name would wait for ever
        with path.open("rb", buffering=0) as file:
            layout, size = read_layout(file), os.fstat(file.fileno()).st_size
        if layout is not None:
            return _header(path, checked(path, layout, size), size)
    except (StoreError, OSError):  # said the same way wherever it is found
        pass
    return read_header(path)


def _header(path: Path, layout: Layout, size: int) -> StoreHeader:
    facts = layout.attributes
    counts = {name: layout.groups[name].columns["embeddings"].shape[0] for name in json.loads(facts["groups"])}
    embeddings = layout.groups[next(iter(counts))].columns["embeddings"]
    return StoreHeader(
        path=path,
        digest=facts["recipe_digest"],
        recipe=json.loads(facts["recipe"]),
        info=json.loads(facts["info"]),
        counts=counts,
        dim=embeddings.shape[-1],
        dtype=np.dtype(embeddings.dtype).name,
        created_by=facts["created_by"],
        created_utc=facts["created_utc"],
        size_bytes=size,
        shape=embeddings.shape[1:],
    )
