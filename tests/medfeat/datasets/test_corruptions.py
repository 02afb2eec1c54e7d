"""Worse copies: what each kind does to values, in five severities, reproducibly and in any order."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from medfeat.datasets import open_dataset
from medfeat.datasets.corrupted import CorruptedImages
from medfeat.datasets.corruptions import KINDS, SEVERITIES, corrupt, noise_of

FACTS = {"seed_of": "test/7", "noise": "gaussian"}


def picture(shape=(40, 56), seed=0):
    return np.random.default_rng(seed).integers(60, 190, shape, dtype=np.uint8)


@pytest.mark.parametrize(("kind", "shape"), [(k, s) for k in KINDS for s in ((150, 200), (150, 200, 3), (5, 150, 200))])
def test_each_severity_is_worse_than_the_one_before(kind, shape):
    image, volume = picture(shape), shape[0] == 5
    off = [np.abs(corrupt(image, kind, s, volume=volume, **FACTS).astype(float) - image).mean() for s in SEVERITIES]
    assert all(corrupt(image, kind, s, volume=volume, **FACTS).shape == shape for s in SEVERITIES)
    assert sorted(off) == off and off[0] > 0


def test_noise_has_the_spread_it_says_and_speckle_goes_with_the_value():
    grey = np.full((300, 300), 128, np.uint8)
    gaussian = corrupt(grey, "noise", 2, **FACTS).astype(float)
    assert gaussian.std() == pytest.approx(0.08 * 255, rel=0.02) and gaussian.mean() == pytest.approx(128, abs=0.3)
    half = np.full((300, 300), 64, np.uint8)
    speckle = [corrupt(one, "noise", 1, seed_of="x", noise="speckle").astype(float).std() for one in (half, grey)]
    assert speckle == pytest.approx([6.4, 12.8], rel=0.02)
    assert (noise_of("breastmnist"), noise_of("octmnist"), noise_of("retinamnist")) == (*("speckle",) * 2, "gaussian")


def test_noise_is_a_pattern_of_the_image_and_of_nothing_else():
    grey = np.full((30, 30), 128, np.uint8)
    weak, strong = (corrupt(grey, "noise", s, **FACTS).astype(float) - 128 for s in (1, 4))
    assert np.corrcoef(weak.ravel(), strong.ravel())[0, 1] > 0.99
    other = corrupt(grey, "noise", 1, seed_of="test/8", noise="gaussian").astype(float) - 128
    assert abs(np.corrcoef(weak.ravel(), other.ravel())[0, 1]) < 0.15


def test_contrast_shrinks_towards_the_mean():
    image = np.array([[100, 140], [120, 120]], np.uint8)
    np.testing.assert_array_equal(corrupt(image, "contrast", 5, **FACTS), [[112, 128], [120, 120]])


def test_compression_is_that_of_jpeg_and_blur_that_of_a_gaussian_on_a_share_of_the_side():
    image = picture()
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=15)
    np.testing.assert_array_equal(corrupt(image, "compression", 3, **FACTS), np.asarray(Image.open(file)))
    point = np.zeros((224, 224), np.uint8)
    point[112, 112] = 255
    found = corrupt(point, "blur", 3, **FACTS).astype(float)
    at = np.arange(-3, 4)
    exact = 255 * np.exp(-(at[:, None] ** 2 + at**2) / (2 * 2.0**2)) / (2 * np.pi * 2.0**2)
    np.testing.assert_allclose(found[109:116, 109:116], exact, atol=0.6)


def test_a_dataset_of_worse_copies_reads_any_rows_in_any_batch_alike():
    base = open_dataset("synthetic-binary")
    ids = base.ids("test")[[3, 8, 9, 40]]
    worse = CorruptedImages(base, ids)
    assert list(worse.info.counts) == [f"{kind}-{severity}" for kind in KINDS for severity in SEVERITIES]
    assert worse.ids("blur-2").tolist() == [f"blur-2/{name}" for name in ids.tolist()]
    (whole,) = worse.batches("noise-3", 10)
    one = next(worse.batches("noise-3", 1, np.array([2])))
    assert whole.rows.tolist() == [0, 1, 2, 3] and one.rows.tolist() == [2]
    np.testing.assert_array_equal(one.images[0], whole.images[2])
    (clean,) = base.batches("test", 10, np.array([9]))
    expected = corrupt(clean.images[0], "noise", 3, seed_of=ids[2], noise="gaussian")
    np.testing.assert_array_equal(one.images[0], expected)
    assert CorruptedImages(base, ids[:3]).info.fingerprint != worse.info.fingerprint


@pytest.mark.parametrize("kind", KINDS)
def test_volumes_are_made_worse_as_volumes(kind):
    base = open_dataset("synthetic-3d")
    ids = base.ids("test")[[5]]
    (worse,) = CorruptedImages(base, ids).batches(f"{kind}-3", 1)
    (clean,) = base.batches("test", 1, np.array([5]))
    expected = corrupt(clean.images[0], kind, 3, seed_of=ids[0], noise=noise_of("synthetic-3d"), volume=True)
    np.testing.assert_array_equal(worse.images[0], expected)
