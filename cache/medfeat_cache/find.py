"""Which stores are there: their headers, without their bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medfeat_cache.errors import StoreError
from medfeat_cache.key import canonical_json
from medfeat_cache.layout import open_layout
from medfeat_cache.root import STORE_NAME


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
        Of an embedding.
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


class Found(list[StoreHeader]):
    """The stores that were found, and beside them the files that could not be read.

    Attributes
    ----------
    problems
        (path, one line) of each file that is no readable store.
    """

    def __init__(self, headers: Iterable[StoreHeader] = (), problems: Iterable[tuple[Path, str]] = ()) -> None:
        super().__init__(headers)
        self.problems = list(problems)


def read_header(path: str | Path) -> StoreHeader:
    """Read what `StoreHeader` holds of one store."""
    path = Path(path)
    layout, file = open_layout(path)
    file.close()
    facts = layout.attributes
    counts = {name: layout.groups[name].columns["embeddings"].shape[0] for name in json.loads(facts["groups"])}
    embeddings = layout.groups[next(iter(counts))].columns["embeddings"]
    return StoreHeader(
        path=path,
        digest=facts["recipe_digest"],
        recipe=json.loads(facts["recipe"]),
        info=json.loads(facts["info"]),
        counts=counts,
        dim=embeddings.shape[1],
        dtype=np.dtype(embeddings.dtype).name,
        created_by=facts["created_by"],
        created_utc=facts["created_utc"],
        size_bytes=path.stat().st_size,
    )


def _matches(header: StoreHeader, query: dict[str, Any]) -> bool:
    for name, wanted in query.items():
        value = header.recipe.get(name, header.info.get(name))
        choices = wanted if isinstance(wanted, tuple | list | set | frozenset) else (wanted,)
        if value not in choices:
            return False
    return True


def find_stores(root: str | Path, **query: Any) -> Found:
    """Return the headers of all stores below `root` that match, oldest name first.

    Parameters
    ----------
    root
        From `medfeat_cache.resolve_root`; a folder that does not exist holds no stores.
    query
        Fields of the recipe, or of the info, and the value each must have; a tuple, list or set gives alternatives,
        None means any.

    Returns
    -------
    Found
        A list; its `problems` names the files that could not be read.
    """
    asked = {name: value for name, value in query.items() if value is not None}
    headers, problems = [], []
    for path in sorted(Path(root).glob("*/*/*.h5")):
        if not STORE_NAME.fullmatch(path.name):
            continue
        try:
            header = read_header(path)
        except (StoreError, OSError) as error:
            problems.append((path, str(error)))
            continue
        if _matches(header, asked):
            headers.append(header)
    return Found(headers, problems)


def differences(headers: Iterable[StoreHeader]) -> dict[str, list[Any]]:
    """Return the recipe fields in which stores differ, each with its values: what to name when several match."""
    recipes = [header.recipe for header in headers]
    names = sorted({name for recipe in recipes for name in recipe})
    values = {name: [recipe.get(name) for recipe in recipes] for name in names}
    return {name: column for name, column in values.items() if len({canonical_json(value) for value in column}) > 1}
