"""Growing data is cheap: embeddings of images that another store already holds are copied, not computed again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat_cache.errors import StoreError
from medfeat_cache.find import find_stores
from medfeat_cache.format import finite_rows, read_rows
from medfeat_cache.header import StoreHeader
from medfeat_cache.key import canonical_json
from medfeat_cache.layout import open_layout
from medfeat_cache.verify import chunks, damaged_columns

# What names the data and not the way it was embedded.
DATA_FIELDS = ("dataset", "fingerprint", "size")
SLICE_ROWS = 4096


def find_donors(
    root: str | Path, recipe: Mapping[str, Any], *, data_fields: Iterable[str] = DATA_FIELDS
) -> list[StoreHeader]:
    """Return the stores whose recipe is this one, the fields that only name the data set aside.

    Parameters
    ----------
    root
        From `medfeat_cache.resolve_root`.
    recipe
        Of the store that is to be made.
    data_fields
        The fields that do not matter, because equal pixels have an equal image hash. One that is left out must be
        equal too; without ``dataset`` among them, only stores of that dataset are opened.
    """
    aside = set(data_fields)
    names = {name: recipe.get(name) for name in ("dataset", "backbone") if name not in aside}

    def kept(facts: Mapping[str, Any]) -> str:
        return canonical_json({name: value for name, value in facts.items() if name not in aside})

    wanted = kept(recipe)
    return [header for header in find_stores(root, **names) if kept(header.recipe) == wanted]


def iter_known(
    paths: Iterable[str | Path], image_hash: NDArray[np.uint8]
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
    """Look images up in other stores; memory grows with the number of images, not with their embeddings.

    Parameters
    ----------
    paths
        Of the stores, as `find_donors` gives them; one that cannot be read gives nothing.
    image_hash
        (m, 16) uint8 of the images in question.

    Yields
    ------
    places : ndarray
        Ascending positions in `image_hash` of some images that were found, each only once.
    embeddings : ndarray
        Theirs, a few megabytes at a time. Only rows whose digest still vouches for them are given.
    """
    wanted = _keys(image_hash)
    left = wanted != np.zeros(1, wanted.dtype)
    kinds: set[tuple[tuple[int, ...], str]] = set()  # of the first embeddings given: the others must be like them
    for path in paths:
        with suppress(StoreError):  # a donor that is gone or damaged costs time, not correctness
            for places, embeddings in _iter_store(Path(path), wanted, left):
                kinds = kinds or {(embeddings.shape[1:], embeddings.dtype.str)}
                if (embeddings.shape[1:], embeddings.dtype.str) in kinds:
                    left[places] = False
                    yield places, embeddings


def _keys(image_hash: NDArray[np.uint8]) -> NDArray[Any]:
    pairs = np.ascontiguousarray(image_hash).view("<u8").reshape(-1, 2)
    return pairs.view([("a", "<u8"), ("b", "<u8")]).reshape(-1)


def _iter_store(
    path: Path, wanted: NDArray[Any], left: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
    layout, file = open_layout(path)
    with file:
        for name, group in layout.groups.items():
            hashes = group.columns["image_hash"]
            if not hashes.shape[0] or "image_hash" in damaged_columns(layout, file, name):
                continue
            have = _keys(read_rows(file, hashes, 0, hashes.shape[0]))
            order = np.argsort(have)
            source = order[np.minimum(np.searchsorted(have, wanted, sorter=order), len(have) - 1)]
            found = np.flatnonzero((have[source] == wanted) & left)
            for start, rows, bad in chunks(layout, file, name) if len(found) else ():
                good = ~bad & finite_rows(rows)
                here = found[(source[found] >= start) & (source[found] < start + len(rows))]
                here = here[good[source[here] - start]]
                for first in range(0, len(here), SLICE_ROWS):
                    places = here[first : first + SLICE_ROWS]
                    yield places, rows[source[places] - start]
