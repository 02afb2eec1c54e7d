"""Where a network looked: toy networks whose answer is known, and slopes of a head found by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from torch import nn

from medfeat.backbones import Backbone, describe
from medfeat.errors import UsageError
from medfeat.extraction.network.saliency import GRAD_CAM, ROLLOUT, saliency
from medfeat.types import View
from medfeat.workflows.looking.saliency import over, slopes

INFO = replace(describe("resnet18"), input_size=32)


class Brightness(nn.Module):
    """Two feature maps, how bright and how dark each quarter is, and their means as the embedding."""

    def __init__(self):
        super().__init__()
        self.pool, self.maps = nn.AvgPool2d(8), nn.Identity()

    def forward(self, x):
        bright = self.pool(x[:, :1])
        return (self.maps(torch.cat([bright.clamp(min=0), (-bright).clamp(min=0)], 1)).mean((2, 3)),)


def backbone(module, dim):
    return Backbone(INFO, module.eval(), (View(None, "avg", None),), (dim,))


def test_grad_cam_is_bright_where_the_score_comes_from():
    image = np.zeros((32, 32), np.uint8)
    image[:8, 8:16] = 255
    heat, method = saliency(backbone(Brightness(), 2), [image, image], np.eye(2, dtype=np.float32), fit="whole")
    assert method == GRAD_CAM and heat.shape == (2, 4, 4)
    assert np.unravel_index(heat[0].argmax(), (4, 4)) == (0, 1) and heat[0].sum() == pytest.approx(1)
    assert heat[1][0, 1] == 0 and heat[1].max() == 1


def test_rollout_is_the_product_of_what_each_layer_attends_to():
    torch.manual_seed(0)
    vit = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2,
                            num_classes=0)  # fmt: skip

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.vit = vit

        def forward(self, x):
            return (self.vit(x),)

    image = np.random.default_rng(0).integers(0, 255, (32, 32), dtype=np.uint8)
    fused = [block.attn.fused_attn for block in vit.blocks]
    (heat,), method = saliency(backbone(Wrapped(), 16), [image], np.ones((1, 16), np.float32), fit="whole")
    assert method == ROLLOUT and heat.shape == (4, 4) and heat.max() == 1
    assert [block.attn.fused_attn for block in vit.blocks] == fused

    seen = []
    for block in vit.blocks:
        block.attn.register_forward_hook(lambda part, given, _: seen.append(_attention(part, given[0])))
    from medfeat.extraction.network.preprocess import Preprocess

    with torch.no_grad():
        vit(Preprocess(INFO)(torch.from_numpy(image[None])))
    first, second = (0.5 * one + 0.5 * torch.eye(17) for one in seen)
    wanted = (second @ first)[0, 1:].reshape(4, 4).numpy()
    assert np.allclose(heat, wanted / wanted.max(), atol=1e-5)


def _attention(part, x):
    q, k, _ = part.qkv(x).reshape(1, 17, 3, 2, 8).permute(2, 0, 3, 1, 4)
    return (q @ k.transpose(-2, -1) * part.scale).softmax(-1)[0].mean(0)


def test_a_network_without_maps_is_refused():
    class Flat(nn.Module):
        def forward(self, x):
            return (x.flatten(1)[:, :2],)

    with pytest.raises(UsageError, match="neither feature maps nor attention"):
        saliency(backbone(Flat(), 2), [np.zeros((32, 32), np.uint8)], np.ones((1, 2), np.float32), fit="whole")


def test_slopes_of_a_linear_head_are_its_weights_and_of_votes_nothing():
    w = np.array([2.0, -1.0, 0.0])
    assert np.allclose(slopes(lambda X: 1 / (1 + np.exp(-(X @ w)))[:, None], np.array([[1.0, 0.5, 3.0]])), w, atol=1e-3)
    assert not slopes(lambda X: np.tile([[0.2, 0.8]], (len(X), 1)), np.ones((1, 3))).any()


def test_heat_is_drawn_over_a_picture_and_leaves_the_rest():
    drawn = over(np.full((8, 8), 100, np.uint8), np.array([[1.0, 0.0], [0.0, 0.0]], np.float32))
    assert drawn.shape == (8, 8, 3) and drawn[0, 0, 0] > 150 and (drawn[7, 7] == 100).all()
