"""Growing data is cheap: embeddings of images that another store already holds are copied, not computed again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat_cache.errors import StoreError
from medfeat_cache.find import StoreHeader, find_stores
from medfeat_cache.format import read_rows
from medfeat_cache.key import canonical_json
from medfeat_cache.layout import open_layout
from medfeat_cache.verify import chunks, damaged_columns

DATA_FIELDS = ("dataset", "fingerprint", "size")


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
        The fields that do not matter, because equal pixels have an equal image hash.
    """
    aside = set(data_fields)

    def kept(facts: Mapping[str, Any]) -> str:
        return canonical_json({name: value for name, value in facts.items() if name not in aside})

    return [header for header in find_stores(root) if kept(header.recipe) == kept(recipe)]


def copy_known(paths: Iterable[str | Path], image_hash: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Look images up in other stores.

    Parameters
    ----------
    paths
        Of the stores, as `find_donors` gives them; one that cannot be read gives nothing.
    image_hash
        (m, 16) uint8 of the images in question.

    Returns
    -------
    known
        (m,) whether the image was found.
    embeddings
        (known.sum(), d), in the order of the images. Only rows whose digest still vouches for them are copied.
    """
    wanted = _keys(image_hash)
    known = np.zeros(len(wanted), bool)
    embeddings: NDArray[Any] | None = None
    for path in paths:
        try:
            embeddings = _copy_from(Path(path), wanted, known, embeddings)
        except StoreError:  # a donor that is gone or damaged costs time, not correctness
            continue
    if embeddings is None:
        return known, np.empty((0, 0), np.float32)
    return known, embeddings[known]


def _keys(image_hash: NDArray[np.uint8]) -> NDArray[Any]:
    pairs = np.ascontiguousarray(image_hash).view("<u8").reshape(-1, 2)
    return pairs.view([("a", "<u8"), ("b", "<u8")]).reshape(-1)


def _copy_from(
    path: Path, wanted: NDArray[Any], known: NDArray[np.bool_], embeddings: NDArray[Any] | None
) -> NDArray[Any] | None:
    layout, file = open_layout(path)
    zero = np.zeros(1, wanted.dtype)
    with file:
        for name, group in layout.groups.items():
            column = group.columns["embeddings"]
            if not column.shape[0] or "image_hash" in damaged_columns(layout, file, name):
                continue
            if embeddings is None:
                embeddings = np.empty((len(wanted), column.shape[1]), column.dtype)
            have = _keys(read_rows(file, group.columns["image_hash"], 0, column.shape[0]))
            order = np.argsort(have)
            at = np.minimum(np.searchsorted(have, wanted, sorter=order), len(have) - 1)
            source = order[at]
            found = np.flatnonzero((have[source] == wanted) & ~known & (wanted != zero))
            if len(found) and embeddings.shape[1:] == column.shape[1:]:
                for start, rows, bad in chunks(layout, file, name):
                    here = found[(source[found] >= start) & (source[found] < start + len(rows))]
                    here = here[~bad[source[here] - start] & np.isfinite(rows[source[here] - start]).all(axis=1)]
                    embeddings[here] = rows[source[here] - start]
                    known[here] = True
    return embeddings
