"""From uint8 images to the network's input."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.transforms import v2

from medfeat.backbones import describe
from medfeat.errors import UsageError
from medfeat.extraction.network import preprocess as preprocessing
from medfeat.extraction.network.preprocess import Preprocess, geometry, preprocess_list
from medfeat.types import BackboneInfo

NETWORKS = ("resnet18", "mobilenetv2_100")  # bilinear and bicubic


def images(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def by_pillow(image: np.ndarray, info: BackboneInfo) -> torch.Tensor:
    """The plainest way: Pillow's resize of the RGB image, then mean and standard deviation."""
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    resized = Image.fromarray(image).convert("RGB").resize((info.input_size,) * 2, filters[info.interpolation])
    levels = np.asarray(resized, np.float64) / 255
    return torch.from_numpy((levels - info.mean) / info.std).permute(2, 0, 1).float()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", [(28, 28), (64, 64, 3), (300, 260), (500, 300, 3)])
def test_whole_is_pillows_resize_normalised(name: str, shape: tuple[int, ...]) -> None:
    info = describe(name)
    batch = images((2, *shape))
    result = Preprocess(info)(batch)
    expected = torch.stack([by_pillow(image.numpy(), info) for image in batch])
    torch.testing.assert_close(result, expected, rtol=0, atol=2e-6)


def test_grey_is_three_equal_channels_before_normalising() -> None:
    info = describe("resnet18")
    grey = images((2, 40, 40))
    rgb = grey.unsqueeze(-1).repeat(1, 1, 1, 3)
    assert torch.equal(Preprocess(info)(grey), Preprocess(info)(rgb))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("first", "count"), [(0, 1), (0, 2), (1, 1), (1, 2)])
@pytest.mark.parametrize("shifted", [0, 1])
def test_grey_levels_are_looked_up_wherever_they_lie_in_memory(
    first: int, count: int, shifted: int, dtype: torch.dtype
) -> None:
    """An odd number of pixels that are not resized, from an odd place: two at a time are not to be had everywhere."""
    info = replace(describe("resnet18"), input_size=33)
    flat = images((4 * 33 * 33 + 1,))
    grey = torch.from_numpy(flat.numpy()[shifted:][: 3 * 33 * 33]).reshape(3, 33, 33)[first : first + count]
    found = Preprocess(info, dtype=dtype)(grey)
    colour = grey.unsqueeze(-1).repeat(1, 1, 1, 3)
    assert torch.equal(found, Preprocess(info, dtype=dtype)(colour))
    assert torch.equal(found, Preprocess(info, dtype=dtype)(colour[..., 2]))


