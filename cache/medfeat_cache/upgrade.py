"""Older formats, read through numbered functions: entry k turns the layout of format k into that of format k + 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from medfeat_cache.errors import StoreVersionError
from medfeat_cache.format import FORMAT_VERSION, Layout

# Format 1 is the first, so there is nothing to upgrade yet; the golden stores of tests/cache/golden keep every
# later entry honest. An upgrade renames, adds or drops attributes and columns; it never moves bytes.
UPGRADES: dict[int, Callable[[Layout], Layout]] = {}


def upgraded(path: Path, layout: Layout) -> Layout:
    """Return a layout in the newest format; the file itself is left as it is."""
    version = layout.attributes["format_version"]
    while version < FORMAT_VERSION:
        if version not in UPGRADES:
            raise StoreVersionError(
                f"{path} is in format {version}, which no version of medfeat ever wrote: extract again"
            )
        layout = UPGRADES[version](layout)
        version += 1
        layout = replace(layout, attributes={**layout.attributes, "format_version": version})
    return layout
