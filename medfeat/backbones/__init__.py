"""From a backbone's name to a frozen network and the preprocessing that belongs to it.

Importing this package imports no deep-learning library; loading a backbone does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medfeat.backbones.names import (
    backbone_names,
    brings_weights,
    describe,
    readiness,
    registered,
    takes_colour,
    takes_raw,
)
from medfeat.backbones.spelling import join_part, split_part
from medfeat.backbones.table import BACKBONES, COLOUR, Entry

if TYPE_CHECKING:
    from medfeat.backbones.backbone import Backbone
    from medfeat.backbones.load import load_backbone
    from medfeat.backbones.own import backbone_from
    from medfeat.backbones.weights import weights_digest

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
    "backbone_from": "medfeat.backbones.own",
    "load_backbone": "medfeat.backbones.load",
    "weights_digest": "medfeat.backbones.weights",
}


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
