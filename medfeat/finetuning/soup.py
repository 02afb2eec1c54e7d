"""The greedy average of the best epochs ("model soup", Wortsman et al., ICML 2022): val decides what goes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

Values = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Soup:
    """Epochs whose values were averaged.

    Attributes
    ----------
    epochs
        Their numbers, the best on val first; at least two.
    first, second
        Val scores of the average, larger is better: AUC and ACC, or R2 and minus MAE.
    """

    epochs: tuple[int, ...]
    first: float
    second: float

    @property
    def said(self) -> str:
        """Its epochs in words: ``3, 4 and 1``."""
        *others, last = map(str, self.epochs)
        return f"{', '.join(others)} and {last}"


def mean_of(values: Sequence[Values]) -> dict[str, torch.Tensor]:
    """Average values by name; whole numbers, such as counts of batch norm, are those of the first.

    Parameters
    ----------
    values
        At least one, all of the same names and shapes.
    """
    return {
        name: torch.stack([one[name] for one in values]).mean(dim=0) if first.is_floating_point() else first
        for name, first in values[0].items()
    }
