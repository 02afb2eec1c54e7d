"""A network small enough to train in a test, its feeds, and a training of it."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from medfeat.finetuning.checkpoint import Keeper
from medfeat.finetuning.head import HeadStart, TrainableHead
from medfeat.finetuning.loop import Training, TrainingSplit
from medfeat.finetuning.training_settings import TrainingSettings
from medfeat.finetuning.tunable import Batch, Tunable
from medfeat.types import SilentProgress

SETTINGS = {"mode": "full", "epochs": 3, "batch_size": 8, "lr": 1e-2, "layer_decay": 1.0, "weight_decay": 0.01}


class Network(nn.Module):
    """Two convolutions with batch norm and dropout between, pooled to six numbers."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(dropout)
        self.last = nn.Conv2d(4, 6, 3, padding=1)

    def forward(self, x):
        return self.last(self.drop(torch.relu(self.norm(self.first(x))))).mean((2, 3))


def images(count=30, seed=0):
    """Images of three classes, told by the brighter channel, and their (n, 3) targets."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 3
    x = rng.normal(size=(count, 3, 8, 8)).astype(np.float32)
    x[np.arange(count), y] += 1.0
    return torch.from_numpy(x), np.eye(3)[y]


def feed(x):
    return lambda positions, change=None: Batch(
        x[torch.from_numpy(positions)] if change is None else change(x[torch.from_numpy(positions)]), len(positions)
    )


class Judge:
    """Accuracy on val; ties go to the earlier epoch."""

    def __init__(self, y):
        self.y = y

    def score(self, outputs):
        return float((outputs.argmax(1) == self.y.argmax(1)).mean()), 0.0

    def beats(self, new, old):
        return (new.first, -new.number) > (old.first, -old.number)


def start(dim=6, classes=3, link="softmax"):
    rng = np.random.default_rng(7)
    return HeadStart(np.zeros(dim), np.ones(dim), rng.normal(size=(classes, dim)), np.zeros(classes), link)


def model(dropout=0.0, **options):
    torch.manual_seed(0)
    return Tunable(Network(dropout), TrainableHead(start()), **options)


def training(folder, net=None, *, progress=None, judge=None, **changes):
    options = {name: changes.pop(name) for name in ("augment", "max_seconds", "clock") if name in changes}
    settings = TrainingSettings(**SETTINGS | changes)
    x, y = images()
    val_x, val_y = images(12, seed=1)
    return Training(
        net or model(),
        settings,
        train=TrainingSplit(feed(x), len(x), y),
        val=TrainingSplit(feed(val_x), len(val_x)),
        judge=judge or Judge(val_y),
        keeper=Keeper(folder, settings),
        device=torch.device("cpu"),
        progress=progress or SilentProgress(),
        **options,
    )


def values(net):
    return {name: value.detach().clone() for name, value in net.state_dict().items()}
