"""Texts are read in float32 that is float32, as images are, beside a program that set bf16 inside of it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from medfeat.backbones.text_tower import TextTower


class Model:
    """Tells how exactly products are computed while it reads texts."""

    config = SimpleNamespace(model_type="clip", text_config=SimpleNamespace(max_position_embeddings=4))

    def __init__(self):
        self.seen = []

    def get_text_features(self, ids):
        self.seen.append(torch.backends.mkldnn.matmul.fp32_precision)
        return torch.ones(len(ids), 3)


@pytest.fixture
def bf16_inside():
    before = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    yield
    torch.backends.mkldnn.matmul.fp32_precision = before


def test_whatever_the_program_around_has_set_texts_have_the_same_vectors(bf16_inside):
    model = Model()
    tower = TextTower(model, lambda texts, **_: {"ids": texts})
    assert np.array_equal(tower.vectors(["a scan", "another"]), np.ones((2, 3), np.float32))
    assert model.seen == ["ieee"]
    assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"
