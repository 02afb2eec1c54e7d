"""The forward pass on a device: the same rows whatever the copies, the batch, the memory and the program around it."""

from __future__ import annotations

import subprocess
import sys
from functools import reduce

import numpy as np
import pytest
import torch
from PIL import Image

from medfeat.backbones import load_backbone
from medfeat.backbones.features.resize import Resizer, vertical_first
from medfeat.errors import OutOfMemoryError
from medfeat.extraction.measure.half_precision import agreement
from medfeat.extraction.network.device import describe_machine, settings_here
from medfeat.extraction.network.forward import Forward, stream
from medfeat.extraction.network.preprocess import Preprocess

# What a program can have set before: none of it may change a bit of float32.
HOSTS = (
    "pass",
    "torch.backends.cuda.matmul.allow_tf32 = True",
    "torch.backends.cudnn.allow_tf32 = True",
    "torch.set_float32_matmul_precision('high')",
    "torch.backends.fp32_precision = 'tf32'",
    "torch.backends.cuda.matmul.fp32_precision = 'tf32'",
    "torch.backends.cudnn.conv.fp32_precision = 'tf32'",
)
# One process goes through all of them, so that they also pile up.
PRINT_DIGESTS = """
import hashlib, sys, numpy as np, torch
from medfeat.backbones import load_backbone
from medfeat.extraction.network.forward import Forward
torch.set_num_threads(1) if sys.argv[1] == "cpu" else None
forward = Forward(load_backbone("timm:test_resnet", weights="random"), fit="whole", device=torch.device(sys.argv[1]),
                  precision="fp32", batch_size=8)
images = np.random.default_rng(0).integers(0, 256, (8, 28, 28, 3), dtype=np.uint8)
for host in sys.argv[2:]:
    exec(host)
    print(hashlib.sha256(forward(images)[0].tobytes()).hexdigest())
"""
SHAPES = [((28, 28), (224, 224)), ((500, 333), (256, 256)), ((64, 64), (299, 299)), ((224, 224), (224, 224)),
          ((900, 40), (224, 224))]  # fmt: skip
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC,
           "lanczos": Image.Resampling.LANCZOS, "nearest": Image.Resampling.NEAREST}  # fmt: skip


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize(("source", "target"), SHAPES)
def test_resizing_equals_pillow_bit_for_bit(device, images, source, target, interpolation):
    pixels = images(3, max(source))[:, : source[0], : source[1]]
    resizer = Resizer(source, target, interpolation, device)
    found = resizer(torch.from_numpy(np.ascontiguousarray(pixels)).to(device)).cpu().numpy()
    # Which axis goes first depends on Pillow's version, and we keep to one of them: an axis at a time in our order.
    middle = (source[1], target[0]) if vertical_first(source, target) else (target[1], source[0])
    sizes, filtered = (middle, target[::-1]), FILTERS[interpolation]
    wanted = [
        np.asarray(reduce(lambda one, size: one.resize(size, filtered), sizes, Image.fromarray(p))) for p in pixels
    ]
    assert np.array_equal(found, np.stack(wanted))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fit", ["whole", "reference", "pad"])
def test_the_networks_input_is_that_of_the_processor(device, images, fit, channels):
    info = load_backbone("resnet18", weights="random").info
    pixels = torch.from_numpy(images(5, 64, channels))
    here = Preprocess(info, fit=fit, device=device)(pixels.to(device)).cpu()
    there = Preprocess(info, fit=fit)(pixels)
    assert torch.allclose(here, there, rtol=0, atol=1e-6)  # one multiplication and addition apart


@pytest.mark.parametrize("name", ["timm:test_resnet", "timm:test_vit", "squeezenet1_1"])
def test_rows_are_those_of_the_processor(forward, images, name, device, measured):
    pixels = images(8)
    here, there = (forward(name, batch_size=8, on=on)(pixels)[0] for on in (device, torch.device("cpu")))
    apart = np.linalg.norm(here - there, axis=1) / np.linalg.norm(there, axis=1)
    measured(network=name, apart=float(apart.max()))
    assert apart.max() < 1e-4


