"""The index of headers: it spares reading, and is never believed over the files."""

import json
import os
import shutil
import time

import h5py
import numpy as np
import pytest

from medfeat_cache import FeatureStore, find_stores, header_index, read_header, remove, repair_rows


@pytest.fixture(autouse=True)
def worth_it(monkeypatch):
    """Write the index for any number of stores."""
    monkeypatch.setattr(header_index, "WORTH_WRITING", 1)


@pytest.fixture
def reads(monkeypatch):
    """The names of the stores whose headers are read from the files themselves."""
    read, seen = header_index.listed_header, []

    def counting(path):
        seen.append(path.stem)
        return read(path)

    monkeypatch.setattr(header_index, "listed_header", counting)
    return seen


@pytest.fixture
def stores(new_source, cache_root):
    """Three stores, an hour old."""
    found = []
    for number in range(3):
        recipe = {"dataset": f"toy{number % 2}", "backbone": "timm:net", "size": 28, "number": number}
        found.append(new_source(recipe=recipe).make(cache_root))
        aged(found[-1])
    return found


def aged(path, seconds=3600):
    """Make a file look old; its time of change cannot be set, so the clock of the index is set ahead in `later`."""
    now = time.time() - seconds
    os.utime(path, (now, now))


@pytest.fixture(autouse=True)
def later(monkeypatch):
    """It is a minute later than the clock says: what was written before has settled."""
    clock = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: clock() + 60 * 10**9)


def test_a_store_is_read_once_and_found_alike(stores, cache_root, reads):
    first = find_stores(cache_root)
    assert len(reads) == 3
    again = find_stores(cache_root)
    assert len(reads) == 3
    assert list(again) == list(first)
    assert [header.path for header in again] == sorted(stores)
    assert list(find_stores(cache_root, dataset="toy1")) == [one for one in first if one.recipe["dataset"] == "toy1"]
    assert list(find_stores(cache_root, number=2)) == [one for one in first if one.recipe["number"] == 2]
    assert len(reads) == 3


def test_a_header_costs_one_open_and_no_object_for_each_part_of_the_file(stores, monkeypatch):
    """Thousands of stores are looked at: h5py's objects for a file, its groups and columns take longer than reading."""
    made, opened, real = [], [], h5py.h5f.open
    for kind in (h5py.File, h5py.Group, h5py.Dataset, h5py.AttributeManager):
        monkeypatch.setattr(kind, "__init__", lambda *_, kind=kind: made.append(kind))
    monkeypatch.setattr(h5py.h5f, "open", lambda *rest, **named: opened.append(rest[0]) or real(*rest, **named))
    assert [read_header(path).recipe["number"] for path in stores] == [0, 1, 2]
    assert (made, len(opened)) == ([], 3)


def test_a_few_stores_leave_no_file(stores, cache_root, monkeypatch):
    monkeypatch.setattr(header_index, "WORTH_WRITING", 4)
    find_stores(cache_root)
    assert not (cache_root / "headers.json").exists()
    monkeypatch.setattr(header_index, "WORTH_WRITING", 3)
    find_stores(cache_root)
    assert (cache_root / "headers.json").exists()


def test_a_new_store_is_read_and_a_removed_one_forgotten(stores, cache_root, new_source, reads):
    find_stores(cache_root)
    remove(stores[0])
    new = new_source(recipe={"dataset": "toy0", "backbone": "timm:net", "size": 64}).make(cache_root)
    found = find_stores(cache_root)
    assert {header.path for header in found} == {*stores[1:], new}
    assert reads[3:] == [new.stem]
    assert stores[0].stem not in (cache_root / "headers.json").read_text()


def test_a_look_at_one_dataset_keeps_what_is_known_of_the_others(stores, cache_root, reads):
    find_stores(cache_root, dataset="toy0")
    find_stores(cache_root, dataset="toy1")
    find_stores(cache_root)
    assert len(reads) == 3


@pytest.mark.parametrize("how", ["another store under its name", "bytes at the head", "cut", "same size and time"])
def test_a_changed_file_is_never_answered_from_the_index(stores, cache_root, reads, how):
    find_stores(cache_root)
    victim = stores[0]
    if how == "another store under its name":
        shutil.copyfile(stores[1], victim)
    else:
        status, content = victim.stat(), bytearray(victim.read_bytes())
        place = content.index(b"timm:net")
        content[place : place + 4] = b"tomm"
        victim.write_bytes(content[: len(content) // 2] if how == "cut" else content)
        if how == "same size and time":
            os.utime(victim, ns=(status.st_atime_ns, status.st_mtime_ns))
    found = find_stores(cache_root)
    assert reads[3:] == [victim.stem]
    if how == "another store under its name":
        assert {header.path: header.recipe["number"] for header in found}[victim] == 1
    else:
        assert [path for path, _ in found.problems] == [victim]


def test_a_repaired_store_is_read_again(stores, cache_root, reads):
    find_stores(cache_root)
    with FeatureStore(stores[0]) as store:
        rows = store.take(store.ids("train")[:2].tolist())
    repair_rows(stores[0], "train", np.array([0, 1]), rows)
    assert find_stores(cache_root).problems == []
    assert reads[3:] == [stores[0].stem]


def test_a_store_written_just_now_is_not_remembered(source, cache_root, reads, monkeypatch):
    monkeypatch.undo()
    path = source.make(cache_root)
    find_stores(cache_root)
    assert not (cache_root / "headers.json").exists()
    assert path.exists()


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[" * 100_000, b"\xff\xfe\n{}", b'{"version":1,"digest":"0"}\n{}', b"1\n2\n3"],
)
def test_a_damaged_index_is_an_empty_one(stores, cache_root, reads, damage):
    first = list(find_stores(cache_root))
    (cache_root / "headers.json").write_bytes(damage)
    again = find_stores(cache_root)
    assert list(again) == first and again.problems == []
    assert len(reads) == 6


def test_an_edited_index_is_not_believed(stores, cache_root, reads):
    first = list(find_stores(cache_root))
    index = cache_root / "headers.json"
    index.write_text(index.read_text().replace('"train":30', '"train":99'))
    assert list(find_stores(cache_root)) == first


def test_entries_of_another_kind_are_read_from_the_file(stores, cache_root, reads):
    """Whoever can compute the digest of an index may still write nonsense."""
    first = list(find_stores(cache_root))
    index = cache_root / "headers.json"
    head, body = index.read_text().strip().split("\n")
    entries = json.loads(body)
    for broken in (None, 3, {}, {"recipe": 1}, {"digest": "0" * 64}):
        names = list(entries)
        changed = entries | {names[0]: {**entries[names[0]], "header": broken}}
        new = json.dumps(changed)
        index.write_text(
            json.dumps(json.loads(head) | {"digest": header_index.digest(new.encode())}) + "\n" + new + "\n"
        )
        assert list(find_stores(cache_root)) == first


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(stores, cache_root, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(header_index, "write_whole", refuse)
    assert len(find_stores(cache_root)) == 3


def test_the_shape_of_several_vectors_is_remembered(new_source, cache_root, reads):
    for vectors in (0, 3):
        recipe = {"dataset": "toy", "backbone": "timm:net", "size": 28, "vectors": vectors}
        aged(new_source(recipe=recipe, vectors=vectors).make(cache_root))
    first = {one.path: one.shape for one in find_stores(cache_root)}
    assert set(first.values()) == {(8,), (3, 8)}
    assert {one.path: one.shape for one in find_stores(cache_root)} == first
    assert len(reads) == 2
