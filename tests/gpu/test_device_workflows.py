"""Whole commands on a device: extract, kill and resume, probe, predict, search and fine-tune."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import medfeat
from medfeat.backbones.backbone_table import BACKBONES
from medfeat.cost import EnergyMeter
from medfeat.errors import NotFrozenError, UsageError
from medfeat.extraction.network.device import resolve_device
from medfeat.heads.linear import LinearProbe
from medfeat.types import SilentProgress
from medfeat_cache import FeatureStore, find_stores

# Small enough for the dry form; on a GPU what is tried is the way there, not the speed.
SMALL = "timm:test_resnet"


def put_away(folder: Path, count: int, *, side: int = 28, classes: int = 3) -> Path:
    """Write an npz of the official form whose classes differ in brightness."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, share in (("train", 0.6), ("val", 0.2), ("test", 0.2)):
        labels = rng.integers(0, classes, (int(count * share), 1), dtype=np.uint8)
        pixels = rng.integers(0, 160, (len(labels), side, side, 3)) + 30 * labels[:, :, None, None]
        arrays |= {f"{split}_images": pixels.astype(np.uint8), f"{split}_labels": labels}
    path = folder / "pictures.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture
def extracted(tmp_path, device):
    """Embed a small set; returns its file and its cache."""
    npz = put_away(tmp_path, 120)
    options = {"weights": "random", "cache_dir": tmp_path / "cache", "device": str(device), "compile": False}
    report = medfeat.extract(npz, SMALL, batch_size=8, **options)
    return npz, tmp_path / "cache", report


def test_a_store_says_where_it_was_made(extracted, device, measured):
    _, cache, report = extracted
    (header,) = find_stores(cache)
    environment = header.info["environment"]
    measured(energy_method=environment["energy_method"], peak_memory=environment["peak_memory_bytes"])
    assert report.device == environment["device"] == str(device)
    assert environment["peak_memory_bytes"] > 0
    assert environment["hardware"]


def test_probing_predicting_and_searching_follow(extracted, device, tmp_path):
    npz, cache, _ = extracted
    report = medfeat.probe("pictures", f"{SMALL}-random0", cache_dir=cache)
    assert report.runs[0].test.acc.value > 0.4
    predicted = medfeat.predict("best", npz, data="pictures", cache_dir=cache, device=str(device))
    assert len(predicted.ids) == 120
    found = medfeat.search("pictures", f"{SMALL}-random0", id="test/0", cache_dir=cache)
    assert found.hits


def test_a_killed_extraction_goes_on_to_the_same_bits(tmp_path, device, measured):
    dry = device.type == "cpu"
    npz = put_away(tmp_path, 400 if dry else 12_000)
    name, size = (SMALL, "4") if dry else ("resnet18", "64")

    def command(cache):
        return [sys.executable, "-m", "medfeat", "extract", "--data", str(npz), "--backbone", name, "--weights",
                "random", "--device", str(device), "--precision", "fp32", "--batch-size", size, "--no-compile",
                "--cache-dir", str(cache)]  # fmt: skip

    env = os.environ | {"OMP_NUM_THREADS": "1"} if dry else None
    child = subprocess.Popen(
        command(tmp_path / "killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env
    )
    parts, deadline = [], time.monotonic() + 120
    while not parts and child.poll() is None and time.monotonic() < deadline:
        parts = list((tmp_path / "killed").rglob("*.part"))
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    killed = child.wait() == -signal.SIGKILL
    for cache in ("killed", "whole"):
        subprocess.run(command(tmp_path / cache), check=True, capture_output=True, env=env)
    (one,), (other,) = (find_stores(tmp_path / cache) for cache in ("killed", "whole"))
    measured(killed_in_the_middle=killed and bool(parts))
    with FeatureStore(one.path) as first, FeatureStore(other.path) as second:
        for group in ("train", "val", "test"):
            assert np.array_equal(first.embeddings(group), second.embeddings(group))


def test_a_network_that_changes_publishes_nothing(tmp_path, device):
    class Counting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(1))

        def forward(self, images):
            self.seen += len(images)
            return images.mean(dim=(2, 3))

    network = medfeat.backbone_from(Counting(), name="counting-buffer", input_size=32, mean=(0, 0, 0), std=(1, 1, 1))
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    with pytest.raises(NotFrozenError, match="changed while it embedded"):
        medfeat.extract(
            images, network, name="some", batch_size=4, device=str(device), precision="fp32", cache_dir=tmp_path
        )
    BACKBONES.remove("counting-buffer")
    assert not find_stores(tmp_path)


def test_a_device_that_is_not_here_is_one_line():
    with pytest.raises(UsageError, match="device 'cuda:99' is not here"):
        resolve_device("cuda:99")


def test_the_linear_head_finds_the_minimum_where_it_works_on_the_gpu(device, measured):
    rows, dim, C = (600, 64, 0.01) if device.type == "cpu" else (20_000, 512, 0.01)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, (rows, 1))
    X = (rng.normal(size=(4, dim))[y[:, 0]] * 0.05 + rng.normal(size=(rows, dim))).astype(np.float32)
    started = time.perf_counter()
    probe = LinearProbe(C, task_type="multi-class", n_classes=4).fit(X, y)
    measured(head_on=probe.device_, head_seconds=round(time.perf_counter() - started, 2))
    # By hand: loss and gradient of C * sum of cross-entropies + |W|^2 / 2, which is strongly convex in W, so that
    # what is left above the minimum is at most half the gradient squared.
    Z = (X.astype(np.float64) - probe.mean_) / probe.scale_
    logits = Z @ probe.coef_.T + probe.intercept_
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores, truth = odds / odds.sum(axis=1, keepdims=True), np.eye(4)[y[:, 0]]
    objective = -C * np.log((scores * truth).sum(axis=1)).sum() + (probe.coef_**2).sum() / 2
    gradient = C * (scores - truth).T @ Z + probe.coef_
    assert probe.device_ == device.type
    assert (gradient**2).sum() / 2 < 1e-4 * objective
    assert abs(C * (scores - truth).sum(axis=0)).max() < 1e-3 * C * rows


@pytest.mark.gpu
def test_energy_is_that_of_the_counter(forward, images, measured):
    meter, started = EnergyMeter("cuda:0"), time.perf_counter()
    run, pixels = forward("resnet50", precision="fp16"), images()
    while time.perf_counter() - started < 2:
        run(pixels)
    found, seconds = meter.read("cuda:0"), time.perf_counter() - started
    assert found.method == "energy counter of the GPU (NVML)" and found.watt_hours is not None
    watts = found.watt_hours * 3600 / seconds
    measured(mean_watts=round(watts))
    assert 20 < watts < 1500


@pytest.mark.parametrize("mode", ["full", "last-blocks", "lora", "head"])
def test_fine_tuning_trains_on_the_device(extracted, device, mode, measured):
    npz, cache, _ = extracted
    options = {
        "weights": "random",
        "cache_dir": cache,
        "device": str(device),
        "epochs": 2,
        "progress": SilentProgress(),
    }
    medfeat.finetune(npz, SMALL, mode=mode, **options)
    (log,) = (cache / "tuned").rglob("log.csv")
    with log.open(encoding="utf-8") as lines:
        losses = [float(line["loss"]) for line in csv.DictReader(lines) if line["epoch"] != "0"]
    measured(mode=mode, losses=losses)
    assert np.isfinite(losses).all() and len(losses) == 2
