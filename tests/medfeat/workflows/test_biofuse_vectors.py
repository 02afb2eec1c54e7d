"""BioFuse's files are read as numbers alone, whatever wrote them; anything else in them is refused unmade."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from medfeat.errors import DataError
from medfeat.workflows.extract import extract
from medfeat.workflows.probe import probe
from medfeat.workflows.stores.importing import import_store
from medfeat_cache import FeatureStore, find_stores

SIZES = {"train": 60, "val": 20, "test": 30}


def given(split):
    rng = np.random.default_rng(len(split))
    y = rng.integers(0, 2, SIZES[split])
    return (rng.normal(size=(SIZES[split], 6)) + 2 * y[:, None]).astype(np.float32), y


def as_pair_of_tensors(X, y):
    return torch.from_numpy(X), torch.from_numpy(y)


def as_pair_of_arrays(X, y):
    return X, y


def as_dict(X, y):
    return {"embeddings": X, "labels": y, "metadata": {"shape": X.shape, "dtype": "float32", "version": "v1"}}


def write(folder, make, *, suffix="", protocol=pickle.HIGHEST_PROTOCOL, name="study_UNI_224"):
    for split in SIZES:
        with (folder / f"{name}_{split}{suffix}.pkl").open("wb") as file:
            pickle.dump(make(*given(split)), file, protocol=protocol)
    return folder / f"{name}_train{suffix}.pkl"


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("make", [as_pair_of_tensors, as_pair_of_arrays, as_dict])
def test_each_form_comes_in_bit_for_bit_with_its_splits(tmp_path, cache_root, make, protocol):
    suffix = "_v1" if make is as_dict else ""
    first = write(tmp_path, make, suffix=suffix, protocol=protocol)
    for source, name in ((first, "study"), (tmp_path, "folder")):
        with FeatureStore(import_store(source, data=name, backbone="UNI", cache_dir=cache_root)) as store:
            for split in SIZES:
                np.testing.assert_array_equal(store.embeddings(split), given(split)[0])
                np.testing.assert_array_equal(store.labels(split)[:, 0], given(split)[1])
    assert probe("study", head="linear", cache_dir=cache_root, resamples=20).runs[0].test.auc.value > 0.9


def test_the_rows_of_a_registered_set_must_be_in_its_order(tmp_path, cache_root):
    extract("synthetic-binary", "stats", cache_dir=cache_root, device="cpu")
    (header,) = find_stores(cache_root)
    with FeatureStore(header.path) as store:
        labels = {split: store.labels(split)[:, 0] for split in store.groups}
    facts = {"data": "synthetic-binary", "backbone": "UNI", "cache_dir": cache_root}
    for turned in (False, True):
        for split, y in labels.items():
            order = np.argsort(y, kind="stable") if turned else np.arange(len(y))
            X = np.arange(len(y), dtype=np.float32)[order, None] * [1.0, 2.0]
            with (tmp_path / f"sb_UNI_224_{split}.pkl").open("wb") as file:
                pickle.dump((torch.from_numpy(X.astype(np.float32)), torch.from_numpy(y[order])), file)
        if turned:
            with pytest.raises(DataError, match=r"\d+ of \d+ labels are not those .* in another order"):
                import_store(tmp_path, **facts)
        else:
            with FeatureStore(import_store(tmp_path, **facts)) as store:
                np.testing.assert_array_equal(store.embeddings("test")[:, 0], np.arange(store.n("test")))


class Hostile:
    """Unpickled, it would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("kind", ["call", "object array", "inside a tensor", "damaged"])
def test_nothing_but_arrays_is_made(tmp_path, cache_root, kind):
    first, marker = write(tmp_path, as_pair_of_arrays), tmp_path / "executed"
    if kind == "call":
        content = pickle.dumps((Hostile(marker), given("train")[1]))
    elif kind == "object array":
        content = pickle.dumps((np.array([Hostile(marker)] * 60, dtype=object), given("train")[1]))
    elif kind == "inside a tensor":
        import io

        inner = io.BytesIO()
        torch.save(Hostile(marker), inner)
        content = pickle.dumps((Loaded(inner.getvalue()), given("train")[1]))
    else:
        content = first.read_bytes()[:-40]
    first.write_bytes(content)
    with pytest.raises(DataError, match=r"no file of plain arrays|arrays of numbers") as caught:
        import_store(first, data="study", backbone="UNI", cache_dir=cache_root)
    assert "\n" not in str(caught.value) and not marker.exists()


class Loaded:
    """Pickled as torch pickles a storage: by the bytes that `torch.save` would write."""

    def __init__(self, content):
        self.content = content

    def __reduce__(self):
        return (torch.storage._load_from_bytes, (self.content,))


def test_several_sets_and_other_names_are_one_line(tmp_path, cache_root):
    first = write(tmp_path, as_pair_of_arrays)
    write(tmp_path, as_pair_of_arrays, name="study_CONCH_224")
    with pytest.raises(DataError, match="2 sets are there, name a file of one"):
        import_store(tmp_path, data="study", backbone="UNI", cache_dir=cache_root)
    import_store(first, data="study", backbone="UNI", cache_dir=cache_root)
    other = tmp_path / "features.pkl"
    other.write_bytes(first.read_bytes())
    with pytest.raises(DataError, match=r"DATASET_MODEL_SIDE_train\.pkl"):
        import_store(other, data="study", backbone="UNI", cache_dir=cache_root)
