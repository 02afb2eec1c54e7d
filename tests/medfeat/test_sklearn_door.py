"""The transformer keeps scikit-learn's promises, and embeds each image once."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from torch import nn

import medfeat
from medfeat.backbones import BACKBONES
from medfeat.errors import UsageError
from medfeat.sklearn import Embedder
from medfeat_cache import find_stores

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 12, 12), np.uint8)
LABELS = np.arange(30) % 2


@pytest.fixture
def embedder(cache_root):
    return Embedder("stats", cache_dir=cache_root, device="cpu")


def test_vectors_are_those_of_extract_bit_for_bit(embedder, cache_root):
    medfeat.extract(IMAGES, "stats", name="filed", cache_dir=cache_root, device="cpu")
    dataset = medfeat.extract(IMAGES, "stats", name="filed", cache_dir=cache_root, device="cpu").stores[0]
    with medfeat.FeatureStore(dataset.path) as store:
        np.testing.assert_array_equal(embedder.fit_transform(IMAGES), store.embeddings("all"))


def test_paths_arrays_and_pictures_give_the_rows_of_the_folder_s_store(embedder, cache_root, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    paths = [folder / f"{row:02}.png" for row in range(len(IMAGES))]
    for path, image in zip(paths, IMAGES, strict=True):
        Image.fromarray(image).save(path)
    filed = medfeat.extract(folder, "stats", cache_dir=cache_root, device="cpu").stores[0]
    with medfeat.FeatureStore(filed.path) as store:
        expected = np.asarray(store.embeddings("all"))
    np.testing.assert_array_equal(embedder.fit_transform(IMAGES), expected)
    column = np.array([[str(path)] for path in paths], dtype=object)
    for images in (list(IMAGES), paths, [str(path) for path in paths], column, [Image.open(path) for path in paths]):
        np.testing.assert_array_equal(embedder.transform(images), expected)


def test_it_is_cloned_named_and_checked_like_any_transformer(embedder, cache_root):
    assert clone(embedder).get_params() == embedder.get_params()
    assert clone(embedder).set_params(backbone="pixels").backbone == "pixels"
    with pytest.raises(NotFittedError):
        embedder.get_feature_names_out()
    with pytest.raises(NotFittedError):
        embedder.transform(IMAGES)
    assert embedder.fit(IMAGES) is embedder
    assert embedder.get_feature_names_out()[:2].tolist() == ["stats_0", "stats_1"]
    assert embedder.n_features_out_ == 10
    framed = embedder.set_output(transform="pandas").transform(IMAGES)
    assert framed.columns[-1] == "stats_9"


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_set_params,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_mixin_order,
        estimator_checks.check_valid_tag_types,
        estimator_checks.check_estimator_repr,
    ],
    ids=lambda check: check.__name__,
)
def test_scikit_learn_s_own_checks_that_need_no_table_pass(embedder, check):
    check("Embedder", embedder)


def test_no_image_is_embedded_twice_whatever_the_search(cache_root, counting):
    model = make_pipeline(
        Embedder("counting", cache_dir=cache_root, device="cpu", batch_size=8), LogisticRegression(max_iter=5000)
    )
    images = np.repeat(IMAGES[..., None], 3, axis=-1)
    model.fit(images, LABELS)
    GridSearchCV(model, {"logisticregression__C": [0.1, 1.0]}, cv=3).fit(images, LABELS)
    cross_val_score(model, images, LABELS, cv=3)
    model.predict(images)
    # measuring how to run takes a few batches of its own; what is kept was embedded once
    stores = find_stores(cache_root, backbone="counting")
    assert len(stores) == 7 and sum(store.info["environment"]["images"] for store in stores) == len(IMAGES)
    passes = counting.images
    cross_val_score(model, images, LABELS, cv=3)
    assert counting.images == passes


def test_a_network_of_one_s_own_stands_in_a_pipeline(cache_root):
    torch.manual_seed(0)
    mine = medfeat.backbone_from(nn.Conv2d(3, 6, 3), input_size=12, mean=0.5, std=0.5, name="mine6")
    try:
        embedder = Embedder(mine, cache_dir=cache_root, device="cpu", batch_size=8)
        assert clone(embedder).fit_transform(IMAGES).shape == (30, 6)
        np.testing.assert_array_equal(
            embedder.fit_transform(IMAGES),
            medfeat.embed(IMAGES, mine, cache_dir=cache_root, device="cpu", batch_size=8, precision="fp32"),
        )
        assert embedder.get_feature_names_out()[0] == "mine6_0"
        again = pickle.loads(pickle.dumps(embedder))
        np.testing.assert_array_equal(again.transform(IMAGES[3:5]), embedder.transform(IMAGES)[3:5])
    finally:
        BACKBONES.remove("mine6")


@pytest.mark.parametrize("X", ["one.png", np.zeros((4, 5))])
def test_what_is_no_list_of_images_is_one_line(embedder, X):
    with pytest.raises(UsageError, match=r"X (is|must be)"):
        embedder.fit(X)
