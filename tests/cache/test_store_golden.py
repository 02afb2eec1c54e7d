"""Stores that were made with each format open, and read to the same values, in every later version."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medfeat_cache import FeatureStore, recipe_digest, verify_store

V1 = Path(__file__).parent / "golden" / "v1.h5"
V2 = V1.with_name("v2.h5")


def test_golden_v1_reads_to_its_known_values() -> None:
    with FeatureStore(V1, verify=True) as store:
        assert store.groups == ("train", "val", "test")
        assert store.recipe == {"dataset": "golden", "backbone": "ramp", "size": 4, "pool": "none", "precision": "fp32"}
        assert (
            store.digest
            == recipe_digest(store.recipe)
            == "889409bb910de8cd7110429e78d2a2ff5040d0cf0d980224b101c96752c561a8"
        )
        assert (store.dim, store.dtype) == (3, np.float32)
        assert store.created_by == "medfeat 0.1.0"
        assert store.rows("train").tolist() == [0, 1, 2, 4]
        assert store.ids("train").tolist() == ["train/0", "train/1", "train/2", "train/4"]
        assert store.ids("test").tolist() == ["test/0", "test/é", "test/2"]
        assert store.embeddings("train").tolist() == [
            [0.0, 0.25, 0.5],
            [2.5, 2.75, 3.0],
            [5.0, 5.25, 5.5],
            [10.0, 10.25, 10.5],
        ]
        labels = store.labels("train")
        assert labels is not None
        assert labels.tolist() == [[0], [1], [0], [0]]
        assert store.image_hash("val").tolist() == [[1] * 16, [2] * 16]
        assert store.source_rows("train") == 5
        assert store.info["bad_images"] == [{"group": "train", "id": "train/3", "reason": "truncated file"}]
        assert store.info["settings"] == {"batch_size": 2}
        assert store.info["licence"] == "CC0-1.0"
    assert verify_store(V1).ok


def test_golden_v1_is_small_and_never_made_again() -> None:
    import hashlib

    assert (
        hashlib.sha256(V1.read_bytes()).hexdigest()
        == "0245bb9326668baacd5d81a5ec49ba08345b36dece180337e3b2c15b05bb0edb"
    )


def test_golden_v2_reads_to_its_known_values() -> None:
    with FeatureStore(V2, verify=True) as store:
        assert store.groups == ("train", "val", "test")
        assert (store.recipe["slices"], store.recipe["kept"]) == ("keep", "slices")
        assert (store.dim, store.shape, store.dtype) == (3, (2, 3), np.float16)
        assert store.created_by == "medfeat 0.1.0"
        assert store.rows("train").tolist() == [0, 1, 3]
        # image r, slice p, number j: 10 r + 100 p + j / 4
        assert store.embeddings("train").tolist() == [
            [[0.0, 0.25, 0.5], [100.0, 100.25, 100.5]],
            [[10.0, 10.25, 10.5], [110.0, 110.25, 110.5]],
            [[30.0, 30.25, 30.5], [130.0, 130.25, 130.5]],
        ]
        assert store.take(["val/é"]).tolist() == [[[0.0, 0.25, 0.5], [100.0, 100.25, 100.5]]]
        assert store.info["bad_images"] == [{"group": "train", "id": "train/2", "reason": "truncated file"}]
    assert verify_store(V2).ok


def test_golden_v2_is_small_and_never_made_again() -> None:
    import hashlib

    assert (
        hashlib.sha256(V2.read_bytes()).hexdigest()
        == "dc9dc4ef66d89e128597f398e88e7475055b0544e69d06712f180767015b869b"
    )
