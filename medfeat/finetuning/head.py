"""The trainable head: fixed standardisation with train statistics, then one linear layer, as a linear probe has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Link = Literal["softmax", "sigmoid", "identity"]


@dataclass(frozen=True)
class HeadStart:
    """Where a head starts, and what it answers.

    Attributes
    ----------
    mean, scale
        (d,) statistics of the features it was trained on.
    coef, intercept
        (c, d) and (c,) of the standardised features.
    link
        ``softmax`` over c classes, ``sigmoid`` for each of c labels (one for two classes), or ``identity`` for numbers.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]
    link: Link

    def at_zero(self) -> HeadStart:
        """Return the same head before it has learnt anything."""
        return HeadStart(self.mean, self.scale, np.zeros_like(self.coef), np.zeros_like(self.intercept), self.link)


class TrainableHead(nn.Module):
    """(n, d) features to (n, c) outputs before the link.

    Parameters
    ----------
    start
        Its values.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, start: HeadStart) -> None:
        super().__init__()
        self.link = start.link
        self.register_buffer("mean", torch.tensor(start.mean, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(start.scale, dtype=torch.float32))
        self.weight = nn.Parameter(torch.tensor(np.atleast_2d(start.coef), dtype=torch.float32))
        self.bias = nn.Parameter(torch.tensor(np.atleast_1d(start.intercept), dtype=torch.float32))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Standardise and project, in float32 whatever the features came in."""
        with torch.autocast(features.device.type, enabled=False):
            standardised = (features.float() - self.mean) / self.scale
            return nn.functional.linear(standardised, self.weight, self.bias)

    def values(self) -> HeadStart:
        """Return what it has become, as float64 arrays."""
        mean, scale, weight, bias = (
            tensor.detach().cpu().double().numpy().copy() for tensor in (self.mean, self.scale, self.weight, self.bias)
        )
        return HeadStart(mean, scale, weight, bias, self.link)
