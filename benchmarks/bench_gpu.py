"""What a GPU does with medfeat, beside the bare network on the same card: `make gpu` runs it after the tests.

    steady   images a second of the loop (hash, copy, preprocess, network, collect), and of the network alone as its
             library runs it, in the same precision, eager and channels last; what a batch costs at each stage
    compiling  what compiling costs and gains
    whole    one command: as many images as the twelve 2D sets of MedMNIST have, 28 px, through ResNet-101
    large    224 px images: how long the device waits for the host
    head     the linear head on the GPU and on the processor

Each item prints one line of JSON and is kept in results/gpu.json; one that fails is kept as its error, and the rest
goes on. In `make test` the same code runs on the CPU in small.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import machine
from medfeat.backbones import load_backbone
from medfeat.cost import EnergyMeter
from medfeat.datasets.hashing import image_hashes
from medfeat.extraction.loop.read_ahead import ReadAhead
from medfeat.extraction.network.device import describe_machine, settings_here
from medfeat.extraction.network.forward import Forward, stream, torch_dtype
from medfeat.float32 import full_float32
from medfeat.heads.linear import GRID, fit_path
from medfeat_cache import find_stores

ROOT = Path(__file__).resolve().parents[1]
ON_GPU = os.environ.get("MEDFEAT_GPU") == "1"
# Images and channels of the twelve 2D sets, from the paper's table 2: 708,069 in all.
SETS = {
    "path": (107_180, 3), "chest": (112_120, 1), "derma": (10_015, 3), "oct": (109_309, 1), "pneumonia": (5_856, 1),
    "retina": (1_600, 3), "breast": (780, 1), "blood": (17_092, 3), "tissue": (236_386, 1), "organa": (58_830, 1),
    "organc": (23_583, 1), "organs": (25_211, 1),
}  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """How much of everything: a card's, or that of the dry form."""

    device: str
    networks: tuple[tuple[str, str, int], ...]  # name, precision, batch
    seconds: float  # a rate
    compiled: tuple[tuple[str, str], ...]
    sets: dict[str, tuple[int, int]]
    backbone: str
    options: tuple[str, ...]
    features: tuple[int, int]


CARD = Scale(
    "cuda:0",
    (
        ("resnet18", "fp16", 256), ("resnet50", "fp16", 64), ("resnet50", "fp16", 256), ("resnet50", "fp16", 1024),
        ("resnet50", "bf16", 256), ("resnet50", "fp32", 256), ("resnet101", "fp16", 256),
        ("torchvision:vgg16", "fp16", 256), ("torchvision:vit_b_16", "fp16", 256),
        ("timm:vit_large_patch14_dinov2", "fp16", 64),
    ),
    1.0,
    (("resnet101", "fp16"), ("torchvision:vit_b_16", "fp16")),
    SETS,
    "resnet101",
    (),
    (50_000, 2048),
)  # fmt: skip
DRY = Scale(
    "cpu", (("timm:test_resnet", "fp32", 4),), 0.01, (), {"breast": (20, 1), "blood": (20, 3)}, "timm:test_resnet",
    ("--precision", "fp32", "--no-compile"), (400, 16),
)  # fmt: skip


def forward_of(scale, name, precision, batch, *, compiled=False):
    backbone = load_backbone(name, weights="random")
    return Forward(
        backbone, fit="whole", device=torch.device(scale.device), precision=precision, batch_size=batch,
        compiled=compiled,
    )  # fmt: skip


