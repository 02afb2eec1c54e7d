"""A convolution that computes the frozen norm after it gives the same features, and the same gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from medfeat.backbones import load_backbone
from medfeat.finetuning.folded_norms import fold_norms
from medfeat.finetuning.tunable import FirstView

from .tiny import Network


def unlike_its_start(network):
    """Give norms statistics, factors and shifts of their own."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.running_mean, module.bias):
                if values is not None:
                    values.data.normal_(0.0, 0.3, generator=generator)
            for values in (module.running_var, module.weight):
                if values is not None:
                    values.data.uniform_(0.5, 2.0, generator=generator)
    return network.eval()


def outputs_and_gradients(network, x):
    network.requires_grad_(True).zero_grad()
    made = network(x)
    weights = torch.linspace(0.5, 1.5, made.numel()).reshape(made.shape)
    (made * weights).sum().backward()
    return made.detach(), {name: parameter.grad.clone() for name, parameter in network.named_parameters()}


class Bare(nn.Module):
    """A norm without factor and shift after a grouped convolution without bias."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, groups=3, bias=False, padding_mode="reflect", padding=1)
        self.norm = nn.BatchNorm2d(6, affine=False)

    def forward(self, x):
        return self.norm(self.first(x)).relu_().mean((2, 3))


class Shared(nn.Module):
    """What the convolution gives is used twice: the norm after it cannot become a part of it."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x):
        x = self.first(x)
        return (self.norm(x) + x).mean((2, 3))


class Changed(Shared):
    """What the convolution gives is changed in place before the norm."""

    def forward(self, x):
        return self.norm(self.first(x).relu_()).mean((2, 3))


class Twice(Shared):
    """One norm after two uses of one convolution."""

    def forward(self, x):
        return (self.norm(self.first(x)) + self.norm(self.first(x.flip(3)))).mean((2, 3))


@pytest.mark.parametrize("make", [Network, Bare])
def test_features_and_gradients_are_those_of_torchs_norm(make):
    torch.manual_seed(0)
    plain = unlike_its_start(make())
    folded = copy.deepcopy(plain)
    assert fold_norms(folded, 8) == 1
    assert {name: value.shape for name, value in folded.state_dict().items()} == {
        name: value.shape for name, value in plain.state_dict().items()
    }
    x = torch.randn(4, 3, 8, 8)
    (made, gradients), (expected, theirs) = outputs_and_gradients(folded, x), outputs_and_gradients(plain, x)
    torch.testing.assert_close(made, expected, rtol=1e-5, atol=1e-6)
    for name, gradient in theirs.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("make", [Shared, Changed, Twice])
def test_a_norm_that_does_not_stand_right_behind_its_own_convolution_stays_one(make):
    torch.manual_seed(0)
    network = unlike_its_start(make())
    x = torch.randn(4, 3, 8, 8)
    before = network(x)
    assert fold_norms(network, 8) == 0
    assert torch.equal(network(x), before)


def test_a_norm_that_is_trained_after_all_normalises_with_its_batch():
    network = unlike_its_start(Network())
    plain = copy.deepcopy(network).train()
    fold_norms(network, 8)
    x = torch.randn(4, 3, 8, 8)
    assert torch.equal(network.train()(x), plain(x))
    assert torch.equal(network.norm.running_mean, plain.norm.running_mean)


def test_a_copy_of_a_folded_network_stands_on_its_own():
    network = unlike_its_start(Network())
    fold_norms(network, 8)
    x = torch.randn(4, 3, 8, 8)
    other, before = copy.deepcopy(network), network(x)
    other.norm.weight.data.mul_(2.0)
    assert torch.equal(network(x), before) and not torch.equal(other(x), before)


@pytest.mark.parametrize(
    ("name", "pairs"),
    [("resnet18", 20), ("timm:efficientnet_lite0", 49), ("squeezenet1_1", 0), ("torchvision:mobilenet_v2", 52)],
)
def test_known_networks_are_folded_throughout(name, pairs):
    backbone = load_backbone(name, weights="random")
    unlike_its_start(backbone.module.network)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = backbone.module(x)[0]

        assert fold_norms(FirstView(backbone.module).eval(), 64) == pairs
        torch.testing.assert_close(backbone.module(x)[0], before, rtol=1e-3, atol=1e-4)


def test_what_the_callers_program_set_for_float32_does_not_decide_whether_norms_are_folded():
    """Where a processor may round convolutions to bf16, features differ by more than folding allows."""
    backbone, conv = load_backbone("resnet18", weights="random"), torch.backends.mkldnn.conv
    unlike_its_start(backbone.module.network)
    before = conv.fp32_precision
    conv.fp32_precision = "bf16"
    try:
        assert fold_norms(FirstView(backbone.module).eval(), 64) == 20
        assert conv.fp32_precision == "bf16"
    finally:
        conv.fp32_precision = before
