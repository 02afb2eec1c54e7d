"""Older formats, read through numbered functions: entry k turns the layout of format k into that of format k + 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from medfeat_cache.commands import command
from medfeat_cache.errors import StoreDamaged, StoreVersionError
from medfeat_cache.format import FORMAT_VERSION, Layout


def _one_vector_an_image(layout: Layout) -> Layout:
    """Format 2 lets an image have several vectors, (n, P, d). In format 1 each has one, (n, d), which 2 allows too."""
    for name, group in layout.groups.items():
        embeddings = group.columns.get("embeddings")
        if embeddings is not None and len(embeddings.shape) != 2:
            raise ValueError(f"embeddings of {name!r} have shape {embeddings.shape}, in format 1 it is (n, d)")
    return layout


# The golden stores of tests/cache/golden keep every entry honest. An upgrade renames, adds or drops attributes and
# columns; it never moves bytes.
UPGRADES: dict[int, Callable[[Layout], Layout]] = {1: _one_vector_an_image}


def upgraded(path: Path, layout: Layout) -> Layout:
    """Return a layout in the newest format; the file itself is left as it is."""
    version = layout.attributes["format_version"]
    while version < FORMAT_VERSION:
        if version not in UPGRADES:
            raise StoreVersionError(
                f"{path} is in format {version}, which no version of medfeat ever wrote: extract again"
            )
        try:
            layout = UPGRADES[version](layout)
        except ValueError as error:
            anew = command("cache", "rm", path)
            raise StoreDamaged(f"{path}: {error}: remove it with {anew} and extract again") from error
        version += 1
        layout = replace(layout, attributes={**layout.attributes, "format_version": version})
    return layout
