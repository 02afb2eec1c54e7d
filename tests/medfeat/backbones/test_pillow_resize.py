"""Images that Pillow resizes have the levels of the matrix products, bit for bit, and are those that may be."""

import numpy as np
import pytest
import torch

from medfeat.backbones.features import pillow_resize
from medfeat.backbones.features.pillow_resize import PillowResizer, may_resize, resized
from medfeat.backbones.features.resize import Resizer, vertical_first

CPU = torch.device("cpu")
SHAPES = [
    ((300, 260), (224, 224)),
    ((260, 300), (256, 295)),
    ((700, 150), (224, 224)),  # Pillow 13 filters the height first
    ((90, 400), (224, 224)),
    ((200, 180), (384, 384)),
    ((224, 224), (224, 224)),
]


def whole(target):
    return 0, 0, *target


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("source", "target"), SHAPES)
def test_the_levels_are_those_of_the_matrix_products(source, target, channels, interpolation):
    window = target[0] // 5, target[1] // 7, 128, 150
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, *source, channels), np.uint8))
    for part in (whole(target), window):
        expected = Resizer(source, target, interpolation, CPU, part)(images)
        if part == window and source == target:  # where nothing is resized, the network's window is the whole
            expected = images[:, part[0] : part[0] + part[2], part[1] : part[1] + part[3]]
        found = PillowResizer(target, interpolation, part)(images)
        assert torch.equal(found, expected)
        plane = images[0, ..., 0] if channels == 1 else images[0]
        alone = resized(plane.numpy(), target, interpolation, part)
        assert np.array_equal(alone.reshape(expected[0].shape), expected[0])


def test_what_takes_much_memory_or_would_change_levels_may_not(monkeypatch):
    assert may_resize((4000, 4000), (224, 224), "bilinear", whole((224, 224)))
    assert not may_resize((5000, 4000), (224, 224), "bilinear", whole((224, 224)))
    assert not may_resize((10, 4000), (256, 102_400), "bilinear", (16, 51_000, 224, 224))
    assert not may_resize((500, 500), (224, 224), "nearest", whole((224, 224)))
    tall, wide = (700, 150), (150, 700)
    assert vertical_first(tall, (224, 224)) and not vertical_first(wide, (224, 224))
    assert may_resize(tall, (224, 224), "bilinear", whole((224, 224)))
    monkeypatch.setattr(pillow_resize.PIL, "__version__", "12.0.0")
    assert not may_resize(tall, (224, 224), "bilinear", whole((224, 224)))
    assert may_resize(wide, (224, 224), "bilinear", whole((224, 224)))
