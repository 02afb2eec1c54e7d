"""Stores as table rows and as plain JSON values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medfeat.report.tables import Table
from medfeat_cache import Garbage, StoreHeader, spell_shape
from medfeat_cache.commands import command
from medfeat_cache.root import UNPACKED

_COLUMNS = ("digest", "dataset", "size", "backbone", "pool", "precision", "rows", "dim", "MB", "made")


def store_table(headers: Iterable[StoreHeader], names: Mapping[str, str]) -> Table:
    """Return one row a store; what an imported store does not know is a dash.

    Parameters
    ----------
    headers
        Of the stores.
    names
        What to say for the images of each, by its digest.
    """
    rows = tuple(_row(header, names[header.digest]) for header in headers)
    return Table("", _COLUMNS, rows, less=("made", "MB", "dim", "rows", "precision", "pool", "size", "dataset"))


def _row(header: StoreHeader, name: str) -> tuple[str, ...]:
    recipe = header.recipe
    pool = "/".join(str(recipe[key]) for key in ("layer", "pool", "slices") if recipe.get(key)) or "-"
    return (
        header.digest[:12],
        name,
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


def kept_line(kept: Sequence[Garbage], cache_dir: str | Path | None) -> list[str]:
    """Say how much room compiled networks, measurements and inflated images take, and what removes each of them."""
    inflated = [one for one in kept if one.path.name == UNPACKED]
    work = [one for one in kept if one not in inflated]
    lines = []
    if work:
        how = command("cache", "gc", compiled=True, cache_dir=cache_dir)
        lines.append(f"compiled networks and measurements take {_megabytes(work)} MB: {how} removes them")
    if inflated:
        how = command("cache", "gc", unpacked=True, cache_dir=cache_dir)
        lines.append(f"images of .npz files take {_megabytes(inflated)} MB as they are inflated: {how} removes them")
    return lines


def _megabytes(found: Sequence[Garbage]) -> str:
    return f"{sum(one.size_bytes for one in found) / 1e6:.1f}"


def garbage_dict(one: Garbage) -> dict[str, Any]:
    """Return what could go as plain JSON values."""
    return {"path": str(one.path), "size_bytes": one.size_bytes, "why": one.why}


def info_table(header: StoreHeader) -> Table:
    """Return everything in the header as rows of field and value, nested fields with dotted names."""
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
    return Table("", ("field", "value"), tuple(_flattened("", facts)))


def _flattened(prefix: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        return [
            row for key, item in value.items() for row in _flattened(f"{prefix}.{key}" if prefix else str(key), item)
        ]
    return [(prefix, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))]
