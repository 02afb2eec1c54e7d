"""Stores as table rows and as plain JSON values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from medfeat_cache import StoreHeader, spell_shape


def store_columns() -> tuple[str, ...]:
    """Return the column names of `store_row`."""
    return ("digest", "dataset", "size", "backbone", "pool", "precision", "rows", "dim", "MB", "made")


def store_row(header: StoreHeader, name: str = "") -> tuple[str, ...]:
    """Return one store as a row of a table; what an imported store does not know is a dash.

    Parameters
    ----------
    header
        Of the store.
    name
        What to say for its images; empty means the dataset's name.
    """
    recipe = header.recipe
    pool = "/".join(str(recipe[key]) for key in ("layer", "pool", "slices") if recipe.get(key)) or "-"
    return (
        header.digest[:12],
        name or str(recipe.get("dataset", "-")),
        str(recipe.get("size") or "-"),
        str(recipe.get("backbone", "-")),
        pool,
        str(recipe.get("precision", "-")),
        " + ".join(str(count) for count in header.counts.values()),
        spell_shape(header.shape),
        f"{header.size_bytes / 1e6:.1f}",
        header.created_utc[:16].replace("T", " "),
    )


def store_dict(header: StoreHeader) -> dict[str, Any]:
    """Return everything in the header as plain JSON values."""
    return {name: value for name, value in vars(header).items() if name != "path"} | {"path": str(header.path)}


def info_rows(header: StoreHeader) -> list[tuple[str, str]]:
    """Return everything in the header as (field, value) rows, nested fields with dotted names."""
    facts = {
        "path": str(header.path),
        "digest": header.digest,
        "rows": header.counts,
        "dim": spell_shape(header.shape),
        "dtype": header.dtype,
        "size_bytes": header.size_bytes,
        "created": f"{header.created_utc} by {header.created_by}",
        "recipe": header.recipe,
        **header.info,
    }
    return list(_flattened("", facts))


def _flattened(prefix: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        return [
            row for key, item in value.items() for row in _flattened(f"{prefix}.{key}" if prefix else str(key), item)
        ]
    return [(prefix, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))]
