"""A backbone whose vectors can be worked out in the head, registered through the real route, counting its images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

from medfeat.backbones.table import BACKBONES, Entry
from medfeat.types import BackboneInfo


@dataclass
class Counter:
    """What the counting backbone was asked to do."""

    batches: list[int] = field(default_factory=list)
    fail_after: int | None = None
    error: Exception | None = None
    largest: int | None = None

    @property
    def images(self) -> int:
        return sum(self.batches)


class CountingNetwork(nn.Module):
    """The mean colour of an image, times a weight of one, and its square: (B, 3, H, W) -> (B, 6)."""

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.counter = [counter]  # in a list, so that a deep copy of the network is not asked to copy a registry

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        counter = self.counter[0]
        if counter.error is not None and (counter.fail_after is None or len(counter.batches) >= counter.fail_after):
            raise counter.error
        if counter.largest is not None and len(images) > counter.largest:
            raise torch.OutOfMemoryError("out of memory")
        counter.batches.append(len(images))
        mean = images.mean(dim=(2, 3)) * self.scale
        return torch.cat([mean, mean**2], dim=1)

    def __deepcopy__(self, memo: dict[int, object]) -> CountingNetwork:
        copy = CountingNetwork(self.counter[0])
        copy.load_state_dict(self.state_dict())
        return copy.eval().requires_grad_(False)


@pytest.fixture
def counting() -> Iterator[Counter]:
    """Register the backbone `counting` for one test; what it did is in the value."""
    counter = Counter()
    info = BackboneInfo(
        name="counting",
        source="weights-free",
        source_id="counting",
        input_size=16,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        interpolation="bilinear",
        pool="none",
        origin="weights-free",
        dim=6,
    )
    BACKBONES.add("counting", Entry(info, build=lambda: CountingNetwork(counter)))
    yield counter
    BACKBONES.remove("counting")
