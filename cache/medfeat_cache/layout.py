"""Open a store file and find out where everything lies, refusing whatever is not a whole, plain store."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from medfeat_cache.commands import command
from medfeat_cache.errors import StoreDamaged, StoreError, StoreNotFoundError, StoreVersionError, saying
from medfeat_cache.format import (
    EMBEDDING_DTYPES,
    FORMAT,
    FORMAT_VERSION,
    LABEL_DTYPES,
    REQUIRED_ATTRIBUTES,
    REQUIRED_COLUMNS,
    Column,
    GroupLayout,
    Layout,
    count_blocks,
    header_digest,
)
from medfeat_cache.key import recipe_digest
from medfeat_cache.reading import look_at
from medfeat_cache.upgrade import upgraded

_ALLOWED_DTYPES = {"<f4", "<f2", "<i8", "<f8", "|u1"}
# A file whose header cannot be believed cannot be mended either, and is in the way of a new one.


def _anew(path: Path) -> str:
    return f"remove it with {command('cache', 'rm', path)} and extract again"


def open_layout(path: Path) -> tuple[Layout, BinaryIO]:
    """Open a store; return its layout and the open file that the layout was read from.

    Returns
    -------
    layout
        Attributes and columns, upgraded to the newest format, the header digest checked.
    file
        Open for reading. A writer that replaces the store meanwhile does not change it.

    Raises
    ------
    StoreNotFoundError, StoreDamaged, StoreVersionError
        Nothing is there, it is not a whole store, it was written by a newer medfeat.
    """
    try:
        with saying(path, "reading"):
            if not path.is_dir():
                look_at(path)  # a pipe of that name would wait for ever
            file = path.open("rb", buffering=0)
    except StoreError as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError | IsADirectoryError):
            raise StoreNotFoundError(
                f"no store at {path}: extract it first, or see {command('cache', 'ls')}"
            ) from error
        raise
    try:
        layout = checked(path, _read_header(path, file), os.fstat(file.fileno()).st_size)
    except BaseException:
        file.close()
        raise
    return layout, file


def checked(path: Path, layout: Layout, size: int) -> Layout:
    """Return the layout that was read from a file of `size` bytes in the newest format; raise what is wrong with it."""
    _check_version(path, layout.attributes)
    _check_header(path, layout)
    layout = upgraded(path, layout)
    _check_facts(path, layout)
    _check_shapes(path, layout, size)
    return layout


def _read_header(path: Path, opened: BinaryIO) -> Layout:
    # Through our own open file: no lock of HDF5's, which fail on network folders and clash with other readers in this
    # process, and whatever replaces the store meanwhile, header and columns are of one and the same file.
    # Functions below the usual objects of h5py: of thousands of stores in a cache each header is read, and those
    # objects take as long again.
    try:
        access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
        access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
        access.set_fileobj_driver(h5py.h5fd.fileobj_driver, opened)
        with closing(h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDONLY, access)) as file:
            root = h5py.h5g.open(file, b"/")
            attributes = plain_attributes(root)
            _check_version(path, attributes)
            groups = {name: _read_group(group) for name, group in _members(root, h5py.h5g.GroupID)}
            return Layout(attributes, groups)
    except StoreError:
        raise
    except Exception as error:  # h5py turns HDF5's complaints into whichever builtin seems to fit
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StoreDamaged(f"{path} cannot be read as a store ({reason}): {_anew(path)}") from error


def _check_version(path: Path, attributes: Mapping[str, Any]) -> None:
    """Refuse what is no store of ours, and by name what a newer medfeat wrote."""
    if attributes.get("format") != FORMAT or not isinstance(attributes.get("format_version"), int):
        raise StoreDamaged(f"{path} is not a medfeat store: its attribute 'format' is {attributes.get('format')!r}")
    if attributes["format_version"] > FORMAT_VERSION:
        raise StoreVersionError(
            f"{path} was written by {attributes.get('created_by', 'a newer medfeat')} "
            f"in format {attributes['format_version']}, this version reads up to {FORMAT_VERSION}: update medfeat"
        )


def plain_attributes(place: Any) -> dict[str, Any]:
    """Return the attributes of what an id of h5py names as str and int; anything else has no place in a store."""
    names: list[bytes] = []
    h5py.h5a.iterate(place, lambda name, *_: names.append(name))
    return {name.decode(): _plain_attribute(h5py.h5a.open(place, name), name) for name in names}


def _plain_attribute(attribute: Any, name: bytes) -> str | int:
    kind = attribute.get_type()
    if isinstance(kind, h5py.h5t.TypeStringID) and not kind.is_variable_str():
        text = np.zeros((), _dtype(kind))
        attribute.read(text, kind)
        return bytes(text[()]).decode("utf-8")
    if isinstance(kind, h5py.h5t.TypeIntegerID):
        number = np.zeros((), _dtype(kind))
        attribute.read(number, kind)
        return int(number)
    # refused unread: one flipped bit in the heap of variable-length strings can hang HDF5 for ever
    raise ValueError(f"attribute {name.decode()!r} is neither fixed-length text nor a whole number")


def _dtype(kind: Any) -> np.dtype[Any]:
    """Return the type of numpy's for one of HDF5's; h5py's own way for texts takes as long as reading them."""
    if isinstance(kind, h5py.h5t.TypeStringID) and not kind.is_variable_str():
        return np.dtype(f"S{kind.get_size()}")
    found: np.dtype[Any] = np.dtype(kind.dtype.str)
    return found


