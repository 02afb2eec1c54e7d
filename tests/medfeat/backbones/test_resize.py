"""The resize is Pillow's, bit for bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL
import pytest
import torch
from PIL import Image

from medfeat.backbones.features.resize import Resizer, resize_matrix, vertical_first

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
CPU = torch.device("cpu")
PILLOW = int(PIL.__version__.partition(".")[0])


def pillow(images: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """Resize (B, H, W, C) images one by one with Pillow."""
    rows = []
    for image in images:
        plain = image[..., 0] if image.shape[-1] == 1 else image
        rows.append(np.asarray(Image.fromarray(plain).resize(size[::-1], FILTERS[interpolation])))
    return np.stack(rows).reshape(len(images), *size, images.shape[-1])


def ours(images: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    return Resizer(images.shape[1:3], size, interpolation, CPU)(torch.from_numpy(images)).numpy()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("target", [224, 248, 256, 299, 320, 518])
@pytest.mark.parametrize("source", [28, 64, 128, 224])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_medmnist_size_equals_pillow(source: int, target: int, interpolation: str, channels: int) -> None:
    rng = np.random.default_rng(source)
    noise = rng.integers(0, 256, (2, source, source, channels), dtype=np.uint8)
    # hard edges overshoot, and must be clipped after each of the two passes
    edges = np.where(noise[:1] > 127, 255, 0).astype(np.uint8)
    images = np.concatenate([noise, edges])
    np.testing.assert_array_equal(
        ours(images, (target, target), interpolation), pillow(images, (target,) * 2, interpolation)
    )


@pytest.mark.parametrize("seed", range(60))
def test_any_pair_of_sizes_equals_pillow(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width, *target = (int(side) for side in rng.integers(1, 180, 4))
    interpolation = list(FILTERS)[seed % 4]
    if PILLOW < 13 and vertical_first((height, width), (target[0], target[1])):
        pytest.skip("Pillow before 13 filters the width first whatever the shape")
    images = rng.integers(0, 256, (1, height, width, 1 + 2 * (seed % 2)), dtype=np.uint8)
    np.testing.assert_array_equal(
        ours(images, (target[0], target[1]), interpolation), pillow(images, (target[0], target[1]), interpolation)
    )


@pytest.mark.parametrize(("height", "width"), [(600, 40), (40, 600), (1500, 1400)])
def test_strong_shrinking_equals_pillow(height: int, width: int) -> None:
    if PILLOW < 13 and vertical_first((height, width), (28, 28)):
        pytest.skip("Pillow before 13 filters the width first whatever the shape")
    images = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    np.testing.assert_array_equal(ours(images, (28, 28), "bicubic"), pillow(images, (28, 28), "bicubic"))


@pytest.mark.realdata
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("name", ["breastmnist", "retinamnist"])
def test_real_images_equal_pillow(real_data: Path, name: str, interpolation: str) -> None:
    images = np.load(real_data / f"{name}.npz")["test_images"][:40]
    images = images[..., None] if images.ndim == 3 else images
    for side in (20, 64, 224, 255):
        np.testing.assert_array_equal(
            ours(images, (side, side), interpolation), pillow(images, (side, side), interpolation)
        )


def test_a_window_is_the_same_part_of_the_whole() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 50, 40, 3), dtype=np.uint8)
    window = Resizer((50, 40), (100, 90), "bicubic", CPU, (7, 11, 64, 32))(torch.from_numpy(images)).numpy()
    np.testing.assert_array_equal(window, ours(images, (100, 90), "bicubic")[:, 7:71, 11:43])


def test_an_image_of_the_right_size_is_passed_through() -> None:
    images = torch.randint(0, 256, (1, 28, 28, 3), dtype=torch.uint8)
    assert Resizer((28, 28), (28, 28), "bicubic", CPU)(images) is images


@pytest.mark.parametrize("interpolation", list(FILTERS))
def test_the_weights_of_a_pixel_sum_to_one(interpolation: str) -> None:
    sums = resize_matrix(37, 91, interpolation).sum(axis=1)
    np.testing.assert_allclose(sums, 1.0, atol=1e-5)


GROWN = """
import re, torch
from pathlib import Path
from medfeat.backbones.features.resize import Resizer

def held():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def resized(side):
    Resizer((side, side), (224, 224), "bilinear", torch.device("cpu"))(torch.zeros(1, side, side, 3, dtype=torch.uint8))

resized(64)
before = held()
resized(3000)
print(held() - before >> 10)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of one program is told by Linux alone")
def test_a_large_image_takes_little_beside_itself():
    done = subprocess.run([sys.executable, "-c", GROWN], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100  # MB; the image takes 27, and a strip that is filtered 4
