"""What is finished, unfinished, known from elsewhere, or nobody's any more."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medfeat_cache import (
    FeatureStore,
    StoreBusy,
    StoreConflictError,
    StoreInputError,
    StoreNotFoundError,
    collect_garbage,
    donors,
    find_donors,
    find_unfinished,
    header_index,
    iter_known,
    locate,
    remove,
    unfinished,
)
from medfeat_cache.root import lock_file, parts_folder

Source = Any


def test_an_unfinished_store_tells_how_far_it_is(source: Source, tmp_path: Path) -> None:
    path = source.path(tmp_path)
    assert unfinished(path) is None
    with source.open(tmp_path) as writer:
        source.part(writer, "train", 0, 8)
        bad = [("val/0é", "gone")]
        writer.write_rows("val", [1], source.embeddings("val")[1:2], source.hashes("val")[1:2], bad)
        found = unfinished(path)
    assert found is not None
    assert found.done == {"train": 8, "val": 2}
    assert found.recipe == source.recipe
    assert found.settings == {"batch_size": 4}
    assert found.info == {"licence": "CC0"}
    assert find_unfinished(tmp_path) == find_unfinished(tmp_path, dataset="toy") == [found]
    assert find_unfinished(tmp_path, dataset="other") == []
    assert found.size_bytes > 9 * 8 * 4
    (parts_folder(path) / "manifest.json").write_text("{")
    assert unfinished(path) is None


def test_a_store_is_removed_with_all_that_belongs_to_it(source: Source, store: Path, cache_root: Path) -> None:
    parts_folder(store).mkdir()
    (parts_folder(store) / "x.part").write_bytes(b"12345")
    size = store.stat().st_size
    assert remove(store) == size + 5
    assert not list(cache_root.rglob("*"))
    with pytest.raises(StoreNotFoundError):
        remove(store)


@pytest.mark.parametrize("damage", [b"", b"not HDF5 at all", None])
def test_a_store_that_cannot_be_read_can_be_located_and_removed(
    store: Path, cache_root: Path, damage: bytes | None
) -> None:
    store.write_bytes(store.read_bytes()[:5000] if damage is None else damage)
    for which in (str(store), store.name, store.stem, store.stem[:3], store.stem[:3].upper(), store.stem + "0" * 52):
        assert locate(cache_root, which) == [store]
    assert remove(store) == (5000 if damage is None else len(damage))
    assert locate(cache_root, store.stem) == []
    assert locate(cache_root, str(store)) == []


def test_parts_are_removed_by_their_folder_and_the_store_beside_them_stays(
    source: Source, new_source: Callable[..., Source], store: Path, cache_root: Path
) -> None:
    other = new_source(recipe={**source.recipe, "pool": "max"})
    with other.open(cache_root) as writer:
        other.part(writer, "train", 0, 8)
    assert locate(cache_root, other.path(cache_root).stem) == [other.path(cache_root)]
    parts_folder(other.path(cache_root)).rename(parts_folder(store))
    with pytest.raises(StoreConflictError, match="medfeat cache rm") as caught:
        source.open(cache_root)
    named = str(caught.value).partition(" holds parts of another recipe")[0]
    assert locate(cache_root, named) == [parts_folder(store)]
    assert remove(named) > 0
    assert [entry.name for entry in store.parent.iterdir()] == [store.name]
    source.open(cache_root).close()


def test_what_names_no_store_is_located_nowhere(store: Path, cache_root: Path) -> None:
    for which in ("", "xyz", "..", "0" * 13, f"elsewhere/{store.name}", str(store.with_name("0123456789ab.h5"))):
        assert store not in locate(cache_root, which)
    assert locate(cache_root / "nowhere", store.stem) == []


def test_only_stores_can_be_removed_and_none_that_is_being_written(
    source: Source, store: Path, cache_root: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "thesis.h5"
    precious.touch()
    with pytest.raises(StoreInputError, match="12 hex digits"):
        remove(precious)
    with source.open(cache_root), pytest.raises(StoreBusy):
        remove(store)
    assert store.exists()


def test_garbage_is_what_the_dead_left_and_nothing_else(
    source: Source, new_source: Callable[..., Source], store: Path, cache_root: Path
) -> None:
    unfinished_one = new_source(recipe={**source.recipe, "pool": "max"})
    with unfinished_one.open(cache_root) as writer:
        unfinished_one.part(writer, "train", 0, 8)
    precious = [store, store.parent / "notes.txt", store.parent / ".hidden", unfinished_one.path(cache_root)]
    for path in precious[1:3]:
        path.write_text("mine")
    leftover = parts_folder(store)
    parts_folder(unfinished_one.path(cache_root)).rename(store.parent / "aside")
    with source.open(cache_root) as writer:
        source.part(writer, "train", 0, 8)
    (store.parent / "aside").rename(parts_folder(unfinished_one.path(cache_root)))
    temporary = store.with_name(f".{store.name}.1-abcd.tmp")
    temporary.write_bytes(bytes(100))
    lock_file(store).write_text("{}")
    os.utime(lock_file(store), (0, 0))

    expected = {temporary, leftover, lock_file(store)}
    listed = collect_garbage(cache_root, dry_run=True)
    assert {one.path for one in listed} == expected
    assert all(one.path.exists() for one in listed)
    assert {one.path for one in collect_garbage(cache_root)} == expected
    assert not any(path.exists() for path in expected)
    assert all(path.exists() for path in precious[:3])
    assert unfinished(precious[3]) is not None
    assert collect_garbage(cache_root) == []

    old = parts_folder(precious[3])
    for file in old.iterdir():
        os.utime(file, (time.time() - 10 * 86400,) * 2)
    assert collect_garbage(cache_root, unfinished_days=30) == []
    assert [one.why for one in collect_garbage(cache_root, unfinished_days=7)] == ["unfinished, untouched for 10 days"]
    assert not old.exists()


def test_what_a_live_process_works_on_is_no_garbage(source: Source, cache_root: Path) -> None:
    with source.open(cache_root) as writer:
        temporary = writer.path.with_name(f".{writer.path.name}.1-abcd.tmp")
        temporary.touch()
        assert collect_garbage(cache_root, dry_run=True) == []
        assert collect_garbage(cache_root) == []
        assert temporary.exists()


def test_a_grown_source_embeds_only_what_is_new(
    source: Source, new_source: Callable[..., Source], store: Path, cache_root: Path
) -> None:
    grown = new_source(counts={"all": 40}, recipe={**source.recipe, "dataset": "grown", "fingerprint": "other"})
    order = np.random.default_rng(3).permutation(30)
    hashes, vectors = 255 - grown.hashes("all"), -grown.embeddings("all")
    hashes[5:35], vectors[5:35] = source.hashes("train")[order], source.embeddings("train")[order]
    found = find_donors(cache_root, grown.recipe)
    assert [header.path for header in found] == [store]
    assert find_donors(cache_root, {**grown.recipe, "pool": "max"}) == []
    with grown.open(cache_root) as writer:
        for places, copied in iter_known([header.path for header in found], hashes):
            writer.write_rows("all", places, copied, hashes[places])
        left = writer.missing_rows("all")
        assert left.tolist() == [0, 1, 2, 3, 4, 35, 36, 37, 38, 39]
        writer.write_rows("all", left, vectors[left], hashes[left])
        opened = FeatureStore(writer.publish(), verify=True)
    assert np.array_equal(opened.embeddings("all"), vectors)


def test_damaged_rows_and_unknown_images_are_not_copied(source: Source, store: Path) -> None:
    hashes = np.concatenate([source.hashes("train"), source.hashes("val"), np.zeros((1, 16), np.uint8)])
    data = bytearray(store.read_bytes())
    data[data.index(source.embeddings("train").tobytes())] ^= 1
    store.write_bytes(data)
    [(places, copied)] = iter_known([store.with_name("gone.h5"), store], hashes)
    assert places.tolist() == list(range(30, 37)), "the damaged block vouches for no row"
    assert np.array_equal(copied, source.embeddings("val"))
    assert list(iter_known([], hashes)) == []


def test_many_known_images_come_a_slice_at_a_time_each_once(
    source: Source, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(donors, "SLICE_ROWS", 8)
    hashes = np.concatenate([source.hashes("val"), *[source.hashes("train")] * 3])
    vectors = np.concatenate([source.embeddings("val"), *[source.embeddings("train")] * 3])
    seen = np.zeros(len(hashes), int)
    for places, copied in iter_known([store, store], hashes):
        assert len(places) <= 8
        assert np.array_equal(copied, vectors[places])
        seen[places] += 1
    assert (seen == 1).all()


def test_only_donors_with_the_fields_that_matter_are_opened(
    source: Source, new_source: Callable[..., Source], store: Path, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = new_source(recipe={**source.recipe, "size": 64}).make(cache_root)
    new_source(recipe={**source.recipe, "backbone": "other"}).make(cache_root)
    elsewhere = new_source(recipe={**source.recipe, "dataset": "elsewhere"}).make(cache_root)
    recipe = {**source.recipe, "fingerprint": "new"}
    opened: list[Path] = []
    read = header_index.listed_header
    monkeypatch.setattr(header_index, "listed_header", lambda path: opened.append(path) or read(path))

    def paths(**options: Any) -> set[Path]:
        opened.clear()
        return {header.path for header in find_donors(cache_root, recipe, **options)}

    assert paths() == {store, small, elsewhere} == set(opened)
    assert paths(data_fields=("fingerprint", "size")) == {store, small} == set(opened)
    assert paths(data_fields=("fingerprint",)) == {store}
