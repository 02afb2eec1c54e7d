"""Of several stores, the one that is meant: by its fields, the default layer too; donors only where images can be."""

from __future__ import annotations

from functools import partial

import pytest

from medfeat.datasets import open_dataset
from medfeat.errors import UsageError
from medfeat.extraction.ask.known_rows import donors_for
from medfeat.workflows.audit import audit
from medfeat.workflows.load import load, one_store
from medfeat.workflows.search import search
from medfeat_cache import read_header
from tests.medfeat.workflows.embedded import embed, plant

COUNTS = {"train": 12, "val": 6, "test": 6}


def test_the_default_layer_can_be_picked_beside_another(cache_root):
    last = plant(cache_root, counts=COUNTS, layer=None)
    middle = plant(cache_root, counts=COUNTS, layer="features.3", dim=5)
    with pytest.raises(UsageError) as caught:
        load("planted", "fake", cache_dir=cache_root)
    assert "(layer features.3)" in str(caught.value)
    assert "name one by its digest, --store" in str(caught.value)
    assert "default" in str(caught.value)
    assert "None" not in str(caught.value)
    assert one_store("planted", "fake", layer="default", cache_dir=cache_root).path == last
    assert one_store("planted", "fake", layer="features.3", cache_dir=cache_root).path == middle
    assert load("planted", "fake", layer="default", cache_dir=cache_root).X.shape == (12, 12)
    with pytest.raises(UsageError, match="2 stores"):
        one_store("planted", "fake", layer=None, cache_dir=cache_root)


@pytest.mark.parametrize("door", [load, partial(search, id="train/0"), audit], ids=["load", "search", "audit"])
@pytest.mark.parametrize("value", ["features.3", "default"])
def test_a_mistyped_field_is_refused_by_its_name_at_every_door(cache_root, door, value):
    plant(cache_root, counts=COUNTS)
    with pytest.raises(UsageError, match=r"field of a recipe 'layr'.* did you mean layer"):
        door("planted", "fake", layr=value, cache_dir=cache_root)


def test_an_official_set_looks_for_donors_of_its_own_name_and_size_alone(cache_root, tmp_path):
    header = read_header(embed(cache_root, data="synthetic-binary", backbone="stats"))
    dataset = open_dataset("synthetic-binary")
    target = tmp_path / "0123456789ab.h5"
    for changed, donors in (
        ({"fingerprint": "a newer file"}, [header.path]),
        ({"size": 64}, []),
        ({"dataset": "synthetic"}, []),
        ({"pool": "max"}, []),
    ):
        assert donors_for(cache_root, {**header.recipe, **changed}, target, dataset) == donors


def test_own_images_may_be_known_from_any_other_own_set(cache_root, tmp_path):
    from tests.medfeat.workflows.embedded import export_images

    first = read_header(embed(cache_root, data=str(export_images(tmp_path / "first")), backbone="stats"))
    embed(cache_root, data="synthetic-binary", backbone="stats")
    folder = export_images(tmp_path / "second")
    recipe = {**first.recipe, "dataset": "second", "fingerprint": "other"}
    assert donors_for(cache_root, recipe, tmp_path / "0123456789ab.h5", open_dataset(str(folder))) == [first.path]