def _read_group(group: Any) -> GroupLayout:
    columns = {name: _read_column(name, dataset) for name, dataset in _members(group, h5py.h5d.DatasetID)}
    return GroupLayout(plain_attributes(group), columns)


def _members(group: Any, kind: type) -> Iterator[tuple[str, Any]]:
    """Open what lies in a group itself, each with its name."""
    links: list[tuple[bytes, int]] = []
    group.links.iterate(lambda name, link: links.append((name, link.type)), info=True)
    for name, link in links:
        if link != h5py.h5l.TYPE_HARD:
            raise ValueError(f"{name.decode()!r} is a link to elsewhere, which a store may not hold")
        item = h5py.h5o.open(group, name)
        if not isinstance(item, kind):
            raise ValueError(f"{name.decode()!r} is not a {kind.__name__.removesuffix('ID').lower()}")
        yield name.decode(), item


def _read_column(name: str, dataset: Any) -> Column:
    offset, shape, dtype = dataset.get_offset(), dataset.shape, _dtype(dataset.get_type())
    if offset is None:  # neither in one piece, nor in this file, or empty
        plan = dataset.get_create_plist()
        if plan.get_layout() != h5py.h5d.CONTIGUOUS or plan.get_external_count():
            raise ValueError(f"dataset {name} is not contiguous inside the file")
        if math.prod(shape):
            raise ValueError(f"dataset {name} was never written")
    if dtype.kind != "S" and dtype.str not in _ALLOWED_DTYPES:
        raise ValueError(f"dataset {name} has type {dtype}, which a store may not hold")
    if not shape:
        raise ValueError(f"dataset {name} has no rows")
    return Column(offset or 0, dtype, shape)


def _check_header(path: Path, layout: Layout) -> None:
    """Compare the root digest with what it covers."""
    missing = [name for name in REQUIRED_ATTRIBUTES if name not in layout.attributes]
    if missing:
        raise StoreDamaged(f"{path} lacks the attributes {', '.join(missing)}: {_anew(path)}")
    if header_digest(layout) != layout.attributes["digest"]:
        raise StoreDamaged(
            f"{path}: the attributes (recipe, info, shapes) are not the ones that were written: {_anew(path)}"
        )


def _check_facts(path: Path, layout: Layout) -> None:
    """Check that the attributes mean what they must: whoever can compute a digest can still write nonsense."""
    facts = layout.attributes
    try:
        recipe, info, names = (json.loads(facts[name]) for name in ("recipe", "info", "groups"))
        digests = [json.loads(group.attributes["digests"]) for group in layout.groups.values()]
        sources = [group.attributes["source_rows"] for group in layout.groups.values()]
        good = (
            all(isinstance(one, dict) for one in (recipe, info, *digests))
            and all(isinstance(one, int) for one in sources)
            and isinstance(names, list)
            and len(names) == len(layout.groups) > 0
            and set(map(str, names)) == set(layout.groups)
            and recipe_digest(recipe) == facts["recipe_digest"]
        )
    except (ValueError, KeyError, RecursionError) as error:
        raise StoreDamaged(f"{path}: its recipe, info, groups or digests cannot be read: {_anew(path)}") from error
    if not good:
        raise StoreDamaged(f"{path}: its recipe, info, groups and digests do not belong together: {_anew(path)}")


def _check_shapes(path: Path, layout: Layout, size: int) -> None:
    """Check that the columns of each group fit each other and the file."""
    for name, group in layout.groups.items():
        columns = group.columns
        missing = [key for key in REQUIRED_COLUMNS if key not in columns]
        if missing:
            raise StoreDamaged(f"{path}: group {name!r} lacks {', '.join(missing)}: {_anew(path)}")
        embeddings, step = columns["embeddings"], group.attributes.get("rows_per_block")
        rows = embeddings.shape[0]
        fits = (
            len(embeddings.shape) in (2, 3)
            and (len(embeddings.shape) == 2 or 0 not in embeddings.shape[1:])
            and embeddings.dtype.str in EMBEDDING_DTYPES
            and isinstance(step, int)
            and step > 0
            and columns["block_digests"].shape == (count_blocks(rows, step), 16)
            and columns["image_hash"].shape == (rows, 16)
            and columns["ids"].shape == columns["rows"].shape == (rows,)
            and columns["ids"].dtype.kind == "S"
            and ("labels" not in columns or columns["labels"].dtype.str in LABEL_DTYPES)
            and ("labels" not in columns or (len(columns["labels"].shape) == 2 and columns["labels"].shape[0] == rows))
        )
        if not fits:
            raise StoreDamaged(f"{path}: the columns of group {name!r} do not fit each other: {_anew(path)}")
        beyond = [key for key, column in columns.items() if column.nbytes and column.offset + column.nbytes > size]
        if beyond:
            raise StoreDamaged(f"{path} is truncated: {', '.join(beyond)} of {name!r} end beyond it: {_anew(path)}")
    every = [group.columns["embeddings"] for group in layout.groups.values()]
    if len({(column.shape[1:], column.dtype.str) for column in every}) > 1:
        raise StoreDamaged(f"{path}: the embeddings of its groups differ in shape or type: {_anew(path)}")
