"""Convolutions fused with what follows them give the same rows; kernels of torch stand in for those of cuDNN."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from medfeat.backbones import load_backbone
from medfeat.extraction.network.fusing import Kernels, fused, fused_half
from medfeat.types import View

calls: list[str] = []


def relu(x, weight, bias, stride, padding, dilation, groups):
    calls.append("relu")
    return functional.relu(functional.conv2d(x, weight, bias, stride, padding, dilation, groups))


def add_relu(x, weight, added, factor, bias, stride, padding, dilation, groups):
    calls.append("add_relu")
    return functional.relu(functional.conv2d(x, weight, bias, stride, padding, dilation, groups) + factor * added)


STAND_IN = Kernels(relu, add_relu)


@pytest.fixture(autouse=True)
def forget():
    calls.clear()


def unsettled(module, seed=0):
    """Give batch norms statistics of their own, so that leaving one out shows."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(generator=generator)
            part.running_var.uniform_(0.5, 2, generator=generator)
            nn.init.uniform_(part.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(part.bias, generator=generator)
    return module.eval().requires_grad_(False)


def same_rows(module, images):
    """Fuse, and compare; returns how many of each kernel run."""
    before = [row.clone() for row in module(images)]
    found = fused(module, images, STAND_IN)
    assert found is not None
    calls.clear()
    with torch.inference_mode():
        rows = found(torch.cat([images, images[:1] + 1]))
    for row, wanted in zip(rows, before, strict=True):
        assert torch.allclose(row[: len(images)], wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))
    with torch.inference_mode():
        after = module(images)
    assert all(torch.equal(one, other) for one, other in zip(after, before, strict=True))  # left as it was
    return calls.count("relu"), calls.count("add_relu")


@pytest.mark.parametrize(
    ("name", "relus", "sums"),
    [("resnet18", 9, 8), ("timm:test_resnet", 8, 4), ("squeezenet1_1", 25, 0), ("torchvision:googlenet", 57, 0)],
)
def test_networks_of_libraries_give_the_same_rows(name, relus, sums):
    backbone = load_backbone(name, weights="random")
    images = torch.randn(2, 3, 64 if "test" not in name else 160, 64 if "test" not in name else 160)
    assert same_rows(unsettled(backbone.module), images) == (relus, sums)


def test_several_layers_are_read_from_one_pass():
    views = (View(layer="layer2"), View(layer="layer4"), View())
    backbone = load_backbone("resnet18", views=views, weights="random")
    relus, sums = same_rows(unsettled(backbone.module), torch.randn(2, 3, 64, 64))
    assert relus + sums == 17


class Block(nn.Module):
    """A residual block whose sum and ReLU are in place, as torchvision writes them."""

    def __init__(self, *, swapped=False, grouped=False, kept=False):
        super().__init__()
        self.first, self.second = (
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.Conv2d(8, 8, 3, groups=8 if grouped else 1),
        )
        self.side = nn.Conv2d(3, 8, 3)
        self.norms = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(3))
        self.swapped, self.kept = swapped, kept

    def forward(self, images):
        main = functional.relu(self.norms[0](self.first(images)), inplace=True)
        main = self.norms[1](self.second(main))
        side = self.norms[2](self.side(images))
        total = side.add_(main) if self.swapped else main.add_(side)
        seen = total.clone() if self.kept else None
        total = functional.relu(total, inplace=True)
        rows = total.mean(dim=(2, 3))
        return (rows,) if seen is None else (rows, seen.mean(dim=(2, 3)))


@pytest.mark.parametrize("options", [{}, {"swapped": True}])
def test_sums_in_place_are_not_added_twice(options):
    assert same_rows(unsettled(Block(**options)), torch.randn(2, 3, 16, 16)) == (1, 1)


def test_grouped_convolutions_are_left_to_torch_where_they_are_clipped():
    # the sum can still be joined to the other convolution
    assert same_rows(unsettled(Block(grouped=True)), torch.randn(2, 3, 16, 16)) == (1, 1)


def test_a_sum_that_something_else_reads_is_left_as_it_is():
    assert same_rows(unsettled(Block(kept=True)), torch.randn(2, 3, 16, 16)) == (1, 0)


class Twice(nn.Module):
    """A convolution whose output goes two ways, and one that is used twice with its batch norm."""

    def __init__(self):
        super().__init__()
        self.one, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, images):
        maps = self.norm(self.one(images))
        again = torch.relu(self.norm(self.one(maps)))
        return (again.mean(dim=(2, 3)) + maps.mean(dim=(2, 3)),)


def test_weights_that_are_used_twice_are_folded_each_time_from_the_same_numbers():
    assert same_rows(unsettled(Twice()), torch.randn(2, 3, 8, 8)) == (1, 0)


class Unlike(nn.Module):
    """Goes another way for every picture: no trace holds."""

    def __init__(self):
        super().__init__()
        self.one = nn.Conv2d(3, 3, 1)

    def forward(self, images):
        maps = torch.relu(self.one(images))
        return (maps.mean(dim=(2, 3)) if float(images.mean()) > 0 else maps.amax(dim=(2, 3)),)


@pytest.mark.parametrize("module", [Unlike(), nn.Sequential(nn.Conv2d(3, 3, 1), nn.SiLU())], ids=["branch", "no ReLU"])
def test_what_cannot_be_traced_or_has_nothing_to_fuse_runs_as_it_is(module):
    assert fused(module.eval().requires_grad_(False), torch.randn(2, 3, 8, 8), STAND_IN) is None


def test_only_half_precision_on_cuda_is_rewritten():
    module = load_backbone("resnet18", weights="random").module
    assert fused_half(module, torch.float16, 64) is None
    assert fused_half(nn.Identity(), torch.float16, 64) is None
