"""How fast a network is tuned, beside the loop that most would write, all in one run.

    (a) plain        PIL transforms, a DataLoader with the best of 0, 1, 2 workers, train mode, AdamW, eager float32
    (b) full         medfeat, the same network, batch and images, float32
    (c) last stage   medfeat, last-blocks through the frozen trunk
    (d) cached       medfeat, the same last stage on activations that the trunk left behind once
    (e) full, bf16   (b) in half precision, where the processor computes with it

Seconds an epoch: the four take turns, so that a busy machine is as busy for each, and the median of the turns counts.
An ordinary quick test of itself unless MEDFEAT_BENCH=1, which measures and writes results/finetune.json.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import machine
import usual_pattern
from bench_extraction import pictures
from medfeat.backbones import load_backbone
from medfeat.finetuning.assemble import (
    ActivationFeed,
    ImageFeed,
    cached_activations,
    learning_units,
    preparation,
    tunable,
)
from medfeat.finetuning.checkpoint import Keeper, State
from medfeat.finetuning.cut import Cut
from medfeat.finetuning.defaults import FAMILIES
from medfeat.finetuning.head import HeadStart
from medfeat.finetuning.images import ImageFile
from medfeat.finetuning.loop import Training, TrainingSplit
from medfeat.finetuning.training_settings import TrainingSettings
from medfeat.finetuning.tunable import Tunable
from medfeat.types import SilentProgress

CPU = torch.device("cpu")
BATCH = 32
# Few and short turns: on a machine that others share, ways that take turns quickly are disturbed alike.
TURNS, IMAGES = (3, 96) if machine.MEASURING else (1, 4)
HALF = bool(machine.describe()["avx512_bf16"] or machine.describe()["amx_bf16"])


class Plain:
    """(a): what a user would write."""

    def __init__(self, name, images):
        self.images = images
        self.net = usual_pattern.network(name)
        with torch.no_grad():
            dim = self.net(torch.zeros(1, 3, 224, 224)).shape[1]
        self.net = torch.nn.Sequential(self.net, torch.nn.Linear(dim, 2)).train()
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=1e-4)

    def epoch(self, workers):
        """Return the seconds of an epoch; the first batch of each DataLoader is part of it, as it is of every epoch."""
        started = time.perf_counter()
        loader = DataLoader(usual_pattern.Pictures(self.images), batch_size=BATCH, shuffle=True, num_workers=workers)
        for x in loader:
            self.optimizer.zero_grad()
            torch.nn.functional.cross_entropy(self.net(x), torch.zeros(len(x), dtype=torch.long)).backward()
            self.optimizer.step()
        return time.perf_counter() - started


class Ours:
    """(b) to (d): medfeat's own loop on the same images."""

    def __init__(self, name, images, mode, folder, precision="fp32"):
        decay = FAMILIES["convolutional"].weight_decay
        self.settings = TrainingSettings(mode, 1000, BATCH, 1e-4, 1.0, decay, blocks=1, precision=precision)
        backbone = load_backbone(name, weights="random")
        rng, dim = np.random.default_rng(0), backbone.info.dim
        head = HeadStart(np.zeros(dim), np.ones(dim), rng.normal(size=(1, dim)) / dim, np.zeros(1), "sigmoid")
        self.model = tunable(backbone, head, self.settings, CPU)
        self.count, self.folder = len(images), folder
        starts = np.arange(self.count) * images[0].size
        file = ImageFile(images.reshape(-1), starts, [images.shape[1:]] * self.count)
        self.feed = ImageFeed(file, preparation(backbone, "whole", CPU, volumes=False))
        if mode == "last-blocks":
            self.sample = self.feed(np.arange(2)).inputs
            self.model.eval()
            self.place = learning_units(self.model.network, self.sample, 1)

    @contextmanager
    def cached(self):
        """Let the frozen trunk run once; yield the bytes it left on disk."""
        cut, of_images, model = Cut(self.model.network, self.place, self.sample), self.feed, self.model
        with cached_activations(
            cut, self.feed, self.count, self.settings, folder=self.folder, progress=SilentProgress()
        ) as kept:
            self.feed, self.model = ActivationFeed(kept, CPU), Tunable(cut.tail, model.head)
            yield kept.nbytes
        self.feed, self.model = of_images, model

    def training(self):
        """Make the loop; an epoch of it is measured without val and checkpoint, as the plain one has neither."""
        targets = (np.arange(self.count) % 2)[:, None].astype(float)
        split = TrainingSplit(self.feed, self.count, targets)
        keeper = Keeper(self.folder / self.settings.mode, self.settings)
        return Training(
            self.model, self.settings, train=split, val=split, judge=None, keeper=keeper, device=CPU,
            progress=SilentProgress(),
        )  # fmt: skip


def epoch(training):
    """Return the seconds of one epoch."""
    started = time.perf_counter()
    training._epoch(1, State([], 0.0, BATCH, "cpu", ""), started)
    return time.perf_counter() - started


def measure(name, count, turns=TURNS):
    """Take turns; return median seconds an epoch of each, and what the activations took."""
    images = pictures(count)
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        full, trunk, last = (Ours(name, images, mode, Path(folder)) for mode in ("full", "last-blocks", "last-blocks"))
        plain = Plain(name, images)
        started = time.perf_counter()
        with last.cached() as disk:
            once = time.perf_counter() - started
            loops = {"full": full.training(), "last stage": trunk.training(), "cached": last.training()}
            ways = {f"plain, {n} workers": lambda n=n: plain.epoch(n) for n in (0, 1, 2)}
            if HALF:
                loops["full, bf16"] = Ours(name, images, "full", Path(folder) / "bf16", "bf16").training()
            ways |= {way: lambda loop=loop: epoch(loop) for way, loop in loops.items()}
            for way in ways.values():
                way()  # warm
            for _ in range(turns):
                for way, run in ways.items():
                    seconds.setdefault(way, []).append(run())
    median = {way: statistics.median(found) for way, found in seconds.items()}
    best = min(value for way, value in median.items() if way.startswith("plain"))
    half = {"plain_over_full_bf16": best / median["full, bf16"]} if HALF else {}
    return {
        "network": name,
        "images": count,
        "seconds_an_epoch": median,
        "every_turn": seconds,
        "trunk_once_seconds": once,
        "activations_bytes_on_disk": disk,
        "activations_bytes_an_image": disk // count,
        "plain_over_full": best / median["full"],
        "last_stage_over_cached": median["last stage"] / median["cached"],
        "full_over_cached": median["full"] / median["cached"],
        **half,
    }


def test_the_quick_form_runs():
    found = measure("squeezenet1_1", IMAGES)
    assert found["activations_bytes_on_disk"] > 0 and min(found["seconds_an_epoch"].values()) > 0


@pytest.mark.skipif(not machine.MEASURING, reason="measures only with MEDFEAT_BENCH=1")
def test_measure():
    found = [measure(name, IMAGES) for name in ("resnet18", "squeezenet1_1")]
    machine.keep("finetune", {"networks": found, "half_precision": HALF or "not measured: this processor has none"})
