"""From a backbone's name to a frozen network and the preprocessing that belongs to it.

Importing this package imports no deep-learning library; loading a backbone does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medfeat.backbones.backbone_table import BACKBONES, COLOUR, Entry
from medfeat.backbones.naming import (
    backbone_names,
    brings_weights,
    describe,
    readiness,
    registered,
    takes_colour,
    takes_raw,
)
from medfeat.backbones.weights.part_spelling import join_part, split_part

if TYPE_CHECKING:
    from medfeat.backbones.backbone import Backbone
    from medfeat.backbones.libraries.own_network import backbone_from
    from medfeat.backbones.loading import layers_by_depth, load_backbone
    from medfeat.backbones.weights.weights_file import weights_digest

__all__ = [
    "BACKBONES",
    "COLOUR",
    "Backbone",
    "Entry",
    "backbone_from",
    "backbone_names",
    "brings_weights",
    "describe",
    "join_part",
    "layers_by_depth",
    "load_backbone",
    "readiness",
    "registered",
    "split_part",
    "takes_colour",
    "takes_raw",
    "weights_digest",
]

_LAZY = {
    "Backbone": "medfeat.backbones.backbone",
    "backbone_from": "medfeat.backbones.libraries.own_network",
    "layers_by_depth": "medfeat.backbones.loading",
    "load_backbone": "medfeat.backbones.loading",
    "weights_digest": "medfeat.backbones.weights.weights_file",
}


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
