"""From what a person typed to a registry entry."""

from __future__ import annotations

import importlib

from medfeat.backbones.network import Access, Library
from medfeat.backbones.table import BACKBONES, Entry
from medfeat.errors import UsageError
from medfeat.types import BackboneInfo

LIBRARIES = ("torchvision", "timm", "hf")
"""Prefixes that open a whole library: ``timm:resnet10t``."""


def backbone_names() -> list[str]:
    """Return every short name, in the table's order."""
    return list(BACKBONES)


def describe(name: str, *, offline: bool = True) -> BackboneInfo:
    """Say what a name stands for, without building anything.

    Parameters
    ----------
    name
        A short name (imports no deep-learning library), ``timm:NAME[.TAG]``, ``torchvision:NAME[.WEIGHTS]`` or
        ``hf:OWNER/REPO[@REVISION]``.
    offline
        Make no network call; an ``hf:`` repository must then be in the cache.

    Returns
    -------
    BackboneInfo
        Without the digest of the weights.

    Raises
    ------
    UsageError
        For an unknown name, with close ones named.
    MissingFileError
        When an ``hf:`` repository's configuration is not there.

    Examples
    --------
    >>> describe("resnet18").input_size
    224
    """
    return find(name, Access(offline=offline)).info


def find(name: str, access: Access) -> Entry:
    """Return the registered entry of a short name, or one made from a library's own description."""
    prefix, colon, rest = name.partition(":")
    if not colon or name in BACKBONES:
        return BACKBONES[name]
    if prefix not in LIBRARIES or not rest:
        forms = "timm:NAME[.TAG], torchvision:NAME[.WEIGHTS] or hf:OWNER/REPO[@REVISION]"
        raise UsageError(f"backbone must be a short name, {forms}, got {name!r}")
    return library_of(prefix).describe(rest, access)


def library_of(source: str) -> Library:
    """Import what is known of one library: ``torchvision``, ``timm`` or ``hf``."""
    library: Library = importlib.import_module(f"medfeat.backbones.from_{source}")  # type: ignore[assignment]
    return library
