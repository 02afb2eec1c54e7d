"""Every network of the course project takes a step in every mode, and its weights come back as they were saved."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medfeat.backbones import load_backbone
from medfeat.evaluation.compare.published import COURSE_SYSTEMS
from medfeat.finetuning.assemble import ActivationFeed, FeatureFeed, head_alone, learning_units, tunable
from medfeat.finetuning.checkpoint import Keeper
from medfeat.finetuning.cut import Cut
from medfeat.finetuning.folded_norms import fold_norms
from medfeat.finetuning.loop import Training, TrainingSplit
from medfeat.finetuning.lora import merge_low_rank
from medfeat.finetuning.training_settings import TrainingSettings
from medfeat.finetuning.tunable import FirstView, Tunable
from medfeat.finetuning.tuned_weights import write_weights
from medfeat.types import SilentProgress

from .tiny import SETTINGS, feed, start

NAMES = [name for names in COURSE_SYSTEMS.values() for name in names]
QUICK = ("squeezenet1_1", "resnet18")
CPU = torch.device("cpu")
TARGETS = np.eye(2)


class LastEpoch:
    """Always prefers the later epoch."""

    def score(self, outputs):
        assert np.isfinite(outputs).all()
        return 0.5, 0.5

    def beats(self, new, old):
        return new.number > old.number


def one_step(model, feed_of, settings, folder):
    """Train on one batch of two; return the loss."""
    training = Training(
        model,
        settings,
        train=TrainingSplit(feed_of, 2, TARGETS),
        val=TrainingSplit(feed_of, 2),
        judge=LastEpoch(),
        keeper=Keeper(folder, settings),
        device=CPU,
        progress=SilentProgress(),
    )
    loss = training.run().epochs[-1].loss
    training.keeper.forget()
    return loss


def settled(network, read):
    """Give batch norm the statistics of what it sees: deep networks of random weights overflow without."""
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    with torch.no_grad():
        read()
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
        norm.eval()


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
def test_it_constructs_takes_a_step_in_every_mode_and_comes_back_from_its_file(tmp_path, name):
    backbone = load_backbone(name, weights="random")
    size = backbone.info.input_size
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    settled(backbone.module, lambda: backbone.module(x))
    head = start(backbone.info.dim, classes=2)
    with torch.no_grad():
        frozen = backbone.module(x)[0].clone()
    for mode in ("head", "last-blocks", "lora", "full"):
        settings = TrainingSettings(
            **SETTINGS | {"mode": mode, "epochs": 1, "lr": 1e-4, "warmup": 0.0, "smoothing": 0.1}
        )
        if mode == "head":
            rows = FeatureFeed(frozen.numpy(), CPU)
            assert np.isfinite(one_step(head_alone(head), rows, settings, tmp_path / mode))
            continue
        model = tunable(backbone, head, settings, CPU)
        model.eval()
        with torch.no_grad():
            before = model.network(x).clone()
        part, fed = model, feed(x)
        if mode == "last-blocks":
            cut = Cut(model.network, learning_units(model.network, x, 0), x)
            with torch.no_grad():
                kept = cut.trunk(x).to(torch.float16).numpy()
            part, fed = Tunable(cut.tail, model.head), ActivationFeed(kept, CPU)
        assert np.isfinite(one_step(part, fed, settings, tmp_path / mode))
        with torch.no_grad():
            tuned = model.network(x)
            if mode == "lora":
                merge_low_rank(backbone.module)
                torch.testing.assert_close(model.network(x), tuned, rtol=1e-4, atol=1e-5)
        assert not torch.equal(tuned, before), f"{mode} moved nothing"
    path = tmp_path / "tuned.safetensors"
    write_weights(backbone.module.network, path, {})
    again = load_backbone(name, weights=path)
    # As it was tuned: another layout, and a norm apart from its convolution, add up in another order.
    again.module.to(memory_format=torch.channels_last)
    fold_norms(FirstView(again.module), size)
    with torch.no_grad():
        torch.testing.assert_close(again.module(x)[0], tuned, rtol=1e-5, atol=1e-5)
