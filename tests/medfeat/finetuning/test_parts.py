"""Rates, losses, low-rank additions, slices and augmentation, each against a value worked out elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from medfeat.datasets.changes import ALLOWED
from medfeat.datasets.medmnist_table import medmnist_sets
from medfeat.errors import UsageError
from medfeat.extraction.network.slice_pooling import SlicePool
from medfeat.finetuning.augment import augmentation
from medfeat.finetuning.defaults import FAMILIES, family_of, warning
from medfeat.finetuning.lora import add_low_rank, merge_low_rank
from medfeat.finetuning.losses import Loss, is_imbalanced
from medfeat.finetuning.rates import parameter_groups, rate_at
from medfeat.finetuning.training_settings import TrainingSettings
from medfeat.finetuning.tunable import pool_slices

from .tiny import SETTINGS, Network


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.patch = nn.Linear(4, 4)
        self.blocks = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3)))
        self.norm = nn.LayerNorm(4)


def test_layer_decay_gives_each_parameter_the_rate_worked_out_by_hand():
    network, head = Transformer(), nn.Linear(4, 2)
    settings = TrainingSettings(**SETTINGS | {"lr": 1e-3, "layer_decay": 0.5, "weight_decay": 0.1})
    by_id = {id(p): group for group in parameter_groups(network, head, settings) for p in group["params"]}
    # head and norm are layer 4, block 2 is layer 3, ..., what comes before the blocks is layer 0
    rates = {
        "cls_token": 1e-3 / 16, "patch.weight": 1e-3 / 16, "patch.bias": 1e-3 / 16, "blocks.0.weight": 1e-3 / 8,
        "blocks.1.weight": 1e-3 / 4, "blocks.2.weight": 1e-3 / 2, "norm.weight": 1e-3, "norm.bias": 1e-3,
    }  # fmt: skip
    parameters = dict(network.named_parameters())
    for name, rate in rates.items():
        assert by_id[id(parameters[name])]["lr"] == pytest.approx(rate), name
    assert by_id[id(head.weight)]["lr"] == 1e-3
    decays = {name: by_id[id(parameters[name])]["weight_decay"] for name in rates}
    assert {name for name, decay in decays.items() if decay} == {
        n for n in rates if n.endswith("weight") and n != "norm.weight"
    }


def test_the_rate_rises_then_falls_to_nothing():
    found = [rate_at(step, 100, 0.1) for step in range(100)]
    assert found[:10] == pytest.approx(np.arange(1, 11) / 10)
    expected = 0.5 * (1 + np.cos(np.pi * np.arange(90) / 90))
    assert found[10:] == pytest.approx(expected)


def onehot(y, k):
    return np.eye(k)[y]


def test_cross_entropy_is_torchs_with_smoothing():
    outputs, y = torch.randn(20, 4), np.arange(20) % 4
    loss = Loss("softmax", onehot(y, 4), TrainingSettings(**SETTINGS, smoothing=0.2))
    expected = functional.cross_entropy(outputs, torch.from_numpy(y), label_smoothing=0.2, reduction="none")
    torch.testing.assert_close(loss(outputs, torch.tensor(onehot(y, 4), dtype=torch.float32)), expected)


def test_balanced_weights_are_scikit_learns():
    from sklearn.utils.class_weight import compute_class_weight

    y = np.r_[np.zeros(60, int), np.ones(30, int), np.full(10, 2)]
    weights = torch.tensor(compute_class_weight("balanced", classes=np.arange(3), y=y), dtype=torch.float32)
    outputs = torch.randn(100, 3)
    loss = Loss("softmax", onehot(y, 3), TrainingSettings(**SETTINGS, class_weight="balanced"))
    expected = functional.cross_entropy(outputs, torch.from_numpy(y), weight=weights, reduction="none")
    torch.testing.assert_close(loss(outputs, torch.tensor(onehot(y, 3), dtype=torch.float32)), expected)


def test_focal_loss_is_torchvisions():
    from torchvision.ops import sigmoid_focal_loss

    outputs, targets = torch.randn(30, 5), (torch.rand(30, 5) < 0.4).float()
    loss = Loss("sigmoid", targets.numpy().astype(float), TrainingSettings(**SETTINGS, loss="focal"))
    expected = sigmoid_focal_loss(outputs, targets, alpha=-1, gamma=2, reduction="none").mean(1)
    torch.testing.assert_close(loss(outputs, targets), expected)


def test_labels_weigh_by_how_rare_they_are():
    targets = np.zeros((100, 2))
    targets[:10, 0] = targets[:50, 1] = 1
    loss = Loss("sigmoid", targets, TrainingSettings(**SETTINGS, class_weight="balanced"))
    # n / (2 n_present) and n / (2 n_absent): 5 and 0.5556 for the first label, 1 and 1 for the second
    np.testing.assert_allclose(loss.weights.numpy(), [[50 / 90, 1], [5, 1]], rtol=1e-6)


def test_numbers_are_compared_in_units_of_their_spread_and_have_no_classes():
    targets = np.array([[0.0], [200.0]])
    loss = Loss("identity", targets, TrainingSettings(**SETTINGS))
    assert loss(torch.tensor([[100.0]]), torch.tensor([[0.0]])).item() == pytest.approx(1.0)
    with pytest.raises(UsageError, match="regression"):
        Loss("identity", targets, TrainingSettings(**SETTINGS, loss="focal"))


def test_auto_balances_from_ten_to_one_on():
    assert is_imbalanced("softmax", onehot(np.r_[np.zeros(100, int), np.ones(10, int)], 2))
    assert not is_imbalanced("softmax", onehot(np.r_[np.zeros(90, int), np.ones(10, int)], 2))
    assert not is_imbalanced("identity", np.ones((3, 1)))


def test_an_untrained_addition_changes_nothing_and_a_trained_one_merges():
    network = nn.Sequential(Network(), nn.Linear(6, 5)).eval()
    x = torch.randn(4, 3, 8, 8)
    before, names = network(x).detach(), set(network.state_dict())
    assert add_low_rank(network, 2, seed=0) == 3
    torch.testing.assert_close(network(x), before, atol=1e-6, rtol=0)
    learning = {name for name, p in network.named_parameters() if p.requires_grad}
    assert learning and all(name.endswith((".A", ".B")) for name in learning)
    for name, parameter in network.named_parameters():
        if name.endswith(".B"):
            parameter.data.normal_()
    changed = network(x).detach()
    assert not torch.allclose(changed, before, atol=1e-3)
    merge_low_rank(network)
    assert set(network.state_dict()) == names
    torch.testing.assert_close(network(x), changed)


@pytest.mark.parametrize("policy", ["mean-concat", "max-concat", "mean-average", "max-average"])
def test_slices_are_pooled_as_extraction_pools_them(policy):
    rng = np.random.default_rng(0)
    rows, plane = rng.normal(size=(2 * 12, 5)).astype(np.float32), np.repeat(np.arange(6), 4)
    expected = SlicePool([policy], 2)
    for i in range(6):
        expected.add(i % 3, np.full(4, i // 3), rows[plane == i])
    found = pool_slices(torch.from_numpy(rows), torch.from_numpy(plane), 2, policy)
    np.testing.assert_allclose(found.numpy(), expected.result(policy), rtol=1e-5, atol=1e-6)


def test_the_table_of_augmentation_covers_the_18_sets_and_says_why():
    assert set(ALLOWED) == set(medmnist_sets())
    assert all(allowed.why for allowed in ALLOWED.values())
    sided = ("chestmnist", "pneumoniamnist", "organamnist", "organcmnist", "organsmnist")
    assert not any("mirror" in ALLOWED[name].changes for name in sided)


def test_changes_are_drawn_from_the_generator_and_mirror_exactly():
    x = torch.randn(64, 3, 8, 8)
    make = augmentation(("mirror",))
    one, two = (make(torch.Generator().manual_seed(5))(x) for _ in range(2))
    assert torch.equal(one, two)
    same = (one == x).flatten(1).all(1)
    assert 0 < same.sum() < 64 and torch.equal(one[~same], x[~same].flip(3))


def test_a_shift_moves_by_a_sixteenth_at_most_and_the_border_goes_on():
    x = torch.arange(32.0).expand(200, 3, 32, 32)  # each column holds its number
    moved = augmentation(("shift",))(torch.Generator().manual_seed(0))(x)
    by = moved[:, 0, 0, 16] - 16
    assert set(by.tolist()) == {-2.0, -1.0, 0.0, 1.0, 2.0}
    expected = (x[:, 0, 0] + by[:, None]).clamp(0, 31)
    assert torch.equal(moved, expected[:, None, None].expand(200, 3, 32, 32))


def test_families_are_told_by_their_attention():
    import timm

    assert family_of(timm.create_model("test_vit")).name == "transformer"
    assert family_of(timm.create_model("test_efficientnet")).name == "convolutional"
    assert family_of(timm.create_model("test_resnet")).name == "convolutional"


def test_a_rate_known_to_destroy_gets_a_loud_word():
    vit, cnn = FAMILIES["transformer"], FAMILIES["convolutional"]
    assert "WARNING" in (warning(vit, "full", 1e-3) or "") and "2e-05" in (warning(vit, "full", 1e-3) or "")
    assert (
        warning(vit, "full", 2e-5) is None and warning(cnn, "full", 1e-3) is None and warning(vit, "head", 1e-3) is None
    )
