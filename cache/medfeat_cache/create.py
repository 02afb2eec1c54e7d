"""Make an empty store file: everything allocated and described, bytes to be filled in, then sealed."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from medfeat_cache.files import write_at
from medfeat_cache.format import (
    BLOCK_DIGEST_BYTES,
    FORMAT,
    HASH_BYTES,
    Column,
    GroupLayout,
    Layout,
    chunk_rows,
    column_digest,
    count_blocks,
    digest_blocks,
    header_digest,
    read_rows,
    rows_per_block,
    version_for,
)
from medfeat_cache.key import canonical_json, recipe_digest
from medfeat_cache.layout import plain_attributes

_DIGESTED_COLUMNS = ("block_digests", "ids", "image_hash", "labels", "rows")


@dataclass(frozen=True)
class GroupShape:
    """What must be known of a group before its file is laid out.

    Attributes
    ----------
    rows, source_rows
        Stored rows, and images in the source (bad ones included).
    shape, dtype
        Of one image's embedding: (d,) or (P, d).
    id_bytes
        Longest id in UTF-8.
    labels
        (k, dtype) of the labels, None when there are none.
    """

    rows: int
    source_rows: int
    shape: tuple[int, ...]
    dtype: str
    id_bytes: int
    labels: tuple[int, str] | None


def now_utc() -> str:
    """Return the time in ISO 8601, in seconds."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def created_by() -> str:
    """Name this version of medfeat."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"medfeat {version('medfeat')}"
    except PackageNotFoundError:
        return "medfeat (not installed)"


def create(
    path: Path, *, recipe: Mapping[str, Any], info: Mapping[str, Any], groups: Mapping[str, GroupShape]
) -> Layout:
    """Write a store file whose columns are allocated and empty; return where they lie."""
    # Format 1.10 of HDF5: its metadata carry checksums, so that damage there is noticed before anything is believed.
    # Aligned, so that embeddings can be mapped as numpy arrays without a copy.
    options = {"libver": ("v110", "v110"), "locking": False, "alignment_threshold": 1, "alignment_interval": 64}
    with h5py.File(path, "x", **options) as file:
        file.attrs["format_version"] = max((version_for(group.shape) for group in groups.values()), default=1)
        texts = {
            "format": FORMAT,
            "recipe": canonical_json(dict(recipe)),
            "recipe_digest": recipe_digest(recipe),
            "created_by": created_by(),
            "created_utc": now_utc(),
            "info": canonical_json(dict(info)),
            "groups": json.dumps(list(groups)),
            "digest": "0" * 64,
        }
        for name, text in texts.items():
            _fixed_text(file.attrs, name, text)
        found = {name: _create_group(file.create_group(name), shape) for name, shape in groups.items()}
        return Layout(plain_attributes(file.id), found)


def _create_group(group: h5py.Group, shape: GroupShape) -> GroupLayout:
    step = rows_per_block(math.prod(shape.shape) * np.dtype(shape.dtype).itemsize)
    group.attrs["rows_per_block"] = step
    group.attrs["source_rows"] = shape.source_rows
    _fixed_text(group.attrs, "digests", canonical_json(dict.fromkeys(_DIGESTED_COLUMNS, "0" * 64)))
    text = h5py.string_dtype("utf-8", max(shape.id_bytes, 1))
    columns = {
        "block_digests": _allocate(group, "block_digests", "|u1", (count_blocks(shape.rows, step), BLOCK_DIGEST_BYTES)),
        "embeddings": _allocate(group, "embeddings", shape.dtype, (shape.rows, *shape.shape)),
        "ids": _allocate(group, "ids", text, (shape.rows,)),
        "image_hash": _allocate(group, "image_hash", "|u1", (shape.rows, HASH_BYTES)),
        "rows": _allocate(group, "rows", "<i8", (shape.rows,)),
    }
    if shape.labels:
        count, dtype = shape.labels
        columns["labels"] = _allocate(group, "labels", dtype, (shape.rows, count))
    return GroupLayout(plain_attributes(group.id), columns)


def _fixed_text(attributes: h5py.AttributeManager, name: str, value: str) -> None:
    # Fixed length: sealing and repair can rewrite it where it stands, and no flipped bit in a heap can hang HDF5.
    data = value.encode()
    kind = h5py.string_dtype("utf-8", len(data))
    attributes.create(name, np.array(data, kind), dtype=kind)


def _allocate(group: h5py.Group, name: str, dtype: Any, shape: tuple[int, ...]) -> Column:
    # Space now, values later: rows are then written at their offset, past HDF5, in whatever order they come.
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    plist.set_obj_track_times(False)
    kind = h5py.h5t.py_create(np.dtype(dtype), logical=True)
    dataset = h5py.h5d.create(group.id, name.encode(), kind, h5py.h5s.create_simple(shape), plist)
    offset = dataset.get_offset() if all(shape) else 0
    return Column(int(offset), np.dtype(np.dtype(dtype).str), shape)


def seal(path: Path, layout: Layout) -> Layout:
    """Compute every digest of a filled file and write them into it."""
    groups = {}
    with path.open("rb+", buffering=0) as file:
        for name, group in layout.groups.items():
            _seal_blocks(file, group)
            there = [key for key in _DIGESTED_COLUMNS if key in group.columns]
            digests = {key: column_digest(file, group.columns[key]) for key in there}
            attributes = {**group.attributes, "digests": digests_text(digests, group.attributes["digests"])}
            groups[name] = GroupLayout(attributes, group.columns)
    sealed = Layout(layout.attributes, groups)
    return write_digests(path, sealed)


def _seal_blocks(file: Any, group: GroupLayout) -> None:
    embeddings, digests = group.columns["embeddings"], group.columns["block_digests"]
    step = int(group.attributes["rows_per_block"])
    stride = chunk_rows(embeddings, step)
    for start in range(0, embeddings.shape[0], stride):
        rows = read_rows(file, embeddings, start, min(start + stride, embeddings.shape[0]))
        write_at(file, digests.offset + start // step * BLOCK_DIGEST_BYTES, digest_blocks(rows, step))


def digests_text(digests: Mapping[str, str], room: str) -> str:
    """Spell the digests of a group's columns in exactly the length of `room`, so that they fit where they stand."""
    return canonical_json(dict(digests)).ljust(len(room))  # without labels one is missing; JSON does not mind blanks


def write_digests(path: Path, layout: Layout) -> Layout:
    """Write the groups' `digests` and the root `digest` of a layout into its file, in place."""
    with h5py.File(path, "r+", locking=False) as file:
        for name, group in layout.groups.items():
            file[name].attrs.modify("digests", np.bytes_(group.attributes["digests"].encode("ascii")))
        # Over what the file itself says: a layout that was read in an older format has been upgraded since.
        groups = {
            name: GroupLayout(plain_attributes(file[name].id), group.columns) for name, group in layout.groups.items()
        }
        value = header_digest(Layout(plain_attributes(file.id), groups))
        file.attrs.modify("digest", np.bytes_(value.encode("ascii")))
    return Layout({**layout.attributes, "digest": value}, layout.groups)
