"""Growing data is cheap: rows that an earlier store already knows are copied, not embedded again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.hashing import HASH_BYTES, image_hashes
from medfeat.types import OWN_GROUP, Dataset, UInt8Array
from medfeat_cache import DATA_FIELDS, StoreWriter, find_donors, iter_known

_READ_BATCH = 64


def donors_for(root: Path, recipe: Mapping[str, Any], path: Path, dataset: Dataset) -> list[Path]:
    """List the stores that may know some of these images already.

    Parameters
    ----------
    root
        Of the cache.
    recipe, path
        Of the store that is to be made; donors have the same recipe, data set aside.
    dataset
        Own images may turn up in any other own set. Official sets share no images, and hashing them all to find
        that out would only cost time: they look at earlier stores of their own name and size.
    """
    own = OWN_GROUP in dataset.info.counts
    found = find_donors(root, recipe, data_fields=DATA_FIELDS if own else ("fingerprint",))
    return [
        header.path
        for header in found
        if header.path != path and (header.recipe["dataset"] == recipe["dataset"] or OWN_GROUP in header.counts)
    ]


def copy_known_rows(writer: StoreWriter, dataset: Dataset, donors: list[Path]) -> int:
    """Copy the rows of `donors` whose image is, to the last pixel, one that the writer still misses.

    Returns
    -------
    int
        How many rows were copied; every image that was missing is decoded and hashed for it.
    """
    copied = 0
    for group in dataset.info.counts if donors else ():
        missing = writer.missing_rows(group)
        if len(missing) == 0:
            continue
        rows, hashes = _hash_rows(dataset, group, missing)
        for places, embeddings in iter_known(donors, hashes):
            writer.write_rows(group, rows[places], embeddings, hashes[places])
            copied += len(places)
    return copied


def _hash_rows(dataset: Dataset, group: str, missing: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    rows: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    hashes: list[UInt8Array] = [np.empty((0, HASH_BYTES), np.uint8)]
    for batch in dataset.batches(group, _READ_BATCH, missing):
        rows.append(batch.rows)
        hashes.append(image_hashes(batch.images))
    return np.concatenate(rows), np.concatenate(hashes)
