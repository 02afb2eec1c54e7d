"""Named tensors, and how a library makes those of an older file fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import torch
    from torch import nn

State: TypeAlias = "Mapping[str, torch.Tensor]"
Adapt: TypeAlias = "Callable[[dict[str, torch.Tensor], nn.Module], dict[str, torch.Tensor]]"
