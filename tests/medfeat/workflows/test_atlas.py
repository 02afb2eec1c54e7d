"""The Parquet file for embedding-atlas: coordinates, neighbours by row, pictures; nothing that was not asked for."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from medfeat.datasets import open_dataset
from medfeat_cache import FeatureStore
from medfeat_cli.main import run

from .embedded import embed

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed (extra: parquet)")


@pytest.fixture(autouse=True)
def quick_maps(monkeypatch):
    """Lay maps out in few steps: what a map is worth is asked in tests of its own."""
    monkeypatch.setattr("medfeat.evaluation.looking.projection.EARLY", 25)
    monkeypatch.setattr("medfeat.evaluation.looking.projection.LATE", 25)


def test_the_columns_are_those_that_embedding_atlas_documents(cache_root, tmp_path, counting, capsys):
    path, out = embed(cache_root), tmp_path / "deep" / "atlas.parquet"
    assert run(["cache", "export", path.stem, str(out), "--atlas", "--cache-dir", str(cache_root)]) == 0
    said = capsys.readouterr().out
    assert f"embedding-atlas {out} --x x --y y --neighbors neighbors --image image" in said
    rows = pq.read_table(out).to_pylist()
    with FeatureStore(path) as store:
        X = store.take([row["id"] for row in rows]).astype(np.float64)
        assert len(rows) == sum(store.n(group) for group in store.groups)
    assert np.isfinite([[row["x"], row["y"]] for row in rows]).all()
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    far = 1 - unit @ unit.T
    for i in (0, 7):
        near = rows[i]["neighbors"]
        assert i not in near["ids"]
        assert near["distances"] == pytest.approx(far[i, near["ids"]], abs=1e-6)
        assert near["distances"][0] == pytest.approx(np.delete(far[i], i).min(), abs=1e-5)
    first = next(open_dataset("synthetic-binary").batches("train", 1)).images[0]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(rows[0]["image"]["bytes"]))), np.squeeze(first))
    assert rows[0]["image"]["path"] == "train/0.png" and rows[0]["split"] == "train" and rows[0]["class"]


def test_pictures_stay_out_and_nothing_is_written_over(cache_root, tmp_path, counting, capsys):
    path, out = embed(cache_root), tmp_path / "atlas.parquet"
    command = ["cache", "export", path.stem, str(out), "--atlas", "--no-images", "--cache-dir", str(cache_root)]
    assert run(command) == 0
    assert "--image" not in capsys.readouterr().out and "image" not in pq.read_schema(out).names
    assert run(command) == 2
    assert "already exists" in capsys.readouterr().err
