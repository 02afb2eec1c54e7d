"""Copies of images as they occur in practice: of a volume slice by slice, whatever its shape."""

from __future__ import annotations

import numpy as np
import pytest

from medfeat.workflows.auditing.copies import COPIES, recompressed, shifted, thumbnail

SHAPES = [(5, 8, 3), (5, 8, 9), (3, 3, 3), (4, 1, 3)]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_volume_is_changed_slice_by_slice(shape: tuple[int, ...]) -> None:
    volume = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for change in COPIES.values():
        expected = np.stack([change(part) for part in volume])
        assert np.array_equal(change(volume, volume=True), expected)
    assert np.array_equal(thumbnail(volume, volume=True), volume[shape[0] // 2])


def test_colours_stay_together() -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    assert np.array_equal(shifted(image)[:, 1:], image[:, :-1])
    assert recompressed(image).shape == image.shape
    assert np.array_equal(thumbnail(image), image.mean(axis=-1).astype(np.uint8))
