"""Pixels and statistics: numbers one can check by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from medfeat.backbones import load_backbone
from medfeat.backbones.libraries import weights_free
from medfeat.backbones.libraries.weights_free import STATISTICS, Statistics


def embed(name: str, images: np.ndarray) -> np.ndarray:
    backbone = load_backbone(name)
    assert backbone.takes_raw
    return backbone.module(torch.from_numpy(images))[0].numpy()


RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 3), (28, 28, 28)])
def test_pixels_of_28_are_the_image_itself(shape: tuple[int, ...]) -> None:
    images = RNG.integers(0, 256, (3, *shape), dtype=np.uint8)
    np.testing.assert_array_equal(embed("pixels", images), (images / np.float32(255)).reshape(3, -1))


def test_pixels_of_another_size_are_pillow_s_bicubic() -> None:
    images = RNG.integers(0, 256, (2, 90, 61, 3), dtype=np.uint8)
    small = [np.asarray(Image.fromarray(i).resize((28, 28), Image.Resampling.BICUBIC)) for i in images]
    np.testing.assert_array_equal(embed("pixels", images), (np.stack(small) / np.float32(255)).reshape(2, -1))


def test_volumes_are_averaged_over_the_area_of_each_cell() -> None:
    volumes = RNG.integers(0, 256, (2, 56, 56, 56), dtype=np.uint8)
    expected = volumes.reshape(2, 28, 2, 28, 2, 28, 2).mean((2, 4, 6)) / 255
    np.testing.assert_allclose(embed("pixels", volumes), expected.reshape(2, -1), atol=1e-6)
    assert embed("pixels", RNG.integers(0, 256, (1, 12, 40, 30), dtype=np.uint8)).shape == (1, 28**3)


@pytest.mark.parametrize("shape", [(28, 28), (31, 17, 3), (9, 12, 15)])
def test_statistics_are_what_they_are_called(shape: tuple[int, ...]) -> None:
    images = RNG.integers(0, 256, (4, *shape), dtype=np.uint8)
    values = images.reshape(4, -1) / 255
    rows = dict(zip(STATISTICS, embed("stats", images).T, strict=True))
    np.testing.assert_allclose(rows["mean"], values.mean(1), atol=1e-6)
    np.testing.assert_allclose(rows["std"], values.std(1), atol=1e-6)
    np.testing.assert_allclose(rows["min"], values.min(1), atol=1e-6)
    np.testing.assert_allclose(rows["max"], values.max(1), atol=1e-6)
    for name, share in {"q10": 0.1, "q25": 0.25, "median": 0.5, "q75": 0.75, "q90": 0.9}.items():
        expected = np.quantile(values, share, axis=1, method="inverted_cdf")
        np.testing.assert_allclose(rows[name], expected, atol=1e-6)


def test_edges_are_steps_between_neighbours() -> None:
    stripes = np.zeros((1, 4, 4), np.uint8)
    stripes[:, :, ::2] = 255
    assert embed("stats", stripes)[0, STATISTICS.index("edges")] == pytest.approx(0.5)
    colour = np.tile(np.array([0, 128, 255], np.uint8), (1, 4, 4, 1))
    assert embed("stats", colour)[0, STATISTICS.index("edges")] == 0


def test_a_flat_image_has_no_spread() -> None:
    (row,) = Statistics()(torch.full((1, 5, 5), 51, dtype=torch.uint8))
    torch.testing.assert_close(row, torch.tensor([0.2, 0, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0]), atol=1e-6, rtol=0)


class Allocated(TorchDispatchMode):
    """Remembers the bytes of the largest tensor that an operation made out of nothing or out of another dtype."""

    nbytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.dtype != torch.uint8:
            self.nbytes = max(self.nbytes, made.untyped_storage().nbytes())
        return made


@pytest.mark.parametrize("name", ["stats", "pixels"])
@pytest.mark.parametrize("shape", [(24, 1000, 1000, 3), (6, 160, 160, 160)])
def test_many_large_images_take_little_memory(name: str, shape: tuple[int, ...]) -> None:
    images = torch.zeros(shape, dtype=torch.uint8)
    module = load_backbone(name).module
    with Allocated() as seen:
        module(images)
    # all of them together would take 288 or 98 MB as float32
    assert seen.nbytes < 36 << 20


@pytest.mark.parametrize("name", ["stats", "pixels"])
@pytest.mark.parametrize("shape", [(28, 28), (700, 900, 3), (150, 170, 160)])
def test_an_image_is_described_the_same_alone_and_among_others(name: str, shape: tuple[int, ...]) -> None:
    images = RNG.integers(0, 256, (5, *shape), dtype=np.uint8)
    alone = np.concatenate([embed(name, images[i : i + 1]) for i in range(5)])
    np.testing.assert_array_equal(embed(name, images), alone)


def test_a_volume_of_three_columns_is_no_colour() -> None:
    volumes = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), np.uint8))
    told = load_backbone("pixels").module(volumes[..., None])[0]
    assert told.shape == (2, 28**3)
    levels = volumes.double().numpy() / 255
    steps = [np.abs(np.diff(levels, axis=axis)) for axis in (2, 3)]  # along rows and columns of every slice
    edges = sum(step.sum((1, 2, 3)) for step in steps) / sum(step[0].size for step in steps)
    assert np.allclose(Statistics()(volumes[..., None])[:, -1].numpy(), edges)


@pytest.mark.parametrize("name", ["pixels", "stats"])
@pytest.mark.parametrize("shape", [(40, 30), (40, 30, 3), (9, 10, 11)])
def test_a_batch_that_goes_through_in_pieces_is_the_same_row_by_row(
    name: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = RNG.integers(0, 256, (5, *shape), dtype=np.uint8)
    whole = embed(name, images)
    alone = np.concatenate([embed(name, image[None]) for image in images])
    monkeypatch.setattr(weights_free, "_PIECE_LEVELS", 2 * images[0].size)
    np.testing.assert_array_equal(embed(name, images), whole)
    np.testing.assert_array_equal(whole, alone)


@pytest.mark.parametrize("rows", [1, 3, 10])
@pytest.mark.parametrize("name", ["pixels", "stats"])
@pytest.mark.parametrize("shape", [(31, 40), (31, 17, 3), (30, 29, 15), (57, 30, 33)])
def test_a_large_image_that_goes_through_in_strips_is_the_same_to_the_bit(
    monkeypatch: pytest.MonkeyPatch, name: str, shape: tuple[int, ...], rows: int
) -> None:
    images = np.random.default_rng(3).integers(0, 256, (2, *shape), dtype=np.uint8)
    whole = embed(name, images)
    monkeypatch.setattr(weights_free, "_PIECE_LEVELS", rows * images[0, 0].size)
    np.testing.assert_array_equal(embed(name, images), whole)
