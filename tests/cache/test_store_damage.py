"""Damage is found, named by row, and mended without touching anything else."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medfeat_cache import (
    FeatureStore,
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreInputError,
    StoreNotFoundError,
    UnknownIdsError,
    repair_rows,
    restore_column,
    verify_store,
)
from medfeat_cache.create import seal
from medfeat_cache.layout import open_layout
from medfeat_cache.lock import Lock
from medfeat_cache.root import lock_file

Source = Any
COLUMNS = ("block_digests", "ids", "image_hash", "labels", "rows")


@pytest.fixture
def wide(new_source: Callable[..., Source]) -> Source:
    """A source whose store has several blocks a group: 1,000 rows of 64 floats, 256 rows a block."""
    return new_source(counts={"all": 1000}, dim=64)


def offset(path: Path, group: str, column: str, row: int = 0) -> int:
    layout, file = open_layout(path)
    file.close()
    found = layout.groups[group].columns[column]
    return found.offset + row * found.row_bytes


def flip(path: Path, position: int, bit: int = 0) -> None:
    with path.open("rb+") as file:
        file.seek(position)
        value = file.read(1)[0]
        file.seek(position)
        file.write(bytes([value ^ (1 << bit)]))


def overwrite(path: Path, group: str, rows: list[int], values: np.ndarray, *, sealed: bool) -> None:
    """Change embeddings in place; sealed as if they had been computed so, or behind the digests' back."""
    with path.open("rb+") as file:
        for row, value in zip(rows, values, strict=True):
            file.seek(offset(path, group, "embeddings", row))
            file.write(value.tobytes())
    if sealed:
        layout, opened = open_layout(path)
        opened.close()
        seal(path, layout)


def test_a_whole_store_is_found_whole(store: Path) -> None:
    counted: list[int] = []
    report = verify_store(store, progress=counted.append)
    assert report.ok
    assert not report.damaged
    assert report.problems == []
    assert report.rows == sum(counted) == 37


def test_one_flipped_bit_in_the_embeddings_names_its_rows(wide: Source, cache_root: Path) -> None:
    path = wide.make(cache_root)
    flip(path, offset(path, "all", "embeddings", 300) + 5, 3)
    report = verify_store(path)
    assert [problem.what for problem in report.problems] == ["embeddings are not the ones that were written"]
    assert report.problems[0].rows == tuple(range(256, 512))
    assert str(report.problems[0]) == "all: embeddings are not the ones that were written (rows 256-511)"
    with pytest.raises(StoreDamaged, match="rows 256-511"):
        FeatureStore(path, verify=True)
    FeatureStore(path).embeddings("all")


@pytest.mark.parametrize("column", COLUMNS)
def test_one_flipped_bit_in_any_other_column_is_found(store: Path, column: str) -> None:
    flip(store, offset(store, "val", column) + 1)
    report = verify_store(store)
    assert f"val: {column} are not the ones that were written" in map(str, report.problems)
    with pytest.raises(StoreDamaged, match=column):
        FeatureStore(store, verify=True)


@pytest.mark.parametrize("text", [b'"dataset":"toy"', b"CC0", b'["train", "val"]', b"medfeat 0"])
def test_one_flipped_bit_in_the_attributes_is_found_even_without_verify(store: Path, text: bytes) -> None:
    flip(store, store.read_bytes().index(text) + 2)
    assert verify_store(store).damaged
    with pytest.raises(StoreDamaged):
        FeatureStore(store)


def test_a_truncated_file_is_reported(store: Path) -> None:
    os.truncate(store, 5000)
    assert "cannot be read as a store" in str(verify_store(store).problems[0])
    with pytest.raises(StoreNotFoundError):
        verify_store(store.with_name("none.h5"))


def test_swapped_rows_are_found(wide: Source, cache_root: Path) -> None:
    path = wide.make(cache_root)
    vectors = wide.embeddings("all")
    overwrite(path, "all", [10, 900], vectors[[900, 10]], sealed=False)
    rows = verify_store(path).rows_to_repair()["all"]
    assert {10, 900} <= set(rows.tolist())


def test_nan_and_zero_rows_are_found_even_when_they_were_written_so(store: Path) -> None:
    values = np.stack([np.full(8, np.nan), np.full(8, np.inf), np.zeros(8)]).astype(np.float32)
    overwrite(store, "train", [3, 4, 9], values, sealed=True)
    FeatureStore(store, verify=True)
    report = verify_store(store)
    assert [(problem.what, problem.rows, problem.level) for problem in report.problems] == [
        ("embeddings hold NaN or infinity", (3, 4), "damage"),
        ("embeddings are all zero", (9,), "suspect"),
    ]
    assert report.rows_to_repair()["train"].tolist() == [3, 4, 9]


