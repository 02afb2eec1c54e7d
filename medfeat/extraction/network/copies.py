"""Vectors averaged over an image and changed copies of it, each through the network as an image of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medfeat.extraction.ask.copies import MIRROR, OF_CROPS, UPSIDE_DOWN
from medfeat.extraction.network.forward import Forward, Result, Rows
from medfeat.types import Images, UInt8Array

if TYPE_CHECKING:
    import torch

_WINDOW = 7 / 8


class AveragedForward:
    """Runs a network on copies of each batch and averages their vectors.

    Parameters
    ----------
    forward
        The network.
    copies
        As a recipe spells them, see `medfeat.extraction.ask.copies.copies_for`.
    """

    def __init__(self, forward: Forward, copies: str) -> None:
        self.forward, self.copies = forward, copies
        self.batch_size = forward.batch_size

    @property
    def pass_size(self) -> int:
        """Images a forward pass."""
        return self.forward.pass_size

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self.forward.device

    @property
    def module(self) -> torch.nn.Module:
        """The network."""
        return self.forward.module

    @property
    def fused(self) -> bool:
        """As of the network."""
        return self.forward.fused

    @property
    def backoff(self) -> list[int]:
        """As of the network."""
        return self.forward.backoff

    def __call__(self, images: Images) -> list[Rows]:
        """Embed 1 to `batch_size` images and wait: one (n, ...) float32 array a view."""
        return self.submit(images).result()

    def submit(self, images: Images) -> Result:
        """Start embedding all copies of 1 to `batch_size` images."""
        return _Mean([self.forward.submit(copy) for copy in copied(images, self.copies)])


@dataclass(frozen=True)
class _Mean:
    """Rows of copies that are on their way."""

    parts: Sequence[Result]

    def result(self) -> list[Rows]:
        """Wait, and return the mean over copies, one float32 array a view."""
        views = zip(*(part.result() for part in self.parts), strict=True)
        return [np.mean(np.stack(copies), axis=0, dtype=np.float32) for copies in views]


def copied(images: Images, copies: str) -> Iterator[Images]:
    """Yield (n, H, W[, 3]) uint8 images, or a list of images, once for each copy that a recipe spells."""
    for change in _changes(copies):
        # the same change to one image and to a batch of them
        yield [change(image[None])[0] for image in images] if isinstance(images, list) else change(images)


def _changes(copies: str) -> list[Callable[[UInt8Array], UInt8Array]]:
    if copies == OF_CROPS:
        return [_window(down, right) for down, right in ((0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5))]
    flips: list[tuple[int, ...]] = [()]
    for name, axis in ((MIRROR, 2), (UPSIDE_DOWN, 1)):
        flips += [(*axes, axis) for axes in flips] if name in copies.split("+") else []
    return [_flip(axes) for axes in flips]


def _flip(axes: tuple[int, ...]) -> Callable[[UInt8Array], UInt8Array]:
    return lambda images: np.flip(images, axes)


def _window(down: float, right: float) -> Callable[[UInt8Array], UInt8Array]:
    """Cut the window that lies so far down and to the right, from 0 to 1."""

    def cut(images: UInt8Array) -> UInt8Array:
        sides = [max(1, round(_WINDOW * side)) for side in images.shape[1:3]]
        top, left = (
            int((whole - side) * at) for whole, side, at in zip(images.shape[1:3], sides, (down, right), strict=True)
        )
        return images[:, top : top + sides[0], left : left + sides[1]]

    return cut
