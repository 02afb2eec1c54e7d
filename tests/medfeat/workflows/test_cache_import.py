"""Torch files of other extractors become stores by the one command that every message names."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medfeat.errors import DataError, MissingFileError, WeightsError
from medfeat.workflows.stores.importing import import_store
from medfeat_cache import TORCH, FeatureStore, StoreInputError, read_features

VECTORS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
IDS = [f"img_{row}.png" for row in range(6)]
NAMES = {"data": "mine", "backbone": "theirs"}


@pytest.mark.parametrize("suffix", sorted(TORCH))
def test_every_torch_file_that_is_sent_to_import_is_imported(tmp_path, cache_root, suffix):
    file = tmp_path / f"features{suffix}"
    torch.save({"features": VECTORS.clone().requires_grad_(), "ids": IDS, "labels": torch.arange(6), "epoch": 3}, file)
    with pytest.raises(StoreInputError, match="medfeat cache import"):
        read_features(file)
    with FeatureStore(import_store(file, **NAMES, cache_dir=cache_root), verify=True) as store:
        assert np.array_equal(store.take(IDS), VECTORS.numpy())
        assert store.labels("all")[:, 0].tolist() == list(range(6))
        assert store.info["imported_from"] == file.name


def test_a_bare_tensor_takes_its_ids_from_beside_it(tmp_path, cache_root):
    torch.save(VECTORS.bfloat16(), tmp_path / "f.pt")
    (tmp_path / "ids.txt").write_text("\n".join(IDS))
    path = import_store(tmp_path / "f.pt", **NAMES, ids=tmp_path / "ids.txt", cache_dir=cache_root)
    with FeatureStore(path) as store:
        assert np.array_equal(store.take(IDS), VECTORS.bfloat16().float().numpy())


@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (VECTORS.to_sparse(), DataError, "not a plain tensor"),
        ([VECTORS], DataError, "got list"),
        ({"state_dict": {"features": VECTORS}}, StoreInputError, "must hold features under one of the names"),
        ({"features": VECTORS}, StoreInputError, "has no ids"),
        (None, MissingFileError, "no file"),
        (b"no torch file", WeightsError, "save it as npz"),
    ],
)
def test_what_is_no_features_is_one_line(tmp_path, cache_root, content, error, words):
    file = tmp_path / "f.pt"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        torch.save(content, file)
    with pytest.raises(error) as caught:
        import_store(file, **NAMES, cache_dir=cache_root)
    assert words in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