def pictures(count, side=28, channels=3, seed=0):
    """Smooth images with a little noise, which deflate about as pictures do."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 200, (min(count, 512), -(-side // 7), -(-side // 7), channels), dtype=np.uint8)
    fine = coarse.repeat(7, axis=1).repeat(7, axis=2)[:, :side, :side]
    fine += rng.integers(0, 12, fine.shape, dtype=np.uint8)
    return np.resize(
        fine[..., 0] if channels == 1 else fine, (count, side, side, channels)[: 3 if channels == 1 else 4]
    )


def settle(scale):
    if scale.device != "cpu":
        torch.cuda.synchronize()


def rate(scale, step, images):
    """Images a second of `step`, over at least so many seconds after two to warm up."""
    step(), step()
    settle(scale)
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < scale.seconds:
        for _ in range(4):
            step()
            done += images
        settle(scale)
    return done / (time.perf_counter() - started)


def raw_rate(scale, name, precision, batch):
    """The network alone, as its library runs it: its input lies prepared on the device."""
    backbone = load_backbone(name, weights="random")
    module = backbone.module.to(scale.device, torch_dtype(precision)).to(memory_format=torch.channels_last)
    prepared = torch.randn(batch, 3, backbone.info.input_size, backbone.info.input_size, device=scale.device)
    prepared = prepared.to(torch_dtype(precision)).contiguous(memory_format=torch.channels_last)
    return network_rate(scale, module, prepared)


def network_rate(scale, network, prepared):
    def step():
        with torch.inference_mode(), full_float32():
            network(prepared)

    return rate(scale, step, len(prepared))


def loop_rate(scale, forward, images):
    """Everything the extraction loop does with each image, all but the disk."""
    size = forward.batch_size

    def reads(pool):
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            yield pool.submit(image_hashes, batch), batch

    def step():
        with ThreadPoolExecutor(4) as pool, ReadAhead(reads(pool)) as ahead:
            assert sum(len(done.item.result()) for done in stream(forward, ahead)) == len(images)

    step()
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < scale.seconds:
        step()
        done += len(images)
    return done / (time.perf_counter() - started)


def steady(scale):
    for name, precision, batch in scale.networks:
        before = raw_rate(scale, name, precision, batch)
        forward = forward_of(scale, name, precision, batch)
        if ON_GPU:
            torch.cuda.reset_peak_memory_stats()
        meter = EnergyMeter(scale.device)
        # Enough of them that the filling and emptying of the pipe at both ends does not count.
        loop = loop_rate(scale, forward, pictures(batch * max(4, int(before * scale.seconds) // batch)))
        energy, peak = meter.read(scale.device), torch.cuda.max_memory_allocated() / 2**30 if ON_GPU else None
        after = raw_rate(scale, name, precision, batch)
        yield {
            "network": name, "precision": precision, "batch": batch, "raw": round(before), "raw_again": round(after),
            "medfeat": round(loop), "of_raw": round(loop / max(before, after), 3), "fused": forward.fused,
            "peak_gib": peak and round(peak, 2), "watt_hours": energy.watt_hours, "energy_method": energy.method,
            **stages(scale, forward),
        }  # fmt: skip
        del forward
        if ON_GPU:
            torch.cuda.empty_cache()


def stages(scale, forward):
    """Milliseconds of a batch on its way, each stage by itself."""
    images = pictures(forward.batch_size)
    host = torch.from_numpy(images).pin_memory() if ON_GPU else torch.from_numpy(images)
    there = host.to(scale.device)
    prepared = forward._preprocess(there)

    def ms(step):
        return round(1e3 * forward.batch_size / rate(scale, step, forward.batch_size), 3)

    return {
        "hash_ms": ms(lambda: image_hashes(images)),
        "copy_ms": ms(lambda: host.to(scale.device, non_blocking=True)),
        "preprocess_ms": ms(lambda: forward._preprocess(there)),
        "network_ms": round(1e3 * len(images) / network_rate(scale, forward._network, prepared), 3),
    }


def compiling(scale):
    os.environ.pop("TORCH_COMPILE_DISABLE", None)
    for name, precision in scale.compiled:
        batch = 256
        eager = raw_rate(scale, name, precision, batch)
        started = time.perf_counter()
        forward = forward_of(scale, name, precision, batch, compiled=True)
        forward(pictures(batch))
        seconds = time.perf_counter() - started
        compiled = network_rate(scale, forward._network, forward._inputs(pictures(batch)))
        yield {
            "network": name, "precision": precision, "compile_seconds": round(seconds, 1), "eager": round(eager),
            "compiled": round(compiled), "gain": round(compiled / eager, 2),
            "of_raw": round(loop_rate(scale, forward, pictures(batch * 40)) / compiled, 3),
        }  # fmt: skip
        torch._dynamo.reset()


def write_set(name, count, channels, folder, side=28):
    """Write an npz of the official form; returns its path."""
    images = pictures(count, side, channels, seed=len(name))
    images.reshape(len(images), -1)[:, :4] = np.arange(count, dtype=np.uint32)[:, None].view(np.uint8)  # no two alike
    ends = [0, int(count * 0.7), int(count * 0.8), count]
    arrays = {}
    for split, first, last in zip(("train", "val", "test"), ends, ends[1:], strict=False):
        arrays[f"{split}_images"] = images[first:last]
        arrays[f"{split}_labels"] = (np.arange(first, last) % 2).astype(np.uint8)[:, None]
    path = folder / f"{name}-like.npz"
    np.savez_compressed(path, **arrays)
    return path


def extracting(scale, data, folder):
    command = [sys.executable, "-m", "medfeat", "extract", "--data", data, "--backbone", scale.backbone, "--weights"]
    return [*command, "random", "--device", scale.device, "--cache-dir", str(folder / "cache"), *scale.options]


def whole(scale):
    """One command over files as large as the official ones, its start included."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with ProcessPoolExecutor(8 if ON_GPU else 1) as pool:
            jobs = [pool.submit(write_set, name, *scale.sets[name], folder) for name in scale.sets]
            paths = [str(job.result()) for job in jobs]
        command = extracting(scale, ",".join(paths), folder)
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, text=True)
        seconds = time.perf_counter() - started
        made = [header.info["environment"] for header in find_stores(folder / "cache")]
    images = sum(count for count, _ in scale.sets.values())
    yield {
        "network": scale.backbone, "images": images, "sets": len(made), "seconds": round(seconds, 1),
        "images_per_second": round(images / seconds), "seconds_in_loops": round(sum(e["seconds"] for e in made), 1),
        "stages": {s: round(sum(e["stages"][s] for e in made), 1) for s in made[0]["stages"]},
        "precision": sorted({e["precision"] for e in made}), "compiled": sum(e["compiled"] for e in made),
        "watt_hours": None if None in (wh := [e["energy_wh"] for e in made]) else round(sum(wh), 2),
        "peak_gib": round(max(e["peak_memory_bytes"] for e in made) / 2**30, 2),
    }  # fmt: skip


