"""Backbones without weights: what a deep network's features have to beat."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from medfeat.backbones.features.resize import Resizer

SIDE = 28
"""Side in pixels of what `Pixels` returns: MedMNIST's own."""

# Levels looked at together: images of many megapixels, and volumes, go through in several pieces.
_PIECE_LEVELS = 1 << 22

STATISTICS = ("mean", "std", "min", "q10", "q25", "median", "q75", "q90", "max", "edges")
"""What `Statistics` returns, in order."""


class Pixels(nn.Module):
    """The raw pixels, divided by 255 and flattened: row by row, the channels of a pixel together.

    Images of another size are resized to 28 x 28 with Pillow's bicubic filter; volumes of another size are averaged
    over the area of each of 28 x 28 x 28 cells.

    Parameters
    ----------
    colour
        Give a grey image three equal channels, so that it is as long as a colour one: for sets that hold both.
    """

    def __init__(self, *, colour: bool = False) -> None:
        super().__init__()
        self.colour = colour

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map (B, H, W), (B, H, W, 3) or volumes (B, D, H, W, 1) uint8 to (B, 784), (B, 2352) or (B, 21952) float32.

        Volumes may come as (B, D, H, W), unless W is 3.
        """
        return torch.cat([self._flattened(part) for part in _pieces(images)])

    def _flattened(self, images: torch.Tensor) -> torch.Tensor:
        if images.ndim == 5:
            return _shrunk_volumes(images[..., 0]).flatten(1)
        if images.ndim == 4 and images.shape[-1] != 3:
            return _shrunk_volumes(images).flatten(1)
        planes = images if images.ndim == 4 else images.unsqueeze(-1)
        if self.colour:
            planes = planes.expand(-1, -1, -1, 3)
        height, width = planes.shape[1:3]
        if (height, width) != (SIDE, SIDE):
            planes = Resizer((height, width), (SIDE, SIDE), "bicubic", planes.device)(planes)
        return planes.to(torch.float32).flatten(1) / 255.0


def _shrunk_volumes(volumes: torch.Tensor) -> torch.Tensor:
    if volumes.shape[1:] == (SIDE, SIDE, SIDE):
        return volumes.to(torch.float32) / 255.0
    if volumes.numel() <= _PIECE_LEVELS:
        return _averaged(volumes, SIDE)
    depth = volumes.shape[1]
    ends = [(cell * depth // SIDE, -(-(cell + 1) * depth // SIDE)) for cell in range(SIDE)]
    return torch.cat([_averaged(volumes[:, first:last], 1) for first, last in ends], dim=1)


def _averaged(volumes: torch.Tensor, cells: int) -> torch.Tensor:
    """Average (B, D, H, W) levels over the area of each of `cells` x 28 x 28 cells."""
    levels = volumes.to(torch.float32).div_(255.0)
    return nn.functional.adaptive_avg_pool3d(levels.unsqueeze(1), (cells, SIDE, SIDE)).squeeze(1)


class Statistics(nn.Module):
    """Ten statistics of an image or volume over all of its pixels and channels, on the 0..1 scale.

    Mean, standard deviation, minimum, the 10, 25, 50, 75 and 90 % quantiles (the smallest level that at least that
    share of the pixels does not exceed), maximum, and edges: the mean absolute difference of neighbours along the
    rows and the columns (of every slice).
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map (B, H, W), (B, H, W, 3) or volumes (B, D, H, W, 1) uint8 to (B, 10) float32.

        Volumes may come as (B, D, H, W), unless W is 3.
        """
        return torch.cat([self._described(part) for part in _pieces(images)])

    @staticmethod
    def _described(images: torch.Tensor) -> torch.Tensor:
        share = _histogram(images) / images[0].numel()
        level = torch.arange(256, dtype=torch.float64, device=share.device) / 255.0
        mean = share @ level
        std = (share @ level.square() - mean.square()).clamp_min(0.0).sqrt()
        below = share.cumsum(1)
        # rounding must not push a full share just under the bound
        asked = torch.tensor([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0], dtype=torch.float64, device=share.device) - 1e-9
        bounds = asked.clamp_min(1e-12).expand(len(share), -1).contiguous()
        quantiles = level[torch.searchsorted(below.contiguous(), bounds).clamp_max(255)]
        columns = [mean[:, None], std[:, None], quantiles, _edges(images)[:, None]]
        return torch.cat(columns, 1).to(torch.float32)


def _pieces(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Cut a batch: what is computed on the way takes many times the bytes of the images."""
    return torch.split(images, max(1, _PIECE_LEVELS // images[0].numel()))


def _strips(images: torch.Tensor, overlap: int = 0) -> Iterator[torch.Tensor]:
    """Cut large images, or volumes, along their first axis, each strip with some rows of the next."""
    rows = max(1, _PIECE_LEVELS // images[:, :1].numel())
    for start in range(0, images.shape[1], rows):
        yield images[:, start : start + rows + overlap]


# Counts and sums are whole numbers: they are the same in whatever order and pieces they are taken.
def _histogram(images: torch.Tensor) -> torch.Tensor:
    # one by one: counting them together takes a 64-bit number for every pixel
    counts = [torch.stack([torch.bincount(one.flatten(), minlength=256) for one in part]) for part in _strips(images)]
    return torch.stack(counts).sum(0).to(torch.float64)


def _edges(images: torch.Tensor) -> torch.Tensor:
    rgb = images.ndim == 4 and images.shape[-1] == 3
    total, count = torch.zeros(len(images), dtype=torch.int64, device=images.device), 0
    for axis in (1, 2) if images.ndim == 3 or rgb else (2, 3):
        for part in _strips(images, overlap=int(axis == 1)):
            steps = part.to(torch.int16).diff(dim=axis).abs_().flatten(1)
            total += steps.sum(1, dtype=torch.int64)
            count += steps.shape[1]
    return total.to(torch.float64) / (255.0 * max(1, count))
