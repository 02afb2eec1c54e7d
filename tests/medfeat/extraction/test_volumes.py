"""Volumes through a 2D network: the same as slicing by hand, whatever the policy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import medfeat.extraction.network.volumes
from medfeat.backbones import describe, load_backbone
from medfeat.errors import UsageError
from medfeat.extraction.network.forward import Forward
from medfeat.extraction.network.volumes import VolumeForward, views_for, volumes_per_batch
from medfeat.types import DatasetInfo, View

INFO = DatasetInfo("v", 12, "binary-class", ("a", "b"), 1, 3, {"train": 5}, "x:1")
FLAT = DatasetInfo("v", 12, "binary-class", ("a", "b"), 1, 2, {"train": 5}, "x:1")


def forward(views, batch_size=8):
    backbone = load_backbone("squeezenet1_1", weights="random", views=views)
    return Forward(backbone, fit="whole", device=torch.device("cpu"), precision="fp32", batch_size=batch_size)


@pytest.fixture(scope="module")
def volumes():
    return np.random.default_rng(0).integers(0, 256, (3, 12, 12, 12), dtype=np.uint8)


def by_hand(volumes, join):
    """Mean and maximum over the slices of each axis, one volume at a time."""
    plain = forward((View(),), batch_size=12)
    rows = []
    for volume in volumes:
        planes = [plain(np.ascontiguousarray(np.moveaxis(volume, axis, 0)))[0] for axis in range(3)]
        rows.append(join(planes))
    return np.stack(rows)


POLICIES = {
    "mean-concat": lambda planes: np.concatenate([p.mean(axis=0) for p in planes]),
    "max-concat": lambda planes: np.concatenate([p.max(axis=0) for p in planes]),
    "mean-average": lambda planes: np.mean([p.mean(axis=0) for p in planes], axis=0),
    "max-average": lambda planes: np.mean([p.max(axis=0) for p in planes], axis=0),
}


def test_one_pass_gives_every_policy(volumes):
    views = tuple(View(slices=policy) for policy in POLICIES)
    found = VolumeForward(forward(views), list(POLICIES), 12)(volumes)
    for rows, join in zip(found, POLICIES.values(), strict=True):
        np.testing.assert_allclose(rows, by_hand(volumes, join), rtol=1e-4, atol=1e-5)


def test_slices_are_kept_with_pooled_ones_from_one_pass_and_few_cost_no_more(volumes, monkeypatch):
    policies = ["keep", "keep:3", "mean-concat"]
    views = tuple(View(slices=policy) for policy in policies)
    every, few, means = VolumeForward(forward(views), policies, 12)(volumes)
    assert every.shape == (3, 36, 512)
    np.testing.assert_allclose(means, every.reshape(3, 3, 12, 512).mean(axis=2).reshape(3, -1), rtol=1e-4, atol=1e-5)
    # of 12 slices in three stretches, those in the middle: 2, 6 and 10
    np.testing.assert_array_equal(few, every[:, [2, 6, 10, 14, 18, 22, 26, 30, 34]])
    alone = VolumeForward(forward((View(slices="keep:3"),)), ["keep:3"], 12)
    shown, stream = [], medfeat.extraction.network.volumes.stream
    monkeypatch.setattr(
        medfeat.extraction.network.volumes,
        "stream",
        lambda embedder, batches: stream(
            embedder, ((shown.append(len(item)) or (item, part)) for item, part in batches)
        ),
    )
    np.testing.assert_allclose(alone(volumes)[0], few, rtol=1e-4, atol=1e-5)
    assert sum(shown) == 3 * 9, "only the slices that are kept go through the network"


def test_volumes_of_unequal_shape_are_embedded_one_by_one(volumes):
    mixed = [volumes[0], volumes[1][:7], volumes[2][:, :9]]
    found = VolumeForward(forward((View(),)), ["mean-concat"], 0)(mixed)[0]
    np.testing.assert_allclose(found[0], by_hand(volumes[:1], POLICIES["mean-concat"])[0], rtol=1e-4, atol=1e-5)
    assert np.isfinite(found).all()


def test_raptor_reads_patch_tokens(volumes):
    views = views_for((View(slices="raptor"),), INFO, describe("squeezenet1_1"))
    assert views[0].pool == "tokens"
    found = VolumeForward(forward(views), ["raptor"], 12)(volumes)[0]
    assert found.shape[0] == 3
    assert found.shape[1] % 300 == 0


def test_volumes_fill_whole_batches():
    for slices in (16, 32, 64, 256):
        for side in (28, 64):
            count = volumes_per_batch(slices, side)
            assert 1 <= count <= 16
            if count < 16:
                assert count * side % slices == 0


def test_volumes_get_the_default_policy_and_images_get_none():
    assert views_for((View(),), INFO, describe("squeezenet1_1"))[0].slices == "mean-concat"
    assert views_for((View(),), FLAT, describe("squeezenet1_1"))[0].slices is None
    assert views_for((View(),), INFO, describe("pixels"))[0].slices is None


@pytest.mark.parametrize(("info", "name"), [(FLAT, "squeezenet1_1"), (INFO, "stats")])
def test_a_slice_policy_where_nothing_is_sliced_is_refused(info, name):
    with pytest.raises(UsageError, match="leave --slices out"):
        views_for((View(slices="mean-concat"),), info, describe(name))
