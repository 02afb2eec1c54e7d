"""What is registered, or given as a module, is treated like what is built in: pooling, layers, weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from medfeat.backbones import BACKBONES, Entry, backbone_from, load_backbone, registered
from medfeat.errors import UsageError, WeightsError
from medfeat.types import BackboneInfo, View
from medfeat.workflows.extract import extract
from medfeat.workflows.predict import predict
from medfeat.workflows.probe import probe
from medfeat_cache import FeatureStore

IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def maps():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 3))


class Tokens(nn.Module):
    """A class token, one register and patches: (B, 2 + 16, 6)."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 4, 4)
        self.first = nn.Parameter(torch.ones(1, 2, 6))

    def forward(self, images):
        patches = self.patches(images).flatten(2).transpose(1, 2)
        return torch.cat([self.first.expand(len(images), -1, -1), patches], 1)


def vectors():
    torch.manual_seed(2)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 7))


@pytest.fixture
def register():
    """Register a network for one test; returns its name."""
    names = []

    def add(build, pool, *, name="mine", dim=0, **options):
        info = BackboneInfo(
            name=name, source="clinic", source_id="1", input_size=16, mean=(0.0,) * 3, std=(1.0,) * 3,
            interpolation="bilinear", pool=pool, dim=dim,
        )  # fmt: skip
        BACKBONES.replace(name, Entry(info, build=build, **options))
        names.append(name)
        return name

    yield add
    for name in dict.fromkeys(names):
        BACKBONES.remove(name)


@pytest.mark.parametrize(
    ("build", "declared", "by_hand"),
    [
        (maps, "avg", lambda x: x.mean((2, 3))),
        (maps, "max", lambda x: x.amax((2, 3))),
        (Tokens, "cls", lambda x: x[:, 0]),
        (vectors, "avg", lambda x: x),
        (vectors, "none", lambda x: x),
    ],
)
def test_the_declared_pooling_is_applied(register, build, declared, by_hand):
    torch.manual_seed(3)
    network = build()
    backbone = load_backbone(register(lambda: network, declared))
    expected = by_hand(network(IMAGES))
    assert backbone.views == (View(pool=declared),)
    assert backbone.dims == (expected.shape[1],)
    torch.testing.assert_close(backbone.module(IMAGES)[0], expected)


def test_pooling_and_layers_are_chosen_as_of_any_network(register):
    network = maps()
    name = register(lambda: network, "avg")
    asked = (View(), View(pool="max"), View("0"), View("0", "max"))
    backbone = load_backbone(name, views=asked)
    first = network[0](IMAGES)
    last = network(IMAGES)
    expected = [last.mean((2, 3)), last.amax((2, 3)), first.mean((2, 3)), first.amax((2, 3))]
    assert backbone.dims == (4, 4, 5, 5)
    for found, wanted in zip(backbone.module(IMAGES), expected, strict=True):
        torch.testing.assert_close(found, wanted)


def test_declared_tokens_in_front_are_left_out_of_the_mean(register):
    network = Tokens()
    name = register(lambda: network, "mean", prefix=2)
    torch.testing.assert_close(load_backbone(name).module(IMAGES)[0], network(IMAGES)[:, 2:].mean(1))


@pytest.mark.parametrize(
    ("build", "declared", "said"),
    [
        (maps, "cls", "declares pool 'cls', and its features of 4x12x12 an image are pooled by avg, max, tokens"),
        (nn.Identity, "avg", None),
        (lambda: nn.Conv2d(1, 2, 3), "avg", "does not take images of \\(2, 3, 16, 16\\)"),
        (lambda: nn.Conv3d(1, 1, 1), "avg", "does not take images"),
        (lambda: nn.Unflatten(1, (3, 1)), "avg", "gives 5 axes"),
        (lambda: "no module", "avg", "must build a torch.nn.Module, got str"),
    ],
)
def test_features_that_do_not_fit_what_is_declared_are_one_line(register, build, declared, said):
    name = register(build, declared)
    if said is None:
        assert load_backbone(name).dims == (3,)
        return
    with pytest.raises(UsageError, match=said) as caught:
        load_backbone(name)
    assert "\n" not in str(caught.value)