def test_zero_and_equal_rows_of_a_weights_free_backbone_are_notes(
    new_source: Callable[..., Source], cache_root: Path
) -> None:
    recipe = {"dataset": "toy", "backbone": "pixels", "source": "weights-free"}
    path = new_source(recipe=recipe).make(cache_root)
    same = np.ones(8, np.float32)
    overwrite(path, "train", [3, 4, 9], np.stack([same, same, np.zeros(8, np.float32)]), sealed=True)
    report = verify_store(path)
    assert report.ok
    assert [(problem.rows, problem.level) for problem in report.problems] == [((9,), "note"), ((3, 4), "note")]
    assert report.rows_to_repair() == {}


def test_equal_embeddings_are_a_note_for_equal_images_and_suspect_for_others(source: Source, tmp_path: Path) -> None:
    vectors, hashes = source.embeddings("train"), source.hashes("train")
    vectors[5], hashes[5] = vectors[2], hashes[2]
    vectors[7] = vectors[20]
    with source.open(tmp_path) as writer:
        writer.write_rows("train", range(30), vectors, hashes)
        source.part(writer, "val", 0, 7)
        path = writer.publish()
    found = [(problem.what, problem.rows, problem.level) for problem in verify_store(path).problems]
    assert found == [
        ("embeddings are equal although the images differ", (7, 20), "suspect"),
        ("the same image occurs more than once", (2, 5), "note"),
    ]


@pytest.mark.parametrize(("aside", "rows"), [(0.0446, None), (0.0449, (5,))])
def test_embeddings_of_one_image_may_differ_by_rounding_and_no_more(
    source: Source, tmp_path: Path, aside: float, rows: tuple[int, ...] | None
) -> None:
    """The cosine of (1, 0, ...) and (1, t, 0, ...) is 1 / sqrt(1 + t^2): .999 at t = .04475."""
    hashes, vectors = source.hashes("train"), source.embeddings("train")
    hashes[5] = hashes[2]
    vectors[2], vectors[5] = 3 * np.eye(8)[0], np.eye(8)[0] + aside * np.eye(8)[1]
    with source.open(tmp_path) as writer:
        writer.write_rows("train", range(30), vectors, hashes)
        source.part(writer, "val", 0, 7)
        problems = {problem.what: problem.rows for problem in verify_store(writer.publish()).problems}
    assert problems.get("the same image has different embeddings") == rows


def test_one_image_with_two_embeddings_is_suspect(source: Source, tmp_path: Path) -> None:
    hashes = source.hashes("train")
    hashes[5] = hashes[2]
    with source.open(tmp_path) as writer:
        writer.write_rows("train", range(30), source.embeddings("train"), hashes)
        source.part(writer, "val", 0, 7)
        problems = verify_store(writer.publish()).problems
    assert [(problem.what, problem.rows, problem.level) for problem in problems] == [
        ("the same image has different embeddings", (5,), "suspect")
    ]


def test_repair_gives_back_the_very_same_file(wide: Source, cache_root: Path) -> None:
    path = wide.make(cache_root)
    before = path.read_bytes()
    flip(path, offset(path, "all", "embeddings", 300))
    flip(path, offset(path, "all", "embeddings", 999))
    rows = verify_store(path).rows_to_repair()["all"]
    assert len(rows) == 256 + 1000 - 768
    repair = repair_rows(path, "all", rows, wide.embeddings("all")[rows])
    assert repair.exact
    assert path.read_bytes() == before


