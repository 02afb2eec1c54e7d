"""A network in two pieces is the same network, and is refused where it is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from medfeat.errors import UsageError
from medfeat.finetuning.assemble import cached_activations
from medfeat.finetuning.cut import Cut, last_units, units_of
from medfeat.finetuning.training_settings import TrainingSettings
from medfeat.finetuning.tunable import Batch
from medfeat.types import SilentProgress

from .tiny import SETTINGS, Network, images


class Skipping(nn.Module):
    """What follows its first layer needs the image once more."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.last(self.first(x)) + x


def feed_of(x):
    return lambda positions: Batch(x[torch.from_numpy(positions)], len(positions))


def test_trunk_and_tail_are_the_whole_network():
    torch.manual_seed(0)
    network, (x, _) = Network().eval(), images(6)
    cut = Cut(network, "last", x[:2])
    with torch.no_grad():
        torch.testing.assert_close(cut.tail(cut.trunk(x)), network(x))
        torch.testing.assert_close(network(x), network(x))  # and it is left as it was
    assert "forward" not in network.first.__dict__


def test_what_needs_more_than_its_input_is_refused():
    with pytest.raises(UsageError, match="cannot be cut before last: what follows needs more than its input"):
        Cut(Skipping(), "last", torch.randn(2, 4))


def test_the_last_stage_of_a_resnet_and_the_last_blocks_of_a_transformer_are_units():
    import timm

    resnet = timm.create_model("test_resnet", num_classes=0).eval()
    x = torch.randn(1, 3, 160, 160)
    names = [unit.name for unit in units_of(resnet, lambda: resnet(x))]
    assert names[-1].startswith("layer4") or "layer4" in names
    vit = timm.create_model("test_vit", num_classes=0).eval()
    units = units_of(vit, lambda: vit(x))
    (last, *_) = last_units(units, 1)
    assert last.name.startswith("blocks.")
    with pytest.raises(UsageError, match="blocks, got --blocks 99"):
        last_units(units, 99)


def test_when_memory_runs_out_the_trunk_takes_fewer_images(tmp_path, monkeypatch):
    network, (x, _) = Network().eval(), images(10)
    cut = Cut(network, "last", x[:2])
    with torch.no_grad():
        expected = cut.trunk(x).to(torch.float16).numpy()
    trunk = cut.trunk

    def tight(inputs):
        if len(inputs) > 3:
            raise torch.OutOfMemoryError("out of memory")
        return trunk(inputs)

    monkeypatch.setattr(cut, "trunk", tight)
    progress = SilentProgress()
    settings = TrainingSettings(**SETTINGS)
    with cached_activations(cut, feed_of(x), 10, settings, folder=tmp_path, progress=progress) as kept:
        np.testing.assert_allclose(kept, expected, rtol=2e-3, atol=1e-4)
    assert any("2 images a pass" in line for line in progress.said)
