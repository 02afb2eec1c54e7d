"""Measuring runs copies of a network: a copy is as good as the original, named layers included."""

from __future__ import annotations

import copy

import torch

from medfeat.backbones import load_backbone
from medfeat.types import View


def test_a_deep_copy_reads_its_own_layers():
    views = (View(), View(layer="features.7"))
    module = load_backbone("squeezenet1_1", weights="random", views=views).module
    one, other = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    expected = module(one)
    copied = copy.deepcopy(module)
    module(other)
    for mine, theirs in zip(copied(one), expected, strict=True):
        assert torch.equal(mine, theirs)