def test_every_pair_of_grey_levels_becomes_what_each_of_them_does() -> None:
    preprocess = Preprocess(replace(describe("resnet18"), input_size=256))
    every = torch.arange(256, dtype=torch.uint8)
    pairs = torch.stack([every.repeat_interleave(256), every.repeat(256)], 1).reshape(2, 256, 256)
    std, mean = (torch.tensor(values).reshape(3, 1, 1) for values in (preprocess.info.std, preprocess.info.mean))
    expected = (pairs.unsqueeze(1) / 255 - mean) / std
    torch.testing.assert_close(preprocess(pairs), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_result_is_channels_last_in_the_asked_dtype(dtype: torch.dtype) -> None:
    result = Preprocess(describe("resnet18"), dtype=dtype)(images((3, 28, 28, 3)))
    assert result.shape == (3, 3, 224, 224)
    assert result.dtype == dtype
    assert result.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("count", [1, 7, 64])
def test_an_image_does_not_depend_on_its_batch(count: int) -> None:
    batch = images((count, 28, 28, 3))
    preprocess = Preprocess(describe("resnet18"))
    alone = torch.cat([preprocess(batch[i : i + 1]) for i in range(count)])
    assert torch.equal(preprocess(batch), alone)


@pytest.mark.parametrize("shape", [(28, 28), (224, 224, 3), (40, 60, 3), (90, 61), (400, 300, 3)])
def test_reference_equals_torchvisions_own_transforms(shape: tuple[int, ...]) -> None:
    from torchvision.models import ResNet18_Weights

    own = ResNet18_Weights.IMAGENET1K_V1.transforms()
    batch = images((2, *shape))
    expected = torch.stack([own(Image.fromarray(image.numpy()).convert("RGB")) for image in batch])
    torch.testing.assert_close(Preprocess(describe("resnet18"), fit="reference")(batch), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("shape", [(28, 28), (224, 224, 3), (40, 60, 3), (90, 61)])
@pytest.mark.parametrize("source", ["mobilenetv2_100", "vit_base", "clip", "siglip2_b"])
def test_reference_equals_timms_own_transform(source: str, shape: tuple[int, ...]) -> None:
    import timm
    from timm.models import get_pretrained_cfg

    info = describe(source)
    config = get_pretrained_cfg(info.source_id).to_dict()
    own = timm.data.create_transform(**timm.data.resolve_data_config({}, pretrained_cfg=config))
    batch = images((2, *shape))
    expected = torch.stack([own(Image.fromarray(image.numpy()).convert("RGB")) for image in batch])
    torch.testing.assert_close(Preprocess(info, fit="reference")(batch), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("shape", [(28, 28), (224, 224, 3), (40, 60, 3)])
@pytest.mark.parametrize("name", ["beit", "rad_dino"])
def test_reference_equals_the_image_processor(name: str, shape: tuple[int, ...]) -> None:
    from transformers import BeitImageProcessorPil, BitImageProcessorPil

    info = describe(name)
    colours = {"image_mean": list(info.mean), "image_std": list(info.std)}
    processor = (
        BeitImageProcessorPil(resample=2, **colours)
        if name == "beit"
        else BitImageProcessorPil(
            size={"shortest_edge": 518}, crop_size={"height": 518, "width": 518}, resample=3, **colours
        )
    )
    batch = images((1, *shape))
    rgb = [Image.fromarray(image.numpy()).convert("RGB") for image in batch]
    expected = processor(rgb, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(Preprocess(info, fit="reference")(batch), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [28, 64, 127])
def test_pad_is_the_medmnist_plus_study_s_padding(size: int) -> None:
    info = describe("resnet18")
    total = 224 - size
    study = v2.Compose(
        [
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(info.mean, info.std),
            v2.Pad([total // 2, total // 2, total - total // 2, total - total // 2], fill=0),
        ]
    )
    batch = images((2, size, size, 3))
    expected = torch.stack([study(Image.fromarray(image.numpy())) for image in batch])
    torch.testing.assert_close(Preprocess(info, fit="pad")(batch), expected, rtol=0, atol=2e-6)


def test_pad_shrinks_what_is_too_large_and_keeps_its_proportions() -> None:
    assert geometry(describe("resnet18"), "pad", (448, 224)).target == (224, 112)
    assert geometry(describe("resnet18"), "pad", (448, 224)).offset == (0, 56)


def test_a_list_of_different_shapes_keeps_its_order() -> None:
    preprocess = Preprocess(describe("resnet18"))
    shapes = [(28, 28), (40, 50, 3), (28, 28), (28, 28, 3)]
    mixed = [images(shape, seed).numpy() for seed, shape in enumerate(shapes)]
    result = preprocess_list(preprocess, mixed)
    for image, row in zip(mixed, result, strict=True):
        assert torch.equal(preprocess(torch.from_numpy(image[None]))[0], row)


def test_an_unknown_fit_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="fit must be one of whole, reference, pad, got 'crop'"):
        Preprocess(describe("resnet18"), fit="crop")


@pytest.fixture
def without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large images are filtered here, as those are of which Pillow would take too much memory."""
    monkeypatch.setattr(preprocessing, "may_resize", lambda *_: False)


class Largest(TorchDispatchMode):
    """Remembers the bytes of the largest tensor of fractions that any operation made."""

    nbytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.is_floating_point():
            self.nbytes = max(self.nbytes, made.untyped_storage().nbytes())
        return made


@pytest.mark.parametrize("shape", [(2, 3000, 4000, 3), (1, 12000, 1000, 3), (40, 600, 500)])
def test_large_images_are_filtered_in_small_pieces(shape: tuple[int, ...], without_pillow: None) -> None:
    batch = torch.zeros(shape, dtype=torch.uint8)
    preprocess = Preprocess(describe("resnet18"))
    with Largest() as seen:
        preprocess(batch)
    # one image of 12 megapixels takes 288 MB in float64; the network's input of 40 takes 24 MB
    assert seen.nbytes < 32 << 20


def test_filters_of_many_shapes_do_not_pile_up(without_pillow: None) -> None:
    preprocess = Preprocess(describe("resnet18"))
    preprocess(images((1, 999, 999)))
    tracemalloc.start()
    try:
        for more in range(60):
            preprocess(torch.zeros((1, 1500 + more, 1000 + more), dtype=torch.uint8))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 40 << 20


def test_a_shape_that_was_forgotten_gives_the_same_input_again() -> None:
    preprocess = Preprocess(describe("resnet18"))
    batch = images((2, 31, 47, 3))
    before = preprocess(batch)
    for side in range(60, 100):
        preprocess(torch.zeros((1, side, side), dtype=torch.uint8))
    assert torch.equal(preprocess(batch), before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [28, 64, 128, 300])
def test_a_gpu_gives_the_same_input(name: str, size: int) -> None:
    info = describe(name)
    batch = images((3, size, size, 3))
    torch.backends.cuda.matmul.allow_tf32 = True
    on_gpu = Preprocess(info, device="cuda")(batch.cuda()).cpu()
    torch.testing.assert_close(on_gpu, Preprocess(info)(batch), rtol=0, atol=1e-6)
