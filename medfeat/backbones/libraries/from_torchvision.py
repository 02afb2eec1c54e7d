"""Networks of torchvision: where each family keeps its last features and its classifier."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from medfeat.backbones.backbone_table import Entry
from medfeat.backbones.features.views_of import Anatomy, Read
from medfeat.backbones.library import Access, Network, on_meta
from medfeat.backbones.weights.fitting import load_strictly
from medfeat.backbones.weights.hub import file_of_url
from medfeat.backbones.weights.state import State
from medfeat.errors import UsageError, unknown_name
from medfeat.types import BackboneInfo


@dataclass(frozen=True)
class TorchvisionFamily:
    """One architecture of torchvision.

    Attributes
    ----------
    head
        Dotted name of the classifier, which is taken out; a checkpoint's parameters under it are ignored.
    anatomy
        How to read what is left.
    options
        Arguments of the constructor.
    ignored
        Further parameters a checkpoint has and an embedding does not need: auxiliary classifiers.
    """

    head: str
    anatomy: Anatomy
    options: dict[str, Any] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


def _chain(*names: str) -> Read:
    def features(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
        for name in names:
            x = getattr(network, name)(x)
        return x

    return features


def _pre_logits(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return network.classifier(torch.flatten(network.avgpool(x), 1))  # type: ignore[no-any-return, operator]


def _convnext_average(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return torch.flatten(network.classifier[0](network.avgpool(x)), 1)  # type: ignore[index, operator]


def _densenet(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return torch.relu(network.features(x))  # type: ignore[operator]


def _swin(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return network.permute(network.norm(network.features(x)))  # type: ignore[no-any-return, operator]


def _vit(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    tokens = network._process_input(x)  # type: ignore[operator]
    first = network.class_token.expand(len(x), -1, -1)  # type: ignore[operator]
    return network.encoder(torch.cat([first, tokens], 1))  # type: ignore[no-any-return, operator]


def _transformed(chain: Read) -> Read:
    def features(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
        # these weights want another normalisation than the library's pipeline gives; the network mends it itself
        return chain(network, network._transform_input(x))  # type: ignore[operator]

    return features


_RESNET = _chain("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
_INCEPTION = _chain(
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"),
    *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    *("Mixed_7a", "Mixed_7b", "Mixed_7c"),
)
_GOOGLENET = _chain(
    *("conv1", "maxpool1", "conv2", "conv3", "maxpool2", "inception3a", "inception3b", "maxpool3"),
    *("inception4a", "inception4b", "inception4c", "inception4d", "inception4e", "maxpool4"),
    *("inception5a", "inception5b"),
)
_SHUFFLENET = _chain("conv1", "maxpool", "stage2", "stage3", "stage4", "conv5")
_HIDDEN = {"pre-logits": _pre_logits}
_NO_INIT = {"init_weights": False, "aux_logits": False, "transform_input": True}

FAMILIES: dict[str, TorchvisionFamily] = {
    "AlexNet": TorchvisionFamily("classifier.6", Anatomy(_chain("features"), "pre-logits", _HIDDEN)),
    "VGG": TorchvisionFamily("classifier.6", Anatomy(_chain("features"), "pre-logits", _HIDDEN)),
    "SqueezeNet": TorchvisionFamily("classifier", Anatomy(_chain("features"), "avg")),
    "DenseNet": TorchvisionFamily("classifier", Anatomy(_densenet, "avg")),
    "ResNet": TorchvisionFamily("fc", Anatomy(_RESNET, "avg")),
    "RegNet": TorchvisionFamily("fc", Anatomy(_chain("stem", "trunk_output"), "avg")),
    "ShuffleNetV2": TorchvisionFamily("fc", Anatomy(_SHUFFLENET, "avg")),
    "MNASNet": TorchvisionFamily("classifier", Anatomy(_chain("layers"), "avg")),
    "MobileNetV2": TorchvisionFamily("classifier", Anatomy(_chain("features"), "avg")),
    "MobileNetV3": TorchvisionFamily("classifier.3", Anatomy(_chain("features"), "pre-logits", _HIDDEN)),
    "EfficientNet": TorchvisionFamily("classifier", Anatomy(_chain("features"), "avg")),
    "ConvNeXt": TorchvisionFamily("classifier.2", Anatomy(_chain("features"), "avg", {"avg": _convnext_average})),
    "SwinTransformer": TorchvisionFamily("head", Anatomy(_swin, "avg")),
    "VisionTransformer": TorchvisionFamily("heads", Anatomy(_vit, "cls", prefix=1)),
    "Inception3": TorchvisionFamily("fc", Anatomy(_transformed(_INCEPTION), "avg"), _NO_INIT, ("AuxLogits",)),
    "GoogLeNet": TorchvisionFamily("fc", Anatomy(_transformed(_GOOGLENET), "avg"), _NO_INIT, ("aux1", "aux2")),
}
"""How to read each architecture, by the name of its class."""

_RENAMED = (
    # DenseNet, from the time when names of modules might have dots in them: its official weights are of that time
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)"), r"\1\2"),
    # VisionTransformer, whose blocks had named layers before they became a sequence
    (re.compile(r"(\.mlp)\.linear_1\."), r"\1.0."),
    (re.compile(r"(\.mlp)\.linear_2\."), r"\1.3."),
)
"""Old names of parameters and what torchvision calls them now; it renames them in places that we do not pass."""

_OPTIONS = {"inception_v3": "Inception3", "googlenet": "GoogLeNet"}
_SIZED = "vit_"
"""How the networks begin whose number of positions, and so the size of the images, is fixed when they are built."""


def describe(source_id: str, access: Access) -> Entry:
    """Describe ``NAME[.WEIGHTS]`` from torchvision's own table of weights."""
    del access
    name, _, tag = source_id.partition(".")
    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        raise unknown_name("torchvision backbone", name, names)
    members = {member.name: member for member in torchvision.models.get_model_weights(name)}
    if tag and tag not in members:
        raise unknown_name(f"weights of torchvision:{name}", tag, members)
    weights = members[tag] if tag else torchvision.models.get_model_weights(name).DEFAULT
    transforms = weights.transforms()
    return Entry(
        BackboneInfo(
            name=f"torchvision:{source_id}",
            source="torchvision",
            source_id=f"{name}.{weights.name}",
            input_size=transforms.crop_size[0],
            mean=tuple(transforms.mean),
            std=tuple(transforms.std),
            interpolation=transforms.interpolation.value,
            pool=_family(name).anatomy.pool,
            licence=weights.meta.get("license", "BSD-3-Clause"),
            pretraining="ImageNet-1k" if weights.name.startswith("IMAGENET1K_V") else weights.name,
            resize=transforms.resize_size[0],
        )
    )


