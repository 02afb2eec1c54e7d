"""Networks and preprocessing run on CUDA tensors without memory: a mix-up of devices shows without a GPU."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from medfeat.backbones import load_backbone
from medfeat.extraction.network.preprocess import Preprocess

CUDA = torch.device("cuda", 0)
DIMS = {"squeezenet1_1": 512, "resnet18": 512, "timm:vit_tiny_patch16_224": 192}


@pytest.mark.parametrize("name", DIMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_images_go_through_on_one_device(name, dtype):
    backbone = load_backbone(name, weights="random")
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, torch.no_grad():
        module = backbone.module
        for part in module.modules():
            for key, value in {**part._parameters, **part._buffers}.items():
                if value is not None:
                    there = mode.from_tensor(value).to(CUDA, dtype if value.is_floating_point() else value.dtype)
                    (part._parameters if key in part._parameters else part._buffers)[key] = there
        preprocess = Preprocess(backbone.info, fit="whole", device=CUDA, dtype=dtype)
        images = torch.empty((2, 28, 28, 3), dtype=torch.uint8, device=CUDA)
        inputs = preprocess(images)
        assert inputs.device == CUDA and inputs.dtype == dtype
        rows = module(inputs)[0]
    assert rows.device == CUDA
    assert tuple(rows.shape) == (2, DIMS[name])