def large(scale):
    """224 px images of three channels: the host reads and hashes 150 kB an image, 64 times as much."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        count = 6_000 if ON_GPU else 20
        path = write_set("large", count, 3, folder, side=224 if ON_GPU else 32)
        command = extracting(scale, str(path), folder)
        subprocess.run(command, check=True, capture_output=True, text=True)
        (made,) = (header.info["environment"] for header in find_stores(folder / "cache"))
    yield {"images": count, "images_per_second": round(made["images_per_second"]), "stages": made["stages"],
           "device_waits": round(made["stages"]["read"] / made["seconds"], 3)}  # fmt: skip


def head(scale):
    """A path of the linear head over its whole grid, on the GPU and on the processor."""
    rng = np.random.default_rng(0)
    n, d = scale.features
    y = rng.integers(0, 8, (n, 1))
    X = (rng.normal(size=(8, d)).astype(np.float32)[y[:, 0]] * 0.05 + rng.standard_normal((n, d), np.float32)).astype(
        "f4"
    )
    found = {"rows": n, "dim": d}
    for hidden in (False, True):
        with _hidden_gpu() if hidden else contextlib.nullcontext():
            started = time.perf_counter()
            probes = list(fit_path(X, y, GRID, task_type="multi-class", n_classes=8))
            found[f"seconds_{probes[0].device_}"] = round(time.perf_counter() - started, 2)
    yield found


@contextlib.contextmanager
def _hidden_gpu():
    from medfeat.heads import linear

    before, linear.on_gpu = linear.on_gpu, lambda X: X
    try:
        yield
    finally:
        linear.on_gpu = before


ITEMS = (steady, whole, large, head, compiling)


def measure(scale, keep, items=ITEMS):
    """Run every item and keep what there is after each; one that fails is kept with its error."""
    found = {}
    for item in items:
        begun = time.perf_counter()
        kept = found.setdefault(item.__name__, [])
        try:
            for line in item(scale):
                kept.append(line)
                print(item.__name__, json.dumps(line), flush=True)
        except Exception as error:
            kept.append(
                {"failed": f"{type(error).__name__}: {error}", "stderr": str(getattr(error, "stderr", ""))[-800:]}
            )
            print(item.__name__, json.dumps(kept[-1]), flush=True)
        print(f"{item.__name__}: {time.perf_counter() - begun:.0f} s", flush=True)
        keep(found)
    return found


def test_the_dry_form_runs_every_item():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = measure(DRY, lambda _found: None)
    finally:
        torch.set_num_threads(before)
    assert not [line for item in ITEMS for line in found[item.__name__] if "failed" in line]
    assert found["steady"][0]["medfeat"] > 0
    assert found["whole"][0]["images"] == 40 and found["whole"][0]["sets"] == 2


if __name__ == "__main__":
    card = torch.device(CARD.device)
    where = {"card": describe_machine(card).name, "hardware": settings_here(card, "fp16", 256, False, 1).hardware}
    measure(CARD, lambda found: machine.keep("gpu", where | found))
