"""Several names in one word, as a person types them."""

from __future__ import annotations

from collections.abc import Sequence


def as_names(value: str | Sequence[str]) -> tuple[str, ...]:
    """Split a comma list, or pass a sequence through; empty parts are dropped."""
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(part.strip() for part in parts if part.strip())
