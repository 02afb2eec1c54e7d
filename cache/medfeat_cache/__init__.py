"""The feature store on disk: numpy, h5py and the standard library alone.

Names are loaded on first use, so that catching a `StoreError` costs no import of h5py.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from medfeat_cache.errors import (
    StoreBusy,
    StoreConflictError,
    StoreDamaged,
    StoreError,
    StoreInputError,
    StoreNotFoundError,
    StoreVersionError,
    StoreWriteError,
    UnknownIdsError,
)

if TYPE_CHECKING:
    from medfeat_cache.coverage import GroupSpec
    from medfeat_cache.find import Found, StoreHeader, differences, find_stores, read_header
    from medfeat_cache.key import canonical_json, differing_fields, recipe_digest
    from medfeat_cache.reader import FeatureStore
    from medfeat_cache.root import resolve_root, slug, store_path
    from medfeat_cache.writer import StoreWriter

_WHERE = {
    "FeatureStore": "reader",
    "Found": "find",
    "GroupSpec": "coverage",
    "StoreHeader": "find",
    "StoreWriter": "writer",
    "canonical_json": "key",
    "differences": "find",
    "differing_fields": "key",
    "find_stores": "find",
    "read_header": "find",
    "recipe_digest": "key",
    "resolve_root": "root",
    "slug": "root",
    "store_path": "root",
}

__all__ = [
    "FeatureStore",
    "Found",
    "GroupSpec",
    "StoreBusy",
    "StoreConflictError",
    "StoreDamaged",
    "StoreError",
    "StoreHeader",
    "StoreInputError",
    "StoreNotFoundError",
    "StoreVersionError",
    "StoreWriteError",
    "StoreWriter",
    "UnknownIdsError",
    "canonical_json",
    "differences",
    "differing_fields",
    "find_stores",
    "read_header",
    "recipe_digest",
    "resolve_root",
    "slug",
    "store_path",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
