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
    from medfeat_cache.averaged import AveragedStore, averaged_in_words, mean_of, one_vector, open_vectors
    from medfeat_cache.collect import Garbage, Unfinished, collect_garbage, find_unfinished, remove, tidy, unfinished
    from medfeat_cache.coverage import GroupSpec
    from medfeat_cache.donors import DATA_FIELDS, find_donors, iter_known
    from medfeat_cache.export import export_store
    from medfeat_cache.files import make_folder, replacing, write_whole
    from medfeat_cache.find import Catalogue, Found, differences, find_stores, locate, store_files
    from medfeat_cache.format import spell_shape
    from medfeat_cache.header import StoreHeader, read_header
    from medfeat_cache.ingest import TORCH, Features, import_arrays, named_features, read_features
    from medfeat_cache.key import canonical_json, differing_fields, recipe_digest
    from medfeat_cache.reader import FeatureStore
    from medfeat_cache.repair import Repair, repair_rows, restore_column
    from medfeat_cache.root import resolve_root, slug, store_path
    from medfeat_cache.stamp import Stamp
    from medfeat_cache.verify import Problem, Report, verify_store
    from medfeat_cache.writer import StoreWriter

_WHERE = {
    "AveragedStore": "averaged",
    "DATA_FIELDS": "donors",
    "FeatureStore": "reader",
    "Features": "ingest",
    "Found": "find",
    "Garbage": "collect",
    "GroupSpec": "coverage",
    "Problem": "verify",
    "Repair": "repair",
    "Report": "verify",
    "Stamp": "stamp",
    "StoreHeader": "header",
    "StoreWriter": "writer",
    "TORCH": "ingest",
    "Unfinished": "collect",
    "averaged_in_words": "averaged",
    "canonical_json": "key",
    "collect_garbage": "collect",
    "differences": "find",
    "differing_fields": "key",
    "export_store": "export",
    "find_donors": "donors",
    "Catalogue": "find",
    "find_stores": "find",
    "find_unfinished": "collect",
    "import_arrays": "ingest",
    "iter_known": "donors",
    "locate": "find",
    "make_folder": "files",
    "mean_of": "averaged",
    "named_features": "ingest",
    "one_vector": "averaged",
    "open_vectors": "averaged",
    "read_features": "ingest",
    "read_header": "header",
    "recipe_digest": "key",
    "remove": "collect",
    "repair_rows": "repair",
    "replacing": "files",
    "resolve_root": "root",
    "restore_column": "repair",
    "slug": "root",
    "spell_shape": "format",
    "store_files": "find",
    "store_path": "root",
    "tidy": "collect",
    "unfinished": "collect",
    "verify_store": "verify",
    "write_whole": "files",
}

__all__ = [
    "DATA_FIELDS",
    "TORCH",
    "AveragedStore",
    "Catalogue",
    "FeatureStore",
    "Features",
    "Found",
    "Garbage",
    "GroupSpec",
    "Problem",
    "Repair",
    "Report",
    "Stamp",
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
    "Unfinished",
    "UnknownIdsError",
    "averaged_in_words",
    "canonical_json",
    "collect_garbage",
    "differences",
    "differing_fields",
    "export_store",
    "find_donors",
    "find_stores",
    "find_unfinished",
    "import_arrays",
    "iter_known",
    "locate",
    "make_folder",
    "mean_of",
    "named_features",
    "one_vector",
    "open_vectors",
    "read_features",
    "read_header",
    "recipe_digest",
    "remove",
    "repair_rows",
    "replacing",
    "resolve_root",
    "restore_column",
    "slug",
    "spell_shape",
    "store_files",
    "store_path",
    "tidy",
    "unfinished",
    "verify_store",
    "write_whole",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
