"""Several vectors an image, (n, P, d): kept with their shape through writing, damage, repair, export and import."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import medfeat_cache.reader
from medfeat_cache import (
    AveragedStore,
    FeatureStore,
    StoreConflictError,
    StoreDamaged,
    StoreInputError,
    export_store,
    find_donors,
    import_arrays,
    iter_known,
    one_vector,
    open_vectors,
    read_features,
    read_header,
    repair_rows,
    verify_store,
)
from medfeat_cache.create import write_digests
from medfeat_cache.layout import open_layout

Source = Any
V1 = Path(__file__).parent / "golden" / "v1.h5"


@pytest.fixture
def source(new_source: Callable[..., Source]) -> Source:
    """Bags of five vectors of eight float16 numbers."""
    return new_source(vectors=5, dtype="float16")


def test_the_shape_is_kept_whoever_reads(source: Source, store: Path) -> None:
    with FeatureStore(store, verify=True) as opened:
        assert (opened.shape, opened.dim, opened.dtype) == ((5, 8), 8, np.float16)
        assert np.array_equal(opened.embeddings("train"), source.embeddings("train"))
        assert np.array_equal(opened.read("val"), source.embeddings("val"))
        wanted = ["val/6é", "train/3é", "val/0é"]
        found = [source.embeddings(name.split("/")[0])[int(name.split("/")[1][:-1])] for name in wanted]
        assert np.array_equal(opened.take(wanted), found)
        assert "train 30, val 7 x 5 x 8 float16" in repr(opened)
    header = read_header(store)
    assert (header.shape, header.dim) == ((5, 8), 8)
    assert verify_store(store).problems == []


def test_only_stores_of_several_vectors_are_of_the_new_format(
    store: Path, new_source: Callable[..., Source], tmp_path: Path
) -> None:
    one = new_source().make(tmp_path / "one")
    for path, version in ((store, 2), (one, 1)):
        with h5py.File(path, "r") as file:
            assert file.attrs["format_version"] == version


def test_batches_are_bounded_in_bytes(source: Source, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(medfeat_cache.reader, "_BATCH_BYTES", 4 * 5 * 8 * 2 + 1)
    with FeatureStore(store) as opened:
        sizes, rows = zip(*((len(ids), found) for ids, found in opened.batches("train")), strict=True)
        assert set(sizes) == {4, 2}
        assert np.array_equal(np.concatenate(rows), source.embeddings("train"))


def test_an_interrupted_writer_goes_on_and_refuses_another_shape(source: Source, tmp_path: Path) -> None:
    with source.open(tmp_path) as writer:
        source.part(writer, "train", 0, 20)
    with source.open(tmp_path) as writer:
        assert writer.resumed and not writer.dropped
        assert writer.missing_rows("train").tolist() == list(range(20, 30))
        for wrong, said in (
            (np.ones((10, 4, 8), np.float16), "like those before, 5 x 8 float16, got 4 x 8 float16"),
            (np.ones((10, 40), np.float16), "like those before, 5 x 8 float16, got 40 float16"),
        ):
            with pytest.raises(StoreConflictError, match=said):
                writer.write_rows("train", range(20, 30), wrong, source.hashes("train")[20:])
        with pytest.raises(StoreInputError, match=r"must have shape \(10, d\) or \(10, P, d\), got \(10, 2, 2, 8\)"):
            writer.write_rows("train", range(20, 30), np.ones((10, 2, 2, 8), np.float16), source.hashes("train")[20:])
        source.part(writer, "train", 20, 30)
        source.part(writer, "val", 0, 7)
        path = writer.publish()
    assert np.array_equal(FeatureStore(path, verify=True).read("train"), source.embeddings("train"))


def test_numbers_beyond_float16_are_refused_by_name(source: Source, tmp_path: Path) -> None:
    bags = source.embeddings("val")
    bags[2, 4, 0] = np.inf
    with source.open(tmp_path) as writer, pytest.raises(StoreInputError, match="'val/2é': try --dtype float32"):
        writer.write_rows("val", range(7), bags, source.hashes("val"))


def damaged(path: Path, values: np.ndarray) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(values.tobytes())] ^= 255
    path.write_bytes(data)


def test_damage_is_named_and_mended_byte_for_byte(new_source: Callable[..., Source], tmp_path: Path) -> None:
    source = new_source(vectors=40, dim=1024)  # 160 KiB an image: a block each
    path = source.make(tmp_path)
    before = path.read_bytes()
    damaged(path, source.embeddings("val")[3])
    report = verify_store(path)
    assert [str(problem) for problem in report.problems] == [
        "val: embeddings are not the ones that were written (row 3)"
    ]
    with pytest.raises(StoreDamaged, match="row 3"):
        FeatureStore(path, verify=True)
    with pytest.raises(StoreInputError, match="40 x 1024 numbers an image, got float32"):
        repair_rows(path, "val", [3], source.embeddings("val")[3:4, 0])
    assert repair_rows(path, "val", [3], source.embeddings("val")[3:4]).exact
    assert path.read_bytes() == before


def test_a_repair_with_other_values_leaves_a_whole_store_of_the_same_format(source: Source, store: Path) -> None:
    assert not repair_rows(store, "val", [1], np.ones((1, 5, 8), np.float16)).exact
    assert FeatureStore(store, verify=True).read("val")[1].tolist() == np.ones((5, 8)).tolist()


def test_a_store_of_format_1_is_repaired_as_one_of_format_1(tmp_path: Path) -> None:
    path = tmp_path / V1.name
    shutil.copyfile(V1, path)
    assert not repair_rows(path, "val", [0], np.ones((1, 3), np.float32)).exact
    with FeatureStore(path, verify=True) as opened, h5py.File(path, "r") as file:
        assert opened.read("val")[0].tolist() == [1, 1, 1]
        assert file.attrs["format_version"] == 1


def test_format_1_has_no_third_axis(store: Path) -> None:
    layout, file = open_layout(store)
    file.close()
    with h5py.File(store, "r+", locking=False) as opened:
        opened.attrs.modify("format_version", 1)
    write_digests(store, layout)
    with pytest.raises(StoreDamaged, match=r"have shape \(30, 5, 8\), in format 1 it is \(n, d\)"):
        FeatureStore(store)


def test_what_no_network_gives_is_found_in_bags_too(new_source: Callable[..., Source], tmp_path: Path) -> None:
    source = new_source(vectors=5, counts={"train": 8})
    bags, hashes = source.embeddings("train"), source.hashes("train")
    bags[0] = 0
    bags[1, 2] = 0  # a black slice, not a black image
    bags[3] = bags[2]
    hashes[5] = hashes[4]
    with source.open(tmp_path) as writer:
        writer.write_rows("train", range(8), bags, hashes)
        found = {str(problem) for problem in verify_store(writer.publish()).problems}
    assert found == {
        "train: embeddings are all zero (row 0)",
        "train: embeddings are equal although the images differ (rows 2-3)",
        "train: the same image has different embeddings (row 5)",
    }


def test_bags_are_copied_from_a_store_that_knows_the_image(source: Source, store: Path, cache_root: Path) -> None:
    (donor,) = find_donors(cache_root, source.recipe | {"fingerprint": "other"})
    asked = source.hashes("train")[[4, 9]]
    (found,) = iter_known([donor.path], asked)
    assert found[0].tolist() == [0, 1]
    assert np.array_equal(found[1], source.embeddings("train")[[4, 9]])


@pytest.mark.parametrize("name", ["folder", "f.npz", "f.h5", "f.parquet"])
def test_an_export_comes_back_as_it_went(source: Source, store: Path, tmp_path: Path, name: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    back = read_features(export_store(store, tmp_path / name))
    path = import_arrays(back, tmp_path / "root", dataset="mine", backbone="net")
    with FeatureStore(path, verify=True) as opened:
        for group in source.counts:
            assert np.array_equal(opened.read(group), source.embeddings(group))
            assert opened.read(group).dtype == np.float16
            assert opened.ids(group).tolist() == source.ids(group).tolist()


def test_a_table_of_one_row_an_image_is_refused_in_one_line(store: Path, tmp_path: Path) -> None:
    said = r"a CSV has one vector an image, .* has 5 x 8: export it as npy"
    with pytest.raises(StoreInputError, match=said) as caught:
        export_store(store, tmp_path / "f.csv")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "f.csv").exists()


def test_the_same_numbers_end_to_end_are_another_store(tmp_path: Path) -> None:
    bags = np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)
    paths = set()
    for number, features in enumerate((bags, bags.reshape(4, 2, 3), bags.reshape(4, 6))):
        np.savez(tmp_path / f"{number}.npz", features=features, ids=[f"i{row}" for row in range(4)])
        found = read_features(tmp_path / f"{number}.npz")
        path = import_arrays(found, tmp_path / "root", dataset="mine", backbone="net")
        assert np.array_equal(FeatureStore(path).read("all"), features)
        paths.add(path)
    assert len(paths) == 3


def test_means_stand_for_bags_where_one_vector_is_wanted(source: Source, store: Path) -> None:
    means = {
        group: source.embeddings(group).astype(np.float64).mean(axis=1).astype(np.float32) for group in source.counts
    }
    with open_vectors(store) as opened:
        assert isinstance(opened, AveragedStore)
        assert (opened.shape, opened.dim, opened.dtype) == ((8,), 8, np.float32)
        assert opened.averaged == "the 5 vectors of each image are averaged"
        for group in source.counts:
            assert np.array_equal(opened.embeddings(group), means[group])
            assert np.array_equal(opened.read(group), means[group])
            assert np.array_equal(np.concatenate([rows for _, rows in opened.batches(group, 4)]), means[group])
            assert np.array_equal(opened.slice(group, "embeddings", 2, 5), means[group][2:5])
        assert opened.slice("train", "ids", 0, 1).tolist() == ["train/0é".encode()]
        assert np.array_equal(opened.take(["val/6é", "train/3é"]), [means["val"][6], means["train"][3]])
        assert opened.take([]).shape == (0, 8)


def test_a_store_of_one_vector_is_read_as_it_is(new_source: Callable[..., Source], tmp_path: Path) -> None:
    with FeatureStore(new_source().make(tmp_path)) as opened:
        assert one_vector(opened) is opened
