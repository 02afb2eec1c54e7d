"""Several names in one word, as a person types them."""

from __future__ import annotations

import os
from collections.abc import Sequence


def as_names(value: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> tuple[str, ...]:
    """Split a comma list, take a path as one name, or pass a sequence through; empty parts are dropped."""
    parts = value.split(",") if isinstance(value, str) else (value,) if isinstance(value, os.PathLike) else value
    return tuple(name for part in parts if (name := os.fspath(part).strip()))