def test_maps_of_a_network_declared_to_give_vectors_are_not_flattened_in_silence(register):
    backbone = load_backbone(register(maps, "none", dim=4))
    with pytest.raises(UsageError, match="declares pool 'none' and gives features of 4 axes"):
        backbone.module(IMAGES)


def test_weights_come_from_a_file_strictly(register, tmp_path):
    name = register(maps, "avg")
    other = maps()
    with torch.no_grad():
        other[0].weight.mul_(2)
    state = {f"module.{key}": tensor for key, tensor in other.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "w.pt")
    backbone = load_backbone(name, weights=tmp_path / "w.pt")
    assert backbone.info.origin == "file"
    torch.testing.assert_close(backbone.module(IMAGES)[0], other(IMAGES).mean((2, 3)))
    torch.save({"another.weight": torch.ones(2)}, tmp_path / "wrong.pt")
    with pytest.raises(WeightsError, match="does not fit"):
        load_backbone(name, weights=tmp_path / "wrong.pt")


def test_random_weights_are_drawn_from_the_seed_and_called_random(register):
    trained = maps()
    name = register(lambda: trained, "avg")
    one, same, other = (load_backbone(name, weights="random", seed=seed) for seed in (5, 5, 6))
    assert one.info.name == "mine-random5" and one.info.origin == "random"
    assert one.info.weights_digest == same.info.weights_digest != other.info.weights_digest
    pretrained = load_backbone(register(maps, "avg", name="again"))
    assert pretrained.info.weights_digest != one.info.weights_digest


def test_what_cannot_be_drawn_is_refused_by_its_name_unless_the_entry_says_how(register):
    with pytest.raises(UsageError, match="nothing says how to draw first"):
        load_backbone(register(Tokens, "cls"), weights="random")
    name = register(Tokens, "cls", untrained=Tokens)
    assert load_backbone(name, weights="random").info.origin == "random"


def test_the_network_that_is_given_is_never_changed():
    network = maps().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    backbone = load_backbone_of(backbone_from(network, input_size=16, mean=0.5, std=0.5, name="given"))
    backbone.module.half()
    assert network.training and all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def load_backbone_of(entry):
    BACKBONES.replace(entry.info.name, entry)
    try:
        return load_backbone(entry.info.name)
    finally:
        BACKBONES.remove(entry.info.name)


@pytest.mark.parametrize(
    ("network", "options", "pool", "dim"),
    [(maps, {}, "avg", 4), (vectors, {}, "none", 7), (Tokens, {"pool": "mean", "prefix": 2}, "mean", 6)],
)
def test_a_module_s_own_pooling_is_told_from_its_features(network, options, pool, dim):
    entry = backbone_from(network(), input_size=16, mean=0.5, std=(0.1, 0.2, 0.3), **options)
    assert (entry.info.pool, entry.info.dim) == (pool, dim)
    assert (entry.info.mean, entry.info.std) == ((0.5,) * 3, (0.1, 0.2, 0.3))
    assert entry.info.name == type(network()).__name__.lower()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "resnet18"}, "that of a registered backbone"),
        ({"name": "a/b"}, "name must be"),
        ({"input_size": 0}, "input_size must be"),
        ({"mean": (0.5, 0.5)}, "mean must be one number or three"),
        ({"std": 0}, "std above 0"),
    ],
)
def test_what_cannot_be_of_a_module_is_one_line(options, said):
    with pytest.raises(UsageError, match=said):
        backbone_from(maps(), **{"input_size": 16, "mean": 0.5, "std": 0.5, **options})


def test_tokens_are_never_pooled_by_guess():
    with pytest.raises(UsageError, match="gives tokens: say pool="):
        backbone_from(Tokens(), input_size=16, mean=0.5, std=0.5)


