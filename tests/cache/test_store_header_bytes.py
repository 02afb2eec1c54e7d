"""Headers read from the bytes of a file: what HDF5 reads, or nothing; never more than the digest covers."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest

from medfeat_cache import StoreDamaged, StoreError, find_stores, read_header
from medfeat_cache.create import GroupShape, create
from medfeat_cache.header import listed_header
from medfeat_cache.header_bytes import read_layout
from medfeat_cache.layout import open_layout

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.h5"))
_ONE = ((8,), "<f4", None)
_MANY = ((3, 8), "<f2", (2, "<f8"))
_LONG = ((1500,), "<f4", (1, "<i8"))


def written(path, *, letters=1000, groups=3, rows=5, kind=_ONE):
    """Write a store whose columns are empty; return its layout as it was written."""
    shape, dtype, labels = kind
    group = GroupShape(rows=rows, source_rows=rows, shape=shape, dtype=dtype, id_bytes=9, labels=labels)
    info = {"note": "é" * (letters // 2)}
    return create(path, recipe={"a": 1}, info=info, groups={f"fold {i}é": group for i in range(groups)})


def plain(path):
    with path.open("rb", buffering=0) as file:
        return read_layout(file)


@pytest.mark.parametrize("kind", [_ONE, _MANY, _LONG])
@pytest.mark.parametrize("rows", [0, 5, 3000])
@pytest.mark.parametrize("groups", [1, 8])
@pytest.mark.parametrize("letters", [0, 3000, 10_000, 200_000])
def test_what_is_written_is_read_from_the_bytes_alone(tmp_path, letters, groups, rows, kind):
    path = tmp_path / "store.h5"
    layout = written(path, letters=letters, groups=groups, rows=rows, kind=kind)
    found = plain(path)
    assert (found.attributes, list(found.groups)) == (layout.attributes, list(layout.groups))
    for name, group in layout.groups.items():
        assert found.groups[name].attributes == group.attributes
        for key, column in group.columns.items():
            assert (found.groups[name].columns[key].shape, found.groups[name].columns[key].dtype) == (
                column.shape,
                column.dtype,
            )
            assert found.groups[name].columns[key].offset == column.offset or not rows


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_stores_of_earlier_versions_are_read_alike(path):
    assert listed_header(path) == read_header(path)
    assert plain(path) is not None


def test_what_is_laid_out_otherwise_is_left_to_hdf5(tmp_path):
    written(tmp_path / "many.h5", groups=20)
    with h5py.File(tmp_path / "packed.h5", "w", libver=("v110", "v110")) as file:
        file.create_dataset("group/embeddings", data=np.zeros((4, 4)), compression="gzip")
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.create_group("group")
    (tmp_path / "none.h5").write_bytes(b"nothing")
    assert [plain(path) for path in sorted(tmp_path.iterdir())] == [None] * 4


def test_many_groups_are_listed_all_the_same(new_source, cache_root):
    path = new_source(counts={f"fold{i:02d}": 3 for i in range(20)}).make(cache_root)
    assert plain(path) is None
    assert listed_header(path) == read_header(path)


def test_a_list_of_stores_opens_none_with_hdf5(new_source, cache_root, monkeypatch):
    """Thousands are listed: HDF5 takes ten times as long for each."""
    for number in range(3):
        new_source(recipe={"dataset": "toy", "backbone": "timm:net", "number": number}).make(cache_root)
    opened, real = [], h5py.h5f.open
    monkeypatch.setattr(h5py.h5f, "open", lambda *rest, **named: opened.append(rest[0]) or real(*rest, **named))
    found = find_stores(cache_root)
    assert opened == []
    assert list(found) == [read_header(header.path) for header in found]
    assert len(opened) == len(found) == 3


def test_no_flipped_bit_gives_another_header(store):
    """Each byte of the header: the store is listed as it was written, or said to be damaged."""
    whole, known = store.read_bytes(), listed_header(store)
    named = {b"OHDR", b"FRHP", b"FHDB", b"BTHD", b"BTLF"}
    parts = [at for at in range(len(whole)) if whole[at : at + 4] in named]
    near = sorted({at + i for at in parts for i in range(320) if at + i < len(whole)} | set(range(48)))
    rng, damaged = random.Random(0), 0
    for at in rng.sample(near, 700):
        store.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << rng.randrange(8))]) + whole[at + 1 :])
        try:
            assert listed_header(store) == known
        except StoreError:
            damaged += 1
    assert damaged > 100


def test_changed_info_is_not_listed(store):
    """Nothing but the root digest covers it once the file is read without HDF5, whose checksums would tell."""
    store.write_bytes(store.read_bytes().replace(b"CC0", b"CC1"))
    with pytest.raises(StoreDamaged):
        listed_header(store)
    found = find_stores(store.parent.parent.parent)
    assert list(found) == []
    assert [path for path, _ in found.problems] == [store]


def test_a_column_beyond_the_file_is_named(store):
    layout, file = open_layout(store)
    file.close()
    first = min(column.offset for group in layout.groups.values() for column in group.columns.values())
    with store.open("rb+") as cut:
        cut.truncate(first + 64)
    with pytest.raises(StoreDamaged):
        listed_header(store)


def test_sizes_that_lie_cost_nothing(store):
    """A header said to be of a terabyte, one that is its own continuation, and one shorter than nothing."""
    whole = store.read_bytes()
    root = struct.unpack_from("<Q", whole, 36)[0]
    lies = whole[: root + 5] + bytes([whole[root + 5] | 3]) + struct.pack("<Q", 1 << 40) + whole[root + 14 :]
    made = [lies]
    for where, size in ((root + 4, 208), (root + 4, 2)):
        more = b"\x10" + struct.pack("<HBH", 16, 0, 0) + struct.pack("<QQ", where, size)
        made.append(whole[: root + 8] + more + whole[root + 8 + len(more) :])
    for one in made:
        store.write_bytes(one)
        assert plain(store) is None
        with pytest.raises(StoreError):
            listed_header(store)


def test_a_header_of_a_million_groups_is_given_up(store):
    """Each is a link to one and the same group, which would be read a million times."""
    layout = plain(store)
    assert layout is not None
    whole = store.read_bytes()
    root = struct.unpack_from("<Q", whole, 36)[0]
    group = whole.index(b"OHDR", root + 4)
    links = b"".join(
        b"\x06" + struct.pack("<HB", 19, 0) + bytes([1, 0, 8]) + b"%08d" % i + struct.pack("<Q", group)
        for i in range(20_000)
    )
    head = b"OHDR\x02\x02" + struct.pack("<I", len(links)) + links
    store.write_bytes(whole[:36] + struct.pack("<Q", len(whole)) + whole[44:] + head)
    assert plain(store) is None
