"""Volumes through a 2D network: slices along three axes, pooled or kept as they come, all policies from one pass."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medfeat.backbones import takes_raw
from medfeat.errors import UsageError
from medfeat.extraction.network.forward import Finished, Forward, Rows, stream
from medfeat.extraction.network.slice_pooling import (
    AXES,
    SliceKeeper,
    SlicePool,
    evenly,
    keeps,
    number_kept,
    slice_axis,
    slice_view,
)
from medfeat.types import BackboneInfo, DatasetInfo, Images, UInt8Array, View

if TYPE_CHECKING:
    import torch

_MOST_VOLUMES = 16
_UNEQUAL_VOLUMES = 4


def views_for(views: Sequence[View], dataset: DatasetInfo, backbone: BackboneInfo) -> tuple[View, ...]:
    """Fill in the slice policy where volumes meet a 2D network, and refuse one where there is nothing to slice."""
    if dataset.ndim == 2 or takes_raw(backbone.name):
        sliced = next((view.slices for view in views if view.slices is not None), None)
        if sliced is not None:
            why = f"{dataset.name} holds images" if dataset.ndim == 2 else f"{backbone.name} takes volumes whole"
            raise UsageError(
                f"slice policy {sliced!r} is for volumes through a 2D network, and {why}: leave --slices out"
            )
        return tuple(views)
    return tuple(slice_view(view) for view in views)


class VolumeForward:
    """Runs a 2D network over the slices of volumes.

    Parameters
    ----------
    forward
        The network on batches of slices.
    policies
        One slice policy a view.
    side
        Side of the volumes in voxels; 0 when they differ.
    """

    def __init__(self, forward: Forward, policies: Sequence[str], side: int) -> None:
        self.forward = forward
        self.policies = tuple(policies)
        self.batch_size = volumes_per_batch(forward.batch_size, side)

    @property
    def pass_size(self) -> int:
        """Slices a forward pass."""
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
        """As of the network on slices."""
        return self.forward.backoff

    def __call__(self, images: Images) -> list[Rows]:
        """Embed volumes: one (n, d) float32 array a view, (n, P, d) where slices are kept."""
        return self.submit(images).result()

    def submit(self, images: Images) -> Finished:
        """Embed volumes; slices keep a GPU busy on their own, so this waits for the result."""
        count = len(images)
        pools = [SliceKeeper(one, count) if keeps(one) else SlicePool([one], count) for one in self.policies]
        # Where every policy keeps the same few slices, no other goes through the network.
        numbers = {number_kept(one) if keeps(one) else None for one in self.policies}
        number = numbers.pop() if len(numbers) == 1 else None
        for axis in AXES:
            for done in stream(self.forward, _slice_batches(images, axis, self.forward.batch_size, number)):
                for pool, rows in zip(pools, done.rows, strict=True):
                    pool.add(axis, done.item, rows)
        return Finished([pool.result(policy) for pool, policy in zip(pools, self.policies, strict=True)])


def volumes_per_batch(slices: int, side: int) -> int:
    """Choose how many volumes fill whole batches of `slices` slices, so that little is padded.

    Examples
    --------
    >>> volumes_per_batch(32, 28)
    8
    """
    if side == 0:
        return _UNEQUAL_VOLUMES
    return min(slices // math.gcd(slices, side), _MOST_VOLUMES)


def _slice_batches(
    volumes: Images, axis: int, size: int, number: int | None
) -> Iterator[tuple[NDArray[np.int64], UInt8Array]]:
    """Yield the slices of one axis, each batch with the number of the volume that every slice belongs to.

    Of each volume `number` slices are taken evenly, None takes all.
    """
    groups = [volumes] if isinstance(volumes, np.ndarray) else [volume[None] for volume in volumes]
    first = 0
    for group in groups:
        kept = np.take(group, evenly(group.shape[1 + axis], number), axis=1 + axis) if number else group
        slices = slice_axis(kept, axis)
        owners = first + np.repeat(np.arange(len(group)), len(slices) // len(group))
        for start in range(0, len(slices), size):
            yield owners[start : start + size], slices[start : start + size]
        first += len(group)
