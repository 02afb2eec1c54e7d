"""A network and its head as one trainable module: prepared images (or slices of volumes) in, outputs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from medfeat.errors import UsageError
from medfeat.extraction.network.preprocess import Preprocess, preprocess_list
from medfeat.extraction.network.slice_pooling import AXES, slice_axis
from medfeat.finetuning.head import TrainableHead
from medfeat.float32 import full_float32
from medfeat.types import Images

_NORMS = nn.modules.batchnorm._BatchNorm
_SLICES_A_PIECE = 16


@dataclass(frozen=True)
class Batch:
    """What goes through the network at once.

    Attributes
    ----------
    inputs
        (m, ...) images, slices, or what the frozen part made of them, on the device.
    plane
        For volumes, (m,) the plane of each slice: 3 x volume + axis; None for images.
    count
        Samples.
    """

    inputs: torch.Tensor
    count: int
    plane: torch.Tensor | None = None


class Tunable(nn.Module):
    """A network that can learn.

    Parameters
    ----------
    network
        From (m, 3, S, S) images, or from what is cached of them, to (m, d) features.
    head
        From (n, d) or, for volumes, pooled features to outputs.
    slices
        Slice policy of volumes; None for images.
    train_batch_norm
        Let statistics of batch norm move while training.
    """

    def __init__(
        self, network: nn.Module, head: TrainableHead, slices: str | None = None, *, train_batch_norm: bool = False
    ) -> None:
        super().__init__()
        if slices == "raptor":
            raise UsageError("slice policy raptor projects at random and cannot be tuned: use --slices mean-concat")
        self.network, self.head, self.slices = network, head, slices
        self._train_batch_norm = train_batch_norm

    def forward(self, batch: Batch) -> torch.Tensor:
        """Return (n, c) outputs before the link."""
        if batch.plane is None:
            return self.head(self.network(batch.inputs))  # type: ignore[no-any-return]
        rows = torch.cat([self._piece(piece) for piece in torch.split(batch.inputs, _SLICES_A_PIECE)])
        return self.head(pool_slices(rows.float(), batch.plane, batch.count, str(self.slices)))  # type: ignore[no-any-return]

    def _piece(self, inputs: torch.Tensor) -> torch.Tensor:
        """Embed some slices; while training their activations are computed again instead of kept."""
        if torch.is_grad_enabled() and any(parameter.requires_grad for parameter in self.network.parameters()):
            return checkpoint(self.network, inputs, use_reentrant=False)  # type: ignore[no-any-return]
        return self.network(inputs)  # type: ignore[no-any-return]

    def learning(self) -> None:
        """Go into training mode: dropout on where something learns, batch norm as the settings say."""
        self.train()
        for module in self.network.modules():
            learns = [parameter.requires_grad for parameter in module.parameters()]
            still = isinstance(module, _NORMS) and not self._train_batch_norm
            if still or (learns and not any(learns)):
                module.eval()


def pool_slices(rows: torch.Tensor, plane: torch.Tensor, count: int, policy: str) -> torch.Tensor:
    """Pool (m, d) rows of slices into (count, 3 d) or (count, d), as extraction's `SlicePool` does.

    Parameters
    ----------
    rows, plane
        Embeddings of the slices, and 3 x volume + axis of each.
    count
        Volumes.
    policy
        ``mean-concat``, ``max-concat``, ``mean-average`` or ``max-average``.
    """
    shape = (len(AXES) * count, rows.shape[1])
    index = plane.unsqueeze(1).expand_as(rows)
    reduce = "amax" if policy.startswith("max") else "mean"
    planes = rows.new_zeros(shape).scatter_reduce(0, index, rows, reduce, include_self=False)
    planes = planes.reshape(count, len(AXES), -1)
    return planes.mean(dim=1) if policy.endswith("-average") else planes.flatten(1)


class FirstView(nn.Module):
    """An embedder of `medfeat.backbones` as a plain module: the one view it was loaded with.

    Parameters
    ----------
    embedder
        Its gradients are switched on by whoever trains it.
    """

    def __init__(self, embedder: nn.Module) -> None:
        super().__init__()
        self.embedder = embedder

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map (m, 3, S, S) to (m, d)."""
        return self.embedder(inputs)[0]  # type: ignore[no-any-return]

    def train(self, mode: bool = True) -> FirstView:
        """Train the network inside: an embedder by itself stays frozen."""
        self.training = mode
        self.embedder.network.train(mode)  # type: ignore[union-attr]
        return self


Change = Callable[[torch.Tensor], torch.Tensor]


class Preparation:
    """From uint8 images or volumes to a `Batch`, exactly as the frozen path prepares them.

    Parameters
    ----------
    preprocess
        Of extraction.
    volumes
        Whether these are volumes.
    """

    def __init__(self, preprocess: Preprocess, *, volumes: bool) -> None:
        self._preprocess, self._volumes = preprocess, volumes

    def __call__(self, images: Images, change: Change | None = None) -> Batch:
        """Prepare some images; `change` augments the normalised ones."""
        if not self._volumes:
            inputs = self._prepared(images)
            return Batch(inputs if change is None else change(inputs), len(images))
        slices = [slice_axis(volume[None], axis) for volume in images for axis in AXES]
        planes = np.repeat(np.arange(len(slices)), [len(part) for part in slices])
        inputs = torch.cat([self._prepared(part) for part in slices])
        return Batch(inputs, len(images), torch.from_numpy(planes).to(inputs.device))

    def _prepared(self, images: Images) -> torch.Tensor:
        if isinstance(images, list):
            return preprocess_list(self._preprocess, images)
        return self._preprocess(torch.from_numpy(np.ascontiguousarray(images)).to(self._preprocess.device))


@contextmanager
def computing(device: torch.device, precision: str) -> Iterator[None]:
    """Run forward passes in bf16 where that was measured to agree, else in plain float32."""
    with full_float32(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        yield