def test_repair_with_other_values_leaves_every_other_byte_equal(wide: Source, cache_root: Path) -> None:
    path = wide.make(cache_root)
    before = np.frombuffer(path.read_bytes(), np.uint8)
    values = wide.embeddings("all")[[70, 5]] + 1
    repair = repair_rows(path, "all", [70, 5], values)
    assert not repair.exact
    opened = FeatureStore(path, verify=True)
    assert np.array_equal(opened.embeddings("all")[[70, 5]], values)
    changed = np.flatnonzero(np.frombuffer(path.read_bytes(), np.uint8) != before)
    start = offset(path, "all", "embeddings")
    rows = np.unique((changed - start)[(changed >= start) & (changed < start + 1000 * 256)] // 256)
    assert rows.tolist() == [5, 70]
    digests = offset(path, "all", "block_digests")
    elsewhere = changed[(changed < start) | (changed >= start + 1000 * 256)]
    in_digests = elsewhere[(elsewhere >= digests) & (elsewhere < digests + 4 * 16)]
    assert set((in_digests - digests) // 16) == {0}, "only the block that changed has another digest"
    assert len(elsewhere) - len(in_digests) <= 64 + 64 + 2 * 4, "beside it, two digests and their headers' checksums"


def test_repair_believes_no_row_of_a_damaged_block(wide: Source, cache_root: Path) -> None:
    path = wide.make(cache_root)
    flip(path, offset(path, "all", "embeddings", 300))
    damaged = path.read_bytes()
    with pytest.raises(StoreInputError, match=r"rows 256-299, 301-511 of 'all' are damaged and not given"):
        repair_rows(path, "all", [300], wide.embeddings("all")[[300]])
    assert path.read_bytes() == damaged
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_damaged_block_digests_alone_cost_no_recomputation(wide: Source, cache_root: Path) -> None:
    path = wide.make(cache_root)
    before = path.read_bytes()
    flip(path, offset(path, "all", "block_digests") + 20)
    assert repair_rows(path, "all", [], np.empty((0, 64), np.float32)).exact
    assert path.read_bytes() == before


@pytest.mark.parametrize("column", ["ids", "labels", "rows", "image_hash"])
def test_a_damaged_column_is_restored_only_with_its_very_values(source: Source, store: Path, column: str) -> None:
    before = store.read_bytes()
    values = {
        "ids": source.ids("val"),
        "labels": source.labels("val"),
        "rows": np.arange(7),
        "image_hash": source.hashes("val"),
    }[column]
    flip(store, offset(store, "val", column) + 1)
    with pytest.raises(StoreDamaged, match=f"{column} of 'val' are damaged too"):
        repair_rows(store, "val", [0], source.embeddings("val")[:1])
    with pytest.raises(StoreInputError, match="are not the ones"):
        restore_column(store, "val", column, values[::-1])
    restore_column(store, "val", column, values)
    assert store.read_bytes() == before


def test_repair_refuses_what_makes_no_sense(source: Source, store: Path) -> None:
    vectors = source.embeddings("val")
    for rows, values, words in (
        ([0, 0], vectors[:2], "must be unique"),
        ([0], vectors[:2], "one an embedding"),
        ([7], vectors[:1], "must lie in"),
        ([0], vectors[:1, :3], "float32 of 8 numbers an image, got float32 .1, 3."),
        ([0], vectors[:1].astype(np.float64), "must be float32"),
        ([0], vectors[:1] * np.nan, "must be finite"),
    ):
        with pytest.raises(StoreInputError, match=words):
            repair_rows(store, "val", rows, values)
    with pytest.raises(UnknownIdsError, match="train, val"):
        repair_rows(store, "test", [0], vectors[:1])
    with pytest.raises(UnknownIdsError, match="column must be"):
        restore_column(store, "val", "embeddings", vectors)
    assert FeatureStore(store, verify=True).n("val") == 7


def everything(path: Path) -> list[Any]:
    with FeatureStore(path, verify=True) as opened:
        columns = [opened.embeddings, opened.image_hash, opened.rows, opened.labels, opened.ids]
        values = [np.asarray(read(group)).tobytes() for group in opened.groups for read in columns]
        return [opened.recipe, opened.info, opened.digest, opened.groups, values]


def test_none_of_a_thousand_flipped_bits_passes_unnoticed(new_source: Callable[..., Source], tmp_path: Path) -> None:
    path = new_source(counts={"train": 20, "test": 5}, dim=4).make(tmp_path)
    data, expected, rng = path.read_bytes(), everything(path), random.Random(0)
    noticed = 0
    for bit in rng.sample(range(len(data) * 8), 1000):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            assert everything(path) == expected, f"bit {bit} changed what is read"
        except StoreError as error:
            assert "\n" not in str(error)
            noticed += 1
    assert noticed > 500


@pytest.mark.parametrize("how", ["rows", "column"])
def test_a_store_that_somebody_else_holds_is_not_repaired(source: Source, store: Path, how: str) -> None:
    before = store.read_bytes()
    held = Lock(lock_file(store)).acquire()
    try:
        with pytest.raises(StoreBusy, match="being written"):
            if how == "rows":
                repair_rows(store, "train", [0], source.embeddings("train")[:1])
            else:
                restore_column(store, "train", "ids", source.ids("train"))
    finally:
        held.release()
    assert store.read_bytes() == before
    assert repair_rows(store, "train", [0], source.embeddings("train")[:1]).exact
    assert not lock_file(store).exists()
