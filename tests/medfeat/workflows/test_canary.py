"""The canary hears a row that depends on the images beside it, and one that is not of its image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from medfeat.backbones.backbone_table import BACKBONES, Entry
from medfeat.types import BackboneInfo
from medfeat.workflows.cache import verify
from medfeat.workflows.extract import extract
from medfeat.workflows.stores.canary import Canary


class Mixing(nn.Module):
    """Small pictures of the images, after something was done to the batch."""

    def __init__(self, mix: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.mix = mix

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.mix(nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)) + 100.0


@pytest.fixture
def register() -> Iterator[Callable[[Callable[[torch.Tensor], torch.Tensor]], str]]:
    info = BackboneInfo(
        name="mixing",
        source="weights-free",
        source_id="mixing",
        input_size=16,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        interpolation="bilinear",
        pool="none",
        origin="weights-free",
        dim=48,
    )

    def add(mix: Callable[[torch.Tensor], torch.Tensor]) -> str:
        BACKBONES.add("mixing", Entry(info, build=lambda: Mixing(mix)))
        return "mixing"

    yield add
    BACKBONES.remove("mixing")


def sung(cache_root: Path, name: str, folder: Path, count: int) -> str:
    images = np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    np.savez(folder / "mine.npz", images=images)
    options = {"precision": "fp32", "batch_size": 16, "device": "cpu", "compile": False, "cache_dir": cache_root}
    path = extract(folder / "mine.npz", name, **options).stores[0].path
    [found] = verify([path], canary=True, device="cpu")
    return found.state


@pytest.mark.parametrize("count", [3, 16, 40])
@pytest.mark.parametrize(
    "mix",
    [
        lambda x: x[:1].expand_as(x),
        lambda x: x.roll(1, 0),
        lambda x: x + 0.5 * x.mean(0),
        lambda x: x - x.amax(0),
        lambda x: x[torch.arange(len(x)) // 2],
    ],
    ids=["the first for all", "rolled", "mean added", "maximum taken off", "windows of earlier images"],
)
def test_rows_that_depend_on_their_neighbours_come_out_otherwise(
    register: Callable[..., str], cache_root: Path, tmp_path: Path, mix: Callable[..., torch.Tensor], count: int
) -> None:
    """Every row is 100 plus little, so that the cosine of any two is near 1 and tells nothing."""
    assert sung(cache_root, register(mix), tmp_path, count) == "differs"


@pytest.mark.parametrize("count", [1, 3, 40])
def test_rows_of_their_own_image_agree_in_any_batch(
    register: Callable[..., str], cache_root: Path, tmp_path: Path, count: int
) -> None:
    assert sung(cache_root, register(lambda x: x), tmp_path, count) == "ok"


def test_a_store_of_a_layer_that_was_once_taken_differs(
    cache_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an earlier medfeat wrote it: the layer's rows cut to the number of images."""
    from medfeat.backbones import loading as load
    from medfeat.backbones.features import views_of as embedder
    from medfeat.extraction.network import forward

    np.savez(tmp_path / "mine.npz", images=np.random.default_rng(0).integers(0, 256, (4, 16, 16), dtype=np.uint8))
    options = {"precision": "fp32", "batch_size": 4, "device": "cpu", "compile": False, "cache_dir": cache_root}
    name, layer = "timm:swin_tiny_patch4_window7_224", "layers.0.blocks.0.attn"
    with monkeypatch.context() as earlier:
        earlier.setattr(embedder, "is_by_image", lambda shapes: True)
        earlier.setattr(load, "refuse_mixed_rows", lambda *_: None)
        earlier.setattr(forward, "refuse_other_rows", lambda *_: None)
        path = extract(tmp_path / "mine.npz", name, weights="random", layer=layer, **options).stores[0].path
    [found] = verify([path], canary=True, device="cpu")
    assert (found.state, found.failed) == ("differs", True)
    assert layer in found.refused and "not one row an image" in found.refused


def test_disagreement_of_either_kind_is_heard() -> None:
    agreeing = Canary(16, 0.0, 1.0, 0.01)
    assert agreeing.agrees
    for other in (
        replace(agreeing, min_cosine=0.99),
        replace(agreeing, displaced=0.9),
        replace(agreeing, min_cosine=float("nan")),
        replace(agreeing, displaced=float("nan")),
    ):
        assert not other.agrees
