"""Volumes through a 2D backbone."""

from __future__ import annotations

import numpy as np
import pytest

from medfeat.errors import DataError, UsageError
from medfeat.extraction.network.slice_pooling import (
    AXES,
    POLICIES,
    SliceKeeper,
    SlicePool,
    evenly,
    policy_dim,
    raptor_projection,
    slice_axis,
    slice_view,
)
from medfeat.types import View

RNG = np.random.default_rng(0)


def test_slices_of_each_axis_are_the_planes_of_the_volume_in_order() -> None:
    volumes = RNG.integers(0, 256, (2, 5, 6, 7), dtype=np.uint8)
    expected = {0: lambda v, i: v[i], 1: lambda v, i: v[:, i], 2: lambda v, i: v[:, :, i]}
    for axis in AXES:
        cut = slice_axis(volumes, axis)
        length = volumes.shape[1 + axis]
        for b in range(2):
            for i in range(length):
                np.testing.assert_array_equal(cut[b * length + i], expected[axis](volumes[b], i))


def filled(policies: list[str], slices: dict[int, np.ndarray], chunk: int) -> SlicePool:
    pool = SlicePool(policies, 2)
    for axis, rows in slices.items():
        owner = np.repeat(np.arange(2), len(rows) // 2)
        for start in range(0, len(rows), chunk):
            pool.add(axis, owner[start : start + chunk], rows[start : start + chunk])
    return pool


SLICES = {axis: RNG.normal(size=(2 * (4 + axis), 3)).astype(np.float32) for axis in AXES}
TOKENS = {axis: RNG.normal(size=(2 * (4 + axis), 5, 3)).astype(np.float32) for axis in AXES}
GENERAL = [policy for policy in POLICIES if policy not in ("raptor", "keep")]


def test_one_pass_gives_every_policy() -> None:
    pool = filled(GENERAL, SLICES, chunk=3)
    means = [SLICES[axis].reshape(2, -1, 3).mean(1) for axis in AXES]
    maxima = [SLICES[axis].reshape(2, -1, 3).max(1) for axis in AXES]
    np.testing.assert_allclose(pool.result("mean-concat"), np.concatenate(means, 1), atol=1e-6)
    np.testing.assert_allclose(pool.result("max-concat"), np.concatenate(maxima, 1), atol=1e-6)
    np.testing.assert_allclose(pool.result("mean-average"), np.mean(means, 0), atol=1e-6)
    np.testing.assert_allclose(pool.result("max-average"), np.mean(maxima, 0), atol=1e-6)


def test_raptor_projects_the_mean_token_of_each_axis() -> None:
    pool = filled(["raptor"], TOKENS, chunk=4)
    projection = raptor_projection(3)
    means = [TOKENS[axis].reshape(2, -1, 5, 3).mean(1) @ projection for axis in AXES]
    expected = np.stack(means, 1).reshape(2, -1)
    np.testing.assert_allclose(pool.result("raptor"), expected, atol=1e-5)
    assert expected.shape[1] == policy_dim("raptor", 3, tokens=5) == 3 * 5 * 100


@pytest.mark.parametrize("policy", GENERAL)
def test_other_batches_of_slices_change_no_bit(policy: str) -> None:
    whole, single = filled([policy], SLICES, chunk=100), filled([policy], SLICES, chunk=1)
    np.testing.assert_array_equal(whole.result(policy), single.result(policy))
    assert whole.result(policy).shape == (2, policy_dim(policy, 3))
    assert whole.result(policy).dtype == np.float32


def test_the_projection_is_the_same_everywhere() -> None:
    np.testing.assert_allclose(raptor_projection(2)[0, :3], [0.1764052, 0.0400157, 0.0978738], atol=1e-6)
    assert not np.array_equal(raptor_projection(2), raptor_projection(2, seed=1))


def kept(policy: str, chunk: int) -> np.ndarray:
    keeper = SliceKeeper(policy, 2)
    for axis, rows in SLICES.items():
        owner = np.repeat(np.arange(2), len(rows) // 2)
        for start in range(0, len(rows), chunk):
            keeper.add(axis, owner[start : start + chunk], rows[start : start + chunk])
    return keeper.result(policy)


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_slices_that_are_kept_stand_axis_after_axis_as_they_came(chunk: int) -> None:
    expected = np.concatenate([SLICES[axis].reshape(2, -1, 3) for axis in AXES], axis=1)
    np.testing.assert_array_equal(kept("keep", chunk), expected)
    # 4, 5 and 6 slices an axis: of two stretches each, the slices in the middle
    few = expected[:, [1, 3, 4 + 1, 4 + 3, 9 + 1, 9 + 4]]
    np.testing.assert_array_equal(kept("keep:2", chunk), few)


def test_few_slices_are_taken_evenly() -> None:
    assert evenly(28, 4).tolist() == [3, 10, 17, 24]
    assert evenly(5, 5).tolist() == evenly(5, None).tolist() == [0, 1, 2, 3, 4]
    assert evenly(9, 1).tolist() == [4]
    with pytest.raises(DataError, match="a volume has 3 slices along an axis, and --slices keep:4 asks for 4"):
        evenly(3, 4)


def test_volumes_of_unequal_shape_cannot_keep_every_slice() -> None:
    keeper = SliceKeeper("keep", 2)
    for axis in AXES:
        keeper.add(axis, np.array([0, 1, 1]), np.ones((3, 2), np.float32))
    with pytest.raises(DataError, match="volumes of 3 and 6 slices cannot stand in one table: --slices keep:N"):
        keeper.result("keep")


def test_a_volume_without_slices_is_an_error_not_a_zero_row() -> None:
    pool = SlicePool(["mean-concat"], 2)
    for axis in AXES:
        pool.add(axis, np.array([0]), np.ones((1, 3), np.float32))
    with pytest.raises(ValueError, match="no slices"):
        pool.result("mean-concat")


def test_views_of_volumes_are_completed() -> None:
    assert slice_view(View()) == View(slices="mean-concat")
    assert slice_view(View(slices="raptor")) == View(pool="tokens", slices="raptor")


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (View(slices="median"), "unknown slice policy"),
        (View(pool="cls", slices="raptor"), "pool must be tokens"),
        (View(pool="tokens", slices="mean-concat"), "raptor only"),
        (View(slices="keep:0"), "a number of slices an axis from 1, got 'keep:0'"),
        (View(slices="keep:"), "from 1, got 'keep:'"),
        (View(slices="keep:-3"), "from 1"),
        (View(slices="mean-concat:4"), "mean-concat takes no number"),
    ],
)
def test_what_does_not_go_together_is_refused(view: View, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        slice_view(view)
