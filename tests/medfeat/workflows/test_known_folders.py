"""Folders and tables that thingsvision, CLIP_benchmark, TRIDENT, embedding-atlas and FiftyOne leave, made by hand."""

from __future__ import annotations

import csv

import h5py
import numpy as np
import pytest
import torch

from medfeat.errors import DataError
from medfeat.tasks import official
from medfeat.workflows.stores.importing import import_store
from medfeat_cache import FeatureStore, StoreInputError

VECTORS = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
NAMES = {"data": "study", "backbone": "theirs"}


@pytest.mark.parametrize("suffix", ["npy", "pt", "hdf5"])
def test_thingsvision_lists_the_names_beside_its_features(tmp_path, cache_root, suffix):
    names = [f"images/{row}.jpg" for row in range(30)]
    (tmp_path / "file_names.txt").write_text("\n".join(names) + "\n")
    if suffix == "npy":
        np.save(tmp_path / "features.npy", VECTORS)
    elif suffix == "pt":
        torch.save(torch.from_numpy(VECTORS), tmp_path / "features.pt")
    else:
        with h5py.File(tmp_path / "features.hdf5", "w") as file:
            file["features"] = VECTORS
    with FeatureStore(import_store(tmp_path, cache_dir=cache_root, **NAMES)) as store:
        np.testing.assert_array_equal(store.take(names), VECTORS)


def test_what_clip_benchmark_calls_val_is_its_test(tmp_path, cache_root):
    for part, rows in (("train", slice(0, 20)), ("val", slice(20, 30))):
        torch.save(torch.from_numpy(VECTORS[rows]), tmp_path / f"features_{part}.pt")
        torch.save(torch.arange(30)[rows] % 2, tmp_path / f"targets_{part}.pt")
    with FeatureStore(import_store(tmp_path, cache_dir=cache_root, **NAMES)) as store:
        np.testing.assert_array_equal(store.embeddings("test"), VECTORS[20:])
        np.testing.assert_array_equal(store.take([f"train/{row}" for row in range(20)]), VECTORS[:20])
        np.testing.assert_array_equal(store.take([f"test/{row}" for row in range(10)]), VECTORS[20:])
        task = official(store)
    assert task.task_type == "binary-class"
    assert (task.split[[name.startswith("test/") for name in task.ids.tolist()]] == "test").all()
    assert {"train", "val"} == set(task.split[[name.startswith("train/") for name in task.ids.tolist()]])


@pytest.mark.parametrize("shape", [(4,), (1, 4)])
def test_a_slide_of_trident_is_one_vector(tmp_path, cache_root, shape):
    for row in range(3):
        with h5py.File(tmp_path / f"slide{row}.h5", "w") as file:
            file["features"], file["coords"] = VECTORS[row].reshape(shape), np.zeros((9, 2))
    with FeatureStore(import_store(tmp_path, cache_dir=cache_root, **NAMES)) as store:
        np.testing.assert_array_equal(store.take(["slide0", "slide1", "slide2"]), VECTORS[:3])


def test_patches_of_a_slide_and_other_folders_are_one_line(tmp_path, cache_root):
    with pytest.raises(DataError, match="is no folder of features"):
        import_store(tmp_path, cache_dir=cache_root, **NAMES)
    with h5py.File(tmp_path / "slide.h5", "w") as file:
        file["features"], file["coords"] = VECTORS, np.zeros((30, 2))
    with pytest.raises(DataError, match="30 vectors, one a patch"):
        import_store(tmp_path, cache_dir=cache_root, **NAMES)


PICTURES = [f"images/{row}.jpg" for row in range(30)]
LABELS = ["well" if row % 2 else "ill" for row in range(30)]


def test_a_table_of_embedding_atlas_keeps_vectors_and_labels(tmp_path, cache_root):
    """It writes its map and neighbours beside the columns it was given; pictures are structs of bytes and path."""
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {
        "id": PICTURES, "label": LABELS, "embedding": pa.array(VECTORS.tolist(), pa.list_(pa.float32())),
        "projection_x": VECTORS[:, 0].astype(float), "projection_y": VECTORS[:, 1].astype(float),
        "neighbors": pa.array([{"ids": [0, 1], "distances": [0.0, 0.1]}] * 30),
        "image": pa.array([{"bytes": b"no picture", "path": "x"}] * 30),
    }  # fmt: skip
    parquet.write_table(pa.table(columns), tmp_path / "atlas.parquet")
    with FeatureStore(import_store(tmp_path / "atlas.parquet", cache_dir=cache_root, **NAMES)) as store:
        np.testing.assert_array_equal(store.take(PICTURES), VECTORS)
        assert official(store).classes == ("ill", "well")


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_places_on_a_map_are_neither_features_nor_labels(tmp_path, cache_root, suffix):
    places = {"id": PICTURES, "x": VECTORS[:, 0].astype(float), "y": VECTORS[:, 1].astype(float)}
    path = tmp_path / f"atlas{suffix}"

    def write(**more):
        if suffix == ".parquet":
            pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
            parquet.write_table(pa.table(places | more), path)
        else:
            with path.open("w", newline="") as file:
                csv.writer(file).writerows([[*places, *more], *zip(*places.values(), *more.values(), strict=True)])

    write()
    with pytest.raises(StoreInputError, match="x and y are places on a map and no vectors: give the file") as error:
        import_store(path, cache_dir=cache_root, **NAMES)
    assert "\n" not in str(error.value)
    write(embedding=cells("[{}]") if suffix == ".csv" else VECTORS.tolist(), label=LABELS)
    with FeatureStore(import_store(path, cache_dir=cache_root, **NAMES)) as store:
        np.testing.assert_array_equal(store.take(PICTURES), VECTORS)
        assert official(store).classes == ("ill", "well")
    write(embedding=cells("[{}]") if suffix == ".csv" else VECTORS.tolist())
    with FeatureStore(import_store(path, cache_dir=cache_root, data="other", backbone="theirs")) as store:
        assert store.labels("all") is None


def cells(shape: str) -> list[str]:
    """The vectors as cells: FiftyOne writes the numbers with commas between them, others lists with brackets."""
    return [shape.format(",".join(map(str, row))) for row in VECTORS]


@pytest.mark.parametrize("shape", ["{}", "[{}]"])
def test_a_table_of_fiftyone_has_a_vector_a_cell(tmp_path, cache_root, shape):
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file, quoting=csv.QUOTE_MINIMAL)
        table.writerow(["filepath", "label", "embedding"])
        table.writerows(zip(PICTURES, LABELS, cells(shape), strict=True))
    with FeatureStore(import_store(tmp_path / "labels.csv", cache_dir=cache_root, **NAMES)) as store:
        np.testing.assert_array_equal(store.take(PICTURES), VECTORS)
        assert official(store).classes == ("ill", "well")


@pytest.mark.parametrize(("cell", "said"), [("1,2", "of one length"), ("1,2,x,4", "no list of numbers")])
def test_cells_that_are_no_vectors_of_one_length_are_one_line(tmp_path, cache_root, cell, said):
    rows = [f'{name},"{text}"' for name, text in zip(PICTURES, [*cells("{}")[:-1], cell], strict=True)]
    (tmp_path / "labels.csv").write_text("\n".join(["id,embedding", *rows]) + "\n")
    with pytest.raises(StoreInputError, match=said) as error:
        import_store(tmp_path / "labels.csv", cache_dir=cache_root, **NAMES)
    assert "\n" not in str(error.value)
