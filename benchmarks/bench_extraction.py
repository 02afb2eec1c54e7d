"""How fast images become embeddings, beside what others do with the same images and network, all in one run.

    (a) raw       the compiled forward pass alone, same network and precision, input already prepared
    (b) medfeat   everything: read, hash, preprocess, network, collect, as the extraction loop does it
    (c) usual     PIL transforms, DataLoader with the best of 0, 1, 2 workers, batch 64, eager float32
    (d) pipeline  transformers.pipeline("image-feature-extraction") where it has the architecture
    (e) embetter  when it can be imported

Steady rates in images per second after warm-up; then the wall time of whole commands, loading and compiling included.
An ordinary quick test of itself unless MEDFEAT_BENCH=1, which measures and writes results/extraction.json.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import machine
import usual_pattern
from medfeat.backbones import load_backbone
from medfeat.datasets.hashing import image_hash
from medfeat.extraction.loop.read_ahead import ReadAhead
from medfeat.extraction.network.forward import Forward, stream

ROOT = Path(__file__).parents[1]
BATCH = 8
# MEDFEAT_BENCH_WALLS=1 measures only the first of the whole commands: all of them take a quarter of an hour.
WALLS = slice(int(os.environ.get("MEDFEAT_BENCH_WALLS", "4")))
REPEATS = 3 if machine.MEASURING else 1


def real_weights(name):
    folder = os.environ.get("MEDFEAT_REAL_DATA")
    file = Path(folder or "") / "squeezenet1_1_torchvision_fp16src.pth"
    return str(file) if folder and name == "squeezenet1_1" and file.exists() else None


def pictures(count):
    """Grey 28 px images: BreastMNIST's where it is, else noise of the same form; repeated to `count`."""
    folder = os.environ.get("MEDFEAT_REAL_DATA")
    if folder and (Path(folder) / "breastmnist.npz").exists():
        data = np.load(Path(folder) / "breastmnist.npz")
        images = np.concatenate([data[f"{split}_images"] for split in ("train", "val", "test")])
    else:
        images = np.random.default_rng(0).integers(0, 256, (780, 28, 28), dtype=np.uint8)
    return np.resize(images, (count, 28, 28))


def forward_for(name, precision, *, compiled=True):
    weights = real_weights(name) or "random"
    return Forward(
        load_backbone(name, weights=weights),
        fit="whole",
        device=torch.device("cpu"),
        precision=precision,
        batch_size=BATCH,
        compiled=compiled,
    )


def rate(action, images):
    """Images a second: the median over repeats, after one warm-up."""
    action()
    rates = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        action()
        rates.append(images / (time.perf_counter() - started))
    return statistics.median(rates)


