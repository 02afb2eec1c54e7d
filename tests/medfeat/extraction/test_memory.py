"""Running out of memory is known by every name that the libraries have for it, and halves the pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medfeat.backbones import load_backbone
from medfeat.errors import OutOfMemoryError
from medfeat.extraction.network import forward
from medfeat.extraction.network.device import is_out_of_memory
from medfeat.extraction.network.forward import Forward, Pending

CPU = torch.device("cpu")
IMAGES = np.random.default_rng(0).integers(0, 256, (8, 20, 20, 3), dtype=np.uint8)
# As torch 2.x, cuBLAS and cuDNN word it.
NO_ROOM = [
    "CUDA out of memory. Tried to allocate 2.00 GiB",
    "CUDA error: out of memory",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "GET was unable to find an engine to execute this computation",
    "CUDA driver error: cudaErrorMemoryAllocation",
    "MPS backend out of memory (MPS allocated: 18.00 GB)",
]
OTHERS = ["CUDA error: an illegal memory access was encountered", "mat1 and mat2 shapes cannot be multiplied", ""]


@pytest.mark.parametrize("text", NO_ROOM)
def test_it_is_known_by_its_text(text):
    assert is_out_of_memory(RuntimeError(text))
    assert not is_out_of_memory(ValueError(text))


@pytest.mark.parametrize("text", OTHERS)
def test_other_failures_are_not_taken_for_it(text):
    assert not is_out_of_memory(RuntimeError(text))


def test_the_processors_own_words_are_known():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


class Tight(torch.nn.Module):
    """Has room for two images, and says so in cuDNN's words."""

    def forward(self, images):
        if len(images) > 2:
            raise RuntimeError(NO_ROOM[4])
        return (images.mean(dim=(2, 3)),)


def network(module):
    backbone = load_backbone("squeezenet1_1", weights="random")
    object.__setattr__(backbone, "module", module)
    return Forward(backbone, fit="whole", device=CPU, precision="fp32", batch_size=8)


def test_the_pass_is_halved_until_it_fits():
    tight = network(Tight())
    rows = tight(IMAGES)[0]
    assert tight.backoff == [4, 2] and tight.pass_size == 2
    assert rows.shape == (8, 3)
    alone = network(Tight())
    assert np.array_equal(rows, np.concatenate([alone(IMAGES[i : i + 2])[0] for i in range(0, 8, 2)]))


def test_room_for_the_result_counts_too(monkeypatch):
    class Pinned(Pending):
        def __init__(self, outputs):
            if tight.pass_size > 4:
                raise RuntimeError("CUDA error: out of memory")
            super().__init__(outputs)

    monkeypatch.setattr(forward, "Pending", Pinned)
    tight = network(Tight())
    assert tight(IMAGES)[0].shape == (8, 3)


def test_where_one_image_is_too_large_the_reason_is_named():
    class Full(torch.nn.Module):
        def forward(self, images):
            raise RuntimeError(NO_ROOM[2])

    with pytest.raises(OutOfMemoryError, match=r"one image .* memory of cpu \(CUDA error: CUBLAS_STATUS_ALLOC_FAILED"):
        network(Full())(IMAGES)
