"""A store's key: the digest of everything that changes the bytes of an embedding, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from medfeat_cache.errors import StoreInputError

_DIGEST_BYTES = 32


def canonical_json(value: Any) -> str:
    """Spell plain JSON values in the one way that is hashed: sorted keys, no spaces, no NaN.

    Examples
    --------
    >>> canonical_json({"b": (1, 2), "a": None})
    '{"a":null,"b":[1,2]}'
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StoreInputError(f"a recipe and its facts must be plain JSON values without NaN: {error}") from error


def digest(data: bytes | memoryview, *, size: int = _DIGEST_BYTES) -> str:
    """Return the blake2b of some bytes in hex."""
    return hashlib.blake2b(data, digest_size=size).hexdigest()


def recipe_digest(recipe: Mapping[str, Any]) -> str:
    """Return the key of a recipe: 64 hex digits of blake2b over its canonical JSON.

    Examples
    --------
    >>> recipe_digest({"size": 28, "pool": "mean"}) == recipe_digest({"pool": "mean", "size": 28})
    True
    """
    return digest(canonical_json(dict(recipe)).encode())


def differing_fields(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the fields in which two recipes differ, each with both values; a message can then name them."""
    plain_first, plain_second = json.loads(canonical_json(dict(first))), json.loads(canonical_json(dict(second)))
    names = sorted({*plain_first, *plain_second})
    pairs = {name: (plain_first.get(name), plain_second.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