def raw_forward(forward, count):
    """(a): the network alone, its input prepared once."""
    prepared = forward._inputs(pictures(BATCH))

    def run():
        with torch.inference_mode():
            for _ in range(count // BATCH):
                forward._network(prepared)

    return rate(run, count // BATCH * BATCH)


def whole_loop(forward, images):
    """(b): what the extraction loop does with each image, all but the disk."""

    def reads():
        for start in range(0, len(images), BATCH):
            batch = images[start : start + BATCH]
            yield [image_hash(image) for image in batch], batch

    def run():
        with ReadAhead(reads()) as ahead:
            rows = [done.rows[0] for done in stream(forward, ahead)]
        assert sum(map(len, rows)) == len(images)

    return rate(run, len(images))


def usual(name, images, workers=(0, 1, 2)):
    """(c): the best of some numbers of DataLoader workers."""
    net = usual_pattern.network(name, real_weights(name))
    return max(usual_pattern.embed(net, images, count)[1] for count in workers)


def pipeline(name, images):
    """(d): the Hugging Face pipeline with the same architecture, where there is one."""
    if name != "resnet50":
        return None
    from PIL import Image
    from transformers import ConvNextImageProcessor, ResNetConfig, ResNetModel
    from transformers import pipeline as make

    processor = ConvNextImageProcessor(size={"shortest_edge": 224}, crop_pct=1.0)
    model = ResNetModel(ResNetConfig()).eval()
    run = make("image-feature-extraction", model=model, image_processor=processor, batch_size=64, pool=True)
    several = [Image.fromarray(image).convert("RGB") for image in images]
    return rate(lambda: run(several), len(several))


def embetter(name, images):
    """(e): embetter's timm encoder, when it is installed; its own code downloads weights, so it gets random ones."""
    if importlib.util.find_spec("embetter") is None or name != "resnet50":
        return None
    import timm
    from embetter.vision import TimmEncoder
    from PIL import Image

    create = timm.create_model
    timm.create_model = lambda *args, **options: create(*args, **(options | {"pretrained": False}))
    try:
        encoder = TimmEncoder("resnet50.tv_in1k")
    finally:
        timm.create_model = create
    several = [Image.fromarray(image).convert("RGB") for image in images]
    return rate(lambda: encoder.transform(several), len(several))


def measure(name, precision, count):
    forward = forward_for(name, precision)
    images = pictures(count)
    found = {
        "network": name,
        "precision": precision,
        "raw": raw_forward(forward, count),
        "medfeat": whole_loop(forward, images),
        "raw_again": raw_forward(forward, count),
    }
    found["of_raw"] = found["medfeat"] / max(found["raw"], found["raw_again"])
    return found


def wall_times(name, count, folder, precisions=("auto", "fp32"), workers=(0, 2)):
    """Seconds of whole programs on the same npz: medfeat's command, and the usual pattern as a script."""
    images = pictures(count)
    sizes = {"train": int(count * 0.7), "val": int(count * 0.1)}
    ends = {"train": sizes["train"], "val": sizes["train"] + sizes["val"], "test": count}
    starts = {"train": 0, "val": ends["train"], "test": ends["val"]}
    arrays = {f"{s}_images": images[starts[s] : ends[s]] for s in ends}
    arrays |= {f"{s}_labels": np.arange(len(arrays[f"{s}_images"]))[:, None] % 2 for s in ends}
    npz = folder / f"pictures{count}.npz"
    np.savez(npz, **arrays)
    weights = real_weights(name)
    found = {"network": name, "images": count}
    for precision in precisions:
        command = [sys.executable, "-m", "medfeat", "extract", "--data", str(npz), "--backbone", name]
        command += ["--weights", weights or "random", "--precision", precision]
        command += ["--cache-dir", str(folder / f"cache-{name}-{count}-{precision}")]
        found[f"medfeat_{precision}"] = seconds(command)
    for several in workers:
        script = [sys.executable, str(ROOT / "benchmarks" / "usual_pattern.py"), name, str(npz), str(several)]
        found[f"usual_{several}_workers"] = seconds(script + ([weights] if weights else []))
    return found


def seconds(command):
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def test_the_quick_form_runs():
    forward = forward_for("squeezenet1_1", "fp32", compiled=False)
    assert whole_loop(forward, pictures(BATCH)) > 0
    assert raw_forward(forward, BATCH) > 0


@pytest.mark.skipif(not machine.MEASURING, reason="measures only with MEDFEAT_BENCH=1")
def test_measure():
    steady, walls = [], []
    for name, count in (("squeezenet1_1", 1024), ("resnet50", 256)):
        images = pictures(count)
        others = {
            "usual": usual(name, images),
            "pipeline": pipeline(name, images[:128]),
            "embetter": embetter(name, images[:128]),
        }
        for precision in ("fp32", "bf16"):
            found = measure(name, precision, count) | others
            found["times_usual"] = found["medfeat"] / found["usual"]
            steady.append(found)
            print(found, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, count in (("squeezenet1_1", 780), ("squeezenet1_1", 5000), ("resnet50", 780), ("resnet50", 5000))[
            WALLS
        ]:
            long = name == "resnet50" and count == 5000
            some = {"precisions": ("auto",), "workers": (0,)} if long else {}
            walls.append(wall_times(name, count, Path(folder), **some))
            print(walls[-1], flush=True)
    machine.keep("extraction", {"steady_images_per_second": steady, "wall_seconds": walls})