def _family(name: str) -> TorchvisionFamily:
    if name in _OPTIONS:
        return FAMILIES[_OPTIONS[name]]
    kind = type(on_meta(lambda: torchvision.models.get_model(name, weights=None))).__name__
    if kind not in FAMILIES:
        raise UsageError(f"torchvision:{name} ({kind}) is not an architecture medfeat can read: try timm:{name}")
    return FAMILIES[kind]


def build(entry: Entry, access: Access) -> Network:
    """Build the architecture and take its classifier out."""
    del access
    name = entry.info.source_id.partition(".")[0]
    family = FAMILIES[_OPTIONS[name]] if name in _OPTIONS else None
    options = dict(family.options) if family else {}
    if name.startswith(_SIZED):
        options["image_size"] = entry.info.input_size
    module = torchvision.models.get_model(name, weights=None, **options)
    family = family or FAMILIES[type(module).__name__]
    parent, _, leaf = family.head.rpartition(".")
    setattr(module.get_submodule(parent), leaf, nn.Identity())
    heads = tuple(f"{prefix}." for prefix in (family.head, *family.ignored))
    return Network(module, family.anatomy, heads, _renamed)


def _renamed(state: dict[str, torch.Tensor], module: nn.Module) -> dict[str, torch.Tensor]:
    del module
    for old, new in _RENAMED:
        state = {old.sub(new, name): tensor for name, tensor in state.items()}
    return state


def locate(info: BackboneInfo, access: Access) -> tuple[BackboneInfo, Path]:
    """Find the weights in torch's hub cache, downloading them on first use."""
    name, _, tag = info.source_id.partition(".")
    weights = torchvision.models.get_model_weights(name)[tag]
    return info, file_of_url(weights.url, offline=access.offline, progress=access.progress)


def fill(network: Network, state: State, entry: Entry, origin: str) -> tuple[nn.Module, list[str]]:
    """Load strictly."""
    del entry
    ignored = load_strictly(network.module, state, heads=network.heads, adapt=network.adapt, origin=origin)
    return network.module, ignored