def test_whatever_the_program_around_has_set_float32_has_the_same_bits(device):
    program = [sys.executable, "-W", "ignore", "-c", PRINT_DIGESTS, str(device), *HOSTS]
    digests = subprocess.run(program, check=True, capture_output=True, text=True).stdout.split()
    assert len(digests) == len(HOSTS) and len(set(digests)) == 1


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_rows_do_not_depend_on_neighbours_place_or_turn(forward, images, precision, measured):
    run = forward(precision=precision)
    pixels = images()
    rows = run(pixels)[0]
    order = np.random.default_rng(1).permutation(len(pixels))
    twice = np.array_equal(run(pixels)[0], rows)
    permuted = np.array_equal(run(pixels[order])[0], rows[order])
    padded = np.array_equal(run(pixels[: len(pixels) // 2])[0], rows[: len(pixels) // 2])
    measured(precision=precision, twice=twice, permuted=permuted, padded=padded)
    assert twice and permuted and padded


def test_copies_that_go_on_alone_mix_nothing(forward, images):
    run, batches = forward(), [images(seed=seed) for seed in range(9)]
    alone = [run(batch)[0] for batch in batches]
    held = [run.submit(batch) for batch in batches]  # nine in flight, each with pinned memory of its own
    assert all(np.array_equal(one.result()[0], rows) for one, rows in zip(held, alone, strict=True))
    streamed = [done.rows[0] for done in stream(run, enumerate(batch.copy() for batch in batches))]
    assert all(np.array_equal(one, rows) for one, rows in zip(streamed, alone, strict=True))


@pytest.mark.gpu
def test_submitting_never_waits_for_the_device(forward, images):
    run, pixels = forward(precision="fp16"), images()
    run(pixels)
    torch.cuda.set_sync_debug_mode("error")
    try:
        pending = run.submit(pixels)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(pending.result()[0]) == len(pixels)


@pytest.mark.gpu
def test_memory_that_is_short_halves_the_pass_and_memory_that_is_not_there_is_one_line(forward, images, measured):
    total = torch.cuda.get_device_properties(0).total_memory
    run, pixels = forward("resnet50", batch_size=1024), images(1024, 64)
    wanted = forward("resnet50", batch_size=64)(pixels[:64])[0]
    torch.cuda.empty_cache()
    try:
        torch.cuda.set_per_process_memory_fraction(3e9 / total)
        rows = run(pixels)[0]
        measured(halved_to=run.pass_size)
        assert run.pass_size < 1024 and len(run.backoff) >= 1
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_allocated() + 1e6) / total)
        with pytest.raises(OutOfMemoryError, match="one image does not fit into the memory of cuda:0"):
            run(pixels)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert np.allclose(rows[:64], wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "text",
    ["CUDA out of memory. Tried to allocate 2 GiB", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate",
     "cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "Unable to find an engine to execute this computation"],
)  # fmt: skip
def test_every_word_for_no_room_halves_the_pass(forward, images, text):
    run, tried = forward(batch_size=4), []
    network = run._network

    def tight(inputs):
        tried.append(len(inputs))
        if len(inputs) > 2:
            raise RuntimeError(text)
        return network(inputs)

    run._network = tight
    assert len(run(images(4))[0]) == 4
    assert tried == [4, 2, 2]


@pytest.mark.gpu
def test_a_card_is_named_with_what_decides_on_the_last_bits(device):
    machine, settings = describe_machine(device), settings_here(device, "fp16", 64, False, 4)
    assert machine.name == torch.cuda.get_device_properties(0).name
    assert machine.memory_bytes == torch.cuda.get_device_properties(0).total_memory
    assert machine.name in settings.hardware and "cuDNN" in settings.hardware


@pytest.mark.gpu
def test_a_second_card_computes_on_itself(images):
    if torch.cuda.device_count() < 2:
        pytest.skip("one GPU here: cuda:1 was not tried")
    runs = [
        Forward(load_backbone("resnet18", weights="random"), fit="whole", device=torch.device("cuda", index),
                precision="fp32", batch_size=8)
        for index in (0, 1)
    ]  # fmt: skip
    before = torch.cuda.memory_allocated(0)
    first, second = (run(images(8))[0] for run in runs)
    assert np.allclose(first, second, rtol=1e-4, atol=1e-5)
    assert torch.cuda.memory_allocated(0) == before


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "densenet121", "torchvision:efficientnet_b0",
                                  "torchvision:convnext_tiny", "timm:vit_tiny_patch16_224", "torchvision:swin_t",
                                  "squeezenet1_1"])  # fmt: skip
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.gpu
def test_half_precision_agrees(forward, images, name, precision, measured):
    pixels = images(64)
    exact, rounded = (forward(name, precision=one)(pixels)[0] for one in ("fp32", precision))
    found = agreement(exact, rounded, precision)
    measured(network=name, precision=precision, cosine_p01=found.cosine_p01)
    # With random weights its activations leave the range of fp16: what measures says so, and bf16 is tried next.
    assert found.passed or (name, precision) == ("torchvision:efficientnet_b0", "fp16")


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "squeezenet1_1", "densenet121", "torchvision:vgg16",
                                  "torchvision:googlenet", "torchvision:regnet_y_400mf"])  # fmt: skip
def test_fused_convolutions_give_the_rows_of_the_network_as_it_is(forward, images, name, monkeypatch, measured):
    pixels = images(64)
    exact, fused = forward(name)(pixels)[0], forward(name, precision="fp16")
    rows = fused(pixels)[0]
    monkeypatch.setattr("medfeat.extraction.network.forward.fused_half", lambda *_: None)
    plain = forward(name, precision="fp16")(pixels)[0]
    found, usual = (agreement(exact, some, "fp16").cosine_p01 for some in (rows, plain))
    measured(network=name, cosine_p01=found, cosine_p01_not_fused=usual)
    assert fused.fused and 1 - found <= max(2 * (1 - usual), 1e-5)
    assert np.array_equal(fused(pixels)[0], rows)
    assert np.array_equal(fused(pixels[:7])[0], rows[:7])


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_compiled_rows_are_the_eager_ones(forward, images, precision, monkeypatch, measured):
    monkeypatch.delenv("TORCH_COMPILE_DISABLE")
    monkeypatch.setattr(torch._dynamo.config, "disable", False)
    torch._dynamo.utils.counters.clear()
    pixels = images(64)
    eager, compiled = (forward(precision=precision, compiled=compiled)(pixels)[0] for compiled in (False, True))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1  # else eager was compared with itself
    apart = np.linalg.norm(eager - compiled, axis=1) / np.linalg.norm(eager, axis=1)
    measured(precision=precision, apart=float(apart.max()))
    assert apart.max() < (1e-3 if precision == "fp32" else 5e-2)
