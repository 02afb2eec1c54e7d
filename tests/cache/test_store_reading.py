"""What a reader may rely on: everything joins by id, nothing is believed that is not a whole, plain store."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from medfeat_cache import (
    FeatureStore,
    StoreDamaged,
    StoreError,
    StoreNotFoundError,
    StoreVersionError,
    UnknownIdsError,
    differences,
    find_stores,
    store_files,
    upgrade,
)
from medfeat_cache.create import write_digests
from medfeat_cache.format import Layout
from medfeat_cache.layout import open_layout

Source = Any


def test_embeddings_are_mapped_and_cannot_be_changed(source: Source, store: Path) -> None:
    with FeatureStore(store) as opened:
        embeddings = opened.embeddings("train")
        assert not embeddings.flags.owndata
        assert embeddings.flags.aligned
        with pytest.raises(ValueError, match="read-only"):
            embeddings[0, 0] = 1
        assert np.array_equal(opened.read("train"), embeddings)
    assert np.array_equal(embeddings, source.embeddings("train")), "arrays outlive the store they came from"


def test_rows_join_by_id_across_groups_in_any_order(source: Source, store: Path) -> None:
    opened = FeatureStore(store)
    ids = np.concatenate([opened.ids("val"), opened.ids("train")])
    vectors = np.concatenate([source.embeddings("val"), source.embeddings("train")])
    order = np.random.default_rng(0).permutation(len(ids))
    assert np.array_equal(opened.take(ids[order]), vectors[order])
    assert opened.take([]).shape == (0, 8)


def test_two_stores_of_shuffled_sources_still_line_up(store: Path, source: Source, tmp_path: Path) -> None:
    order = np.random.default_rng(1).permutation(30)

    class Shuffled(type(source)):  # type: ignore[misc]
        def ids(self, group: str) -> Any:
            return super().ids(group)[order] if group == "train" else super().ids(group)

        def embeddings(self, group: str) -> Any:
            return super().embeddings(group)[order] if group == "train" else super().embeddings(group)

    other = FeatureStore(Shuffled(recipe={**source.recipe, "backbone": "b2"}).make(tmp_path))
    ids = FeatureStore(store).ids("train")
    assert not np.array_equal(other.ids("train"), ids)
    assert np.array_equal(other.take(ids), FeatureStore(store).take(ids))


def test_unknown_ids_and_groups_are_named(store: Path) -> None:
    opened = FeatureStore(store)
    with pytest.raises(UnknownIdsError, match=r"2 of 3 ids are not in .*first 'zz', 'train/3'$"):
        opened.take(["zz", "train/3é", "train/3"])
    with pytest.raises(KeyError):
        opened.take(["zz"])
    for ask in (opened.n, opened.embeddings, opened.labels, opened.ids):
        with pytest.raises(UnknownIdsError, match="must be one of train, val"):
            ask("test")


def test_batches_cover_a_group_once(source: Source, store: Path) -> None:
    opened = FeatureStore(store)
    batches = list(opened.batches("train", rows=7))
    assert [len(ids) for ids, _ in batches] == [7, 7, 7, 7, 2]
    assert np.array_equal(np.concatenate([rows for _, rows in batches]), source.embeddings("train"))
    assert np.concatenate([ids for ids, _ in batches]).tolist() == source.ids("train").tolist()


def test_an_empty_group_is_no_special_case(new_source: Callable[..., Source], tmp_path: Path) -> None:
    some = new_source(counts={"train": 3, "val": 0})
    opened = FeatureStore(some.make(tmp_path), verify=True)
    assert opened.embeddings("val").shape == opened.read("val").shape == (0, 8)
    assert opened.ids("val").tolist() == []
    assert opened.take(some.ids("train")).shape == (3, 8)


def test_a_reader_keeps_what_it_opened_when_the_store_is_replaced(source: Source, store: Path) -> None:
    opened = FeatureStore(store)
    before = opened.embeddings("train")[0].copy()
    other = type(source)(dim=8, counts={"train": 2, "val": 1}, recipe=source.recipe)
    store.unlink()
    other.make(store.parents[2])
    assert np.array_equal(opened.embeddings("train")[0], before)
    assert opened.ids("train").tolist() == source.ids("train").tolist()
    assert FeatureStore(store).n("train") == 2


def test_reading_leaves_no_lock_and_needs_none(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(store, "r", locking=True), FeatureStore(store, verify=True) as opened:
        assert opened.n("train") == 30
    assert [entry.name for entry in store.parent.iterdir()] == [store.name]


def test_stores_are_found_by_recipe_and_unreadable_ones_reported(
    source: Source, new_source: Callable[..., Source], store: Path, cache_root: Path
) -> None:
    new_source(recipe={**source.recipe, "size": 224, "pool": "max"}).make(cache_root)
    broken = store.with_name("0123456789ab.h5")
    broken.write_bytes(store.read_bytes()[:1000])
    (store.parent / "notes.h5").write_text("not ours")
    found = find_stores(cache_root)
    assert len(found) == 2
    assert [path for path, _ in found.problems] == [broken]
    assert [header.path for header in find_stores(cache_root, size=28)] == [store]
    assert len(find_stores(cache_root, size=(28, 224), dataset="toy", backbone=None)) == 2
    assert find_stores(cache_root, size=64) == []
    assert find_stores(cache_root / "nowhere") == []
    header = find_stores(cache_root, size=28)[0]
    assert (header.counts, header.dim, header.dtype) == ({"train": 30, "val": 7}, 8, "float32")
    assert header.info["licence"] == "CC0"


def test_only_the_folders_of_the_names_asked_for_are_opened(
    source: Source, new_source: Callable[..., Source], store: Path, cache_root: Path
) -> None:
    other = new_source(recipe={**source.recipe, "backbone": "timm net"}).make(cache_root)
    assert other.parent == store.parent, "two names may share a folder"
    third = new_source(recipe={**source.recipe, "backbone": "hf:a/b"}).make(cache_root)
    broken = third.with_name("0123456789ab.h5")
    broken.write_bytes(b"")
    found = find_stores(cache_root, dataset="toy", backbone="timm:net")
    assert ([header.path for header in found], found.problems) == ([store], [])
    assert {header.path for header in find_stores(cache_root, backbone=("timm net", "hf:a/b"))} == {other, third}
    assert len(find_stores(cache_root, dataset="toy").problems) == 1
    assert find_stores(cache_root, dataset="../toy") == find_stores(cache_root, backbone="..") == []
    assert store_files(cache_root) == sorted([store, other, third, broken])


def test_differing_recipe_fields_are_named(source: Source, new_source: Callable[..., Source], cache_root: Path) -> None:
    source.make(cache_root)
    new_source(recipe={**source.recipe, "size": 224, "pool": "max"}).make(cache_root)
    named = differences(find_stores(cache_root))
    assert sorted(named) == ["pool", "size"]
    assert sorted(named["size"]) == [28, 224]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="no store at"):
        FeatureStore(tmp_path / "none.h5")
    with pytest.raises(FileNotFoundError):
        FeatureStore(tmp_path)


@pytest.mark.parametrize("left", [0, 10, 100, 3000, -1])
def test_a_truncated_file_is_damaged_not_a_traceback(store: Path, left: int) -> None:
    os.truncate(store, left if left >= 0 else store.stat().st_size - 1)
    with pytest.raises(StoreDamaged) as caught:
        FeatureStore(store)
    assert "\n" not in str(caught.value)
    assert str(store) in str(caught.value)


def test_other_files_are_not_stores(tmp_path: Path) -> None:
    text, other = tmp_path / "text.h5", tmp_path / "other.h5"
    text.write_text("hello " * 1000)
    with h5py.File(other, "w") as file:
        file["x"] = [1]
    for path in (text, other):
        with pytest.raises(StoreDamaged):
            FeatureStore(path)


def _edit(path: Path, attribute: str, value: Any) -> None:
    layout, file = open_layout(path)
    file.close()
    with h5py.File(path, "r+") as file5:
        file5.attrs[attribute] = np.bytes_(value) if isinstance(value, str) else value
    write_digests(path, replace(layout, attributes={**layout.attributes, attribute: value}))


def test_a_newer_format_is_refused_by_name(store: Path) -> None:
    _edit(store, "created_by", "medfeat 9.1")
    _edit(store, "format_version", 3)
    with pytest.raises(StoreVersionError, match=r"written by medfeat 9\.1 in format 3, this version .* update medfeat"):
        FeatureStore(store)


def test_an_older_format_is_read_through_a_numbered_upgrade(
    store: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    _edit(store, "format_version", 0)
    with pytest.raises(StoreVersionError, match="format 0"):
        FeatureStore(store)
    before = store.read_bytes()

    def renew(old: Layout) -> Layout:
        return replace(old, attributes={**old.attributes, "info": '{"was": 0}'})

    monkeypatch.setitem(upgrade.UPGRADES, 0, renew)
    opened = FeatureStore(store, verify=True)
    assert opened.info == {"was": 0}
    assert np.array_equal(opened.embeddings("train"), source.embeddings("train"))
    assert store.read_bytes() == before, "reading an older store changes no byte of it"


def _external_link(file: h5py.File, other: Path) -> None:
    file["train/ids"] = h5py.ExternalLink(str(other), "/secret")


def _soft_link(file: h5py.File, other: Path) -> None:
    file["train/ids"] = h5py.SoftLink("/val/ids")


def _virtual(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout((30, 8), "f4")
    layout[:] = h5py.VirtualSource(str(other), "/secret", (30, 8))
    file.create_virtual_dataset("train/ids", layout)


def _external_storage(file: h5py.File, other: Path) -> None:
    file["train"].create_dataset("ids", (30, 8), "f4", external=[(str(other), 0, 30 * 8 * 4)])


def _objects(file: h5py.File, other: Path) -> None:
    file["train/ids"] = ["variable", "length"]


def _references(file: h5py.File, other: Path) -> None:
    file["train"].create_dataset("ids", (1,), h5py.ref_dtype)


def _chunked(file: h5py.File, other: Path) -> None:
    file["train"].create_dataset("ids", (30, 8), "f4", chunks=(1, 8))


def _named_type(file: h5py.File, other: Path) -> None:
    file["train/ids"] = np.dtype("f8")


def _heap_attribute(file: h5py.File, other: Path) -> None:
    file.attrs["note"] = "a string in the heap"


@pytest.mark.parametrize(
    "attack",
    [
        _external_link,
        _soft_link,
        _virtual,
        _external_storage,
        _objects,
        _references,
        _chunked,
        _named_type,
        _heap_attribute,
    ],
)
def test_hostile_stores_are_refused_before_anything_is_followed(
    store: Path, tmp_path: Path, attack: Callable[[h5py.File, Path], None]
) -> None:
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["secret"] = np.zeros((30, 8), "f4")
    with h5py.File(store, "r+") as file:
        del file["train/ids"]
        attack(file, other)
    with pytest.raises(StoreDamaged):
        FeatureStore(store)


def test_a_missing_column_is_named(store: Path) -> None:
    layout, file = open_layout(store)
    file.close()
    with h5py.File(store, "r+") as file5:
        del file5["val/rows"]
    group = layout.groups["val"]
    columns = {name: column for name, column in group.columns.items() if name != "rows"}
    write_digests(store, replace(layout, groups={**layout.groups, "val": replace(group, columns=columns)}))
    with pytest.raises(StoreDamaged, match="'val' lacks rows"):
        FeatureStore(store)


@pytest.mark.parametrize(
    "nonsense",
    [
        {"recipe": "[1]"},
        {"recipe": "{"},
        {"recipe": '{"dataset":"other"}'},
        {"info": "[" * 100_000},
        {"groups": "[]"},
        {"groups": '["train", "train"]'},
        {"groups": '["train", ["val"]]'},
        {"recipe_digest": "0" * 64},
    ],
)
def test_nonsense_under_a_right_digest_is_refused(store: Path, nonsense: dict[str, str]) -> None:
    for name, value in nonsense.items():
        _edit(store, name, value)
    with pytest.raises(StoreDamaged, match="extract again"):
        FeatureStore(store)


def test_threads_may_share_one_open_store(new_source: Callable[..., Source], tmp_path: Path) -> None:
    opened = FeatureStore(new_source(counts={"all": 4000}, dim=64).make(tmp_path))
    expected = opened.read("all")

    def read(size: int) -> bool:
        return bool(np.array_equal(np.concatenate([rows for _, rows in opened.batches("all", size)]), expected))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, [7, 64, 100, 333] * 3))


def test_every_error_is_one_line_and_a_store_error() -> None:
    assert issubclass(StoreDamaged, StoreError)
    assert str(UnknownIdsError("no quotes around this")) == "no quotes around this"
    assert StoreError.exit_code == 1
