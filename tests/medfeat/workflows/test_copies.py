"""Copies of images as they occur in practice: of a volume slice by slice, whatever its shape."""

from __future__ import annotations

import numpy as np
import pytest

from medfeat.workflows.auditing.copies import (
    COPIES,
    brighter,
    darker,
    detail_correlations,
    recompressed,
    shifted,
    thumbnail,
)

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


def test_copies_by_hand_are_moved_by_one_pixel_and_stay_within_a_byte() -> None:
    row = np.array([[100, 200, 222, 255]], np.uint8)
    assert shifted(row).tolist() == [[100, 100, 200, 222]]
    assert brighter(row).tolist() == [[115, 230, 255, 255]]  # 222 * 1.15 = 255.3 and 255 * 1.15 = 293.25
    assert darker(row).tolist() == [[85, 170, 189, 217]]


def best_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """The largest of numpy's own correlations over all shifts of up to two pixels, of what a 9 x 9 mean leaves."""

    def fine(image: np.ndarray) -> np.ndarray:
        wide = np.pad(image.astype(float), 4, mode="edge")
        return image - np.lib.stride_tricks.sliding_window_view(wide, (9, 9)).mean(axis=(2, 3))

    a, b, found = fine(one), fine(other), []
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            part = [image[max(0, sign * dy) : len(image) + min(0, sign * dy),
                          max(0, sign * dx) : image.shape[1] + min(0, sign * dx)]
                    for image, sign in ((a, 1), (b, -1))]  # fmt: skip
            found.append(np.corrcoef(part[0].ravel(), part[1].ravel())[0, 1])
    return max(found)


def test_details_of_many_pairs_are_those_of_each() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 20, 14), np.uint8)
    images[3] = np.roll(images[7], (1, -2), axis=(0, 1))
    first, second = np.array([3, 0, 3, 5, 0, 11]), np.array([7, 4, 2, 5, 9, 1])
    found = detail_correlations(images, first, second)
    assert np.allclose(found, [best_correlation(images[a], images[b]) for a, b in zip(first, second, strict=True)])
    assert found[0] > 0.8 and found[3] == pytest.approx(1)
    assert np.allclose(found, detail_correlations(images, second, first))


def test_an_image_that_shows_nothing_is_like_no_other() -> None:
    images = np.full((2, 9, 9), 130, np.uint8)
    images[1] = np.random.default_rng(0).integers(0, 256, (9, 9))
    assert detail_correlations(images, np.array([0, 0]), np.array([1, 0])).tolist() == [0, 0]


def test_a_picture_as_large_as_a_thumbnail_may_be_is_one_already() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (32, 20), np.uint8)
    assert np.array_equal(thumbnail(picture), picture)
    for shape in ((33, 20), (20, 33), (64, 64)):
        assert thumbnail(np.zeros(shape, np.uint8)).shape == (32, 32)