def test_networks_of_the_same_tensors_that_do_other_things_make_other_stores(cache_root):
    images = np.random.default_rng(0).integers(0, 256, (8, 20, 20), np.uint8)
    conv = nn.Conv2d(3, 4, 3)
    found = []
    for activation in (nn.ReLU(), nn.GELU()):
        entry = backbone_from(nn.Sequential(conv, activation), input_size=16, mean=0.5, std=0.5, name="twin")
        found.append(extract(images, entry, cache_dir=cache_root, device="cpu", precision="fp32").stores[0])
    assert found[0].path != found[1].path and found[1].action == "compute"
    with FeatureStore(found[0].path) as one, FeatureStore(found[1].path) as other:
        assert not np.array_equal(one.embeddings("all"), other.embeddings("all"))
    BACKBONES.remove("twin")


def test_another_network_under_the_same_name_is_not_given_the_old_store(register, cache_root):
    images = np.random.default_rng(0).integers(0, 256, (8, 20, 20), np.uint8)
    options = {"cache_dir": cache_root, "device": "cpu", "precision": "fp32", "name": "eight"}
    network = maps()
    first = extract(images, register(lambda: network, "avg"), **options).stores[0]
    assert extract(images, "mine", **options).stores[0].action == "reuse"
    with torch.no_grad():
        network[0].weight.mul_(2)
    second = extract(images, "mine", **options).stores[0]
    assert second.action == "compute" and second.path != first.path


@pytest.fixture
def module_store(cache_root):
    """Sixty labelled images embedded with a module called `given`; returns how to give it again."""

    def give(**options):
        return backbone_from(maps(), **{"input_size": 16, "mean": 0.5, "std": 0.5, "name": "given", **options})

    images = np.random.default_rng(0).integers(0, 256, (60, 20, 20), np.uint8)
    images[::2] //= 4
    labelled = list(zip(images, [row % 2 for row in range(60)], strict=True))
    options = {"cache_dir": cache_root, "device": "cpu", "precision": "fp32", "name": "sixty"}
    yield lambda **changes: (extract(labelled, give(**changes), **options).stores[0], images)
    BACKBONES.remove("given")


@pytest.mark.parametrize("change", [{"mean": 0.4}, {"std": 0.2}, {"input_size": 20}, {"interpolation": "bilinear"}])
def test_other_preprocessing_under_the_same_name_makes_another_store(module_store, change):
    first, _ = module_store()
    assert module_store()[0].action == "reuse"
    second, _ = module_store(**change)
    assert second.action == "compute" and second.path != first.path


def test_what_comes_before_the_patches_is_part_of_what_a_module_is():
    options = {"input_size": 16, "mean": 0.5, "std": 0.5, "pool": "mean"}
    assert (
        backbone_from(Tokens(), prefix=2, **options).info.source_id != backbone_from(Tokens(), **options).info.source_id
    )


def test_a_module_predicts_until_it_is_another_one_or_gone(module_store, cache_root, tmp_path):
    _, images = module_store()
    made = probe("sixty", "given", head="linear", cache_dir=cache_root, resamples=20).runs[0]
    for row in range(4):
        Image.fromarray(images[row]).save(tmp_path / f"{row}.png")
    by_file = predict(made.key, tmp_path, cache_dir=cache_root, device="cpu")
    cached = predict(made.key, data="sixty", cache_dir=cache_root)
    rows = [cached.ids.tolist().index(f"all/{row}") for row in range(4)]
    np.testing.assert_allclose(by_file.scores, cached.scores[rows], rtol=1e-5)
    registered(backbone_from(maps(), input_size=16, mean=0.4, std=0.5, name="given"))
    with pytest.raises(WeightsError, match=r"given is not the network its store was made with: its mean is"):
        predict(made.key, tmp_path, cache_dir=cache_root, device="cpu")
    kept = BACKBONES["given"]
    BACKBONES.remove("given")
    with pytest.raises(WeightsError, match=r"given was a network given in Python .* medfeat.extend.registered"):
        predict(made.key, tmp_path, cache_dir=cache_root, device="cpu")
    registered(kept)
