"""From a frozen backbone and a start to a model that can learn, and to the feeds it learns from."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medfeat.errors import DataError, MedfeatError, UsageError
from medfeat.extraction.network.device import is_out_of_memory
from medfeat.extraction.network.forward import torch_dtype
from medfeat.extraction.network.preprocess import Preprocess
from medfeat.finetuning.cut import Cut, last_units, units_of
from medfeat.finetuning.folded_norms import fold_norms
from medfeat.finetuning.head import HeadStart, TrainableHead
from medfeat.finetuning.images import ImageFile
from medfeat.finetuning.lora import add_low_rank
from medfeat.finetuning.training_settings import TrainingSettings
from medfeat.finetuning.tunable import Batch, Change, FirstView, Preparation, Tunable, computing
from medfeat.types import Fit, FloatArray, Progress
from medfeat_cache.commands import command

if TYPE_CHECKING:
    from medfeat.backbones import Backbone


def tunable(backbone: Backbone, start: HeadStart, settings: TrainingSettings, device: torch.device) -> Tunable:
    """Make a model of a backbone and a start; which of its parameters learn is what the mode says.

    Parameters
    ----------
    backbone
        Changed in place: its gradients are switched on, and it moves to `device`.
    start
        Of the head.
    settings
        Mode and batch norm.
    device
        Where it will be.

    Raises
    ------
    UsageError
        A backbone without weights.
    """
    if backbone.takes_raw:
        raise UsageError(f"{backbone.info.name} has no weights to tune: name one ({command('list', 'backbones')})")
    network = backbone.module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.requires_grad_(settings.mode == "full")
    if settings.mode == "lora":
        add_low_rank(network, settings.rank, seed=settings.seed)
    if not settings.train_batch_norm:
        fold_norms(FirstView(network), backbone.info.input_size)
    model = Tunable(
        FirstView(network), TrainableHead(start), backbone.views[0].slices, train_batch_norm=settings.train_batch_norm
    )
    return model.to(device)


def head_alone(start: HeadStart) -> Tunable:
    """Make a model of cached features and a head."""
    return Tunable(nn.Identity(), TrainableHead(start))


@dataclass(frozen=True)
class ImageFeed:
    """Gives images of a file, prepared as the frozen path prepares them.

    Attributes
    ----------
    images
        Of train and val, one after the other.
    prepare
        What makes them the network's input.
    first
        Position of this split's first sample in `images`.
    """

    images: ImageFile
    prepare: Preparation
    first: int = 0

    def __call__(self, positions: NDArray[np.int64], change: Change | None = None) -> Batch:
        """Return some samples of the split."""
        return self.prepare(self.images.take(positions + self.first), change)


@dataclass(frozen=True)
class FeatureFeed:
    """Gives rows of features that were embedded once."""

    features: FloatArray
    device: torch.device

    def __call__(self, positions: NDArray[np.int64], change: Change | None = None) -> Batch:
        """Return some samples; features cannot be augmented."""
        if change is not None:
            raise UsageError("cached features cannot be augmented: give --augment none")
        rows = torch.from_numpy(np.ascontiguousarray(self.features[positions], np.float32))
        return Batch(rows.to(self.device), len(positions))


def preparation(backbone: Backbone, fit: Fit, device: torch.device, *, volumes: bool) -> Preparation:
    """Return extraction's own preprocessing, in float32."""
    return Preparation(Preprocess(backbone.info, fit=fit, device=device, dtype=torch_dtype("fp32")), volumes=volumes)


@dataclass(frozen=True)
class ActivationFeed:
    """Gives what the frozen trunk made of each sample once, from a scratch file of float16."""

    activations: NDArray[np.float16]
    device: torch.device
    first: int = 0

    def __call__(self, positions: NDArray[np.int64], change: Change | None = None) -> Batch:
        """Return some samples of the split."""
        if change is not None:
            raise UsageError("cached activations cannot be augmented: give --augment none")
        rows = torch.from_numpy(np.asarray(self.activations[positions + self.first])).to(self.device).float()
        # Maps go on in the layout that the convolutions are in.
        maps = rows.contiguous(memory_format=torch.channels_last) if rows.ndim == 4 else rows
        return Batch(maps, len(positions))


def learning_units(network: nn.Module, sample: torch.Tensor, blocks: int) -> str:
    """Let the last blocks of a network learn and nothing before them; return the name of the first of them."""
    units = last_units(units_of(network, lambda: network(sample)), blocks)
    network.requires_grad_(False)
    for unit in units:
        network.get_submodule(unit.name).requires_grad_(True)
    return units[0].name


@contextmanager
def cached_activations(
    cut: Cut, feed: ImageFeed, count: int, settings: TrainingSettings, *, folder: Path, progress: Progress
) -> Iterator[NDArray[np.float16]]:
    """Send every image through the trunk once, and yield what it left: on disk, mapped, in float16.

    Parameters
    ----------
    cut
        Of the network.
    feed, count
        All samples, train and val.
    settings
        Batch size and precision.
    folder
        Where the scratch file may be; it goes with the process.
    progress
        Hears of every batch, and of the size.

    Raises
    ------
    DataError
        An activation that float16 cannot hold.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        progress.start(count, "frozen trunk")
        shape: tuple[int, ...] = ()
        start, size = 0, settings.batch_size
        while start < count:
            rows = np.arange(start, min(start + size, count))
            try:
                inputs = feed(rows).inputs
                with torch.no_grad(), computing(inputs.device, settings.precision):
                    made = cut.trunk(inputs).to(torch.float16).cpu().contiguous().numpy()
            except Exception as error:
                if size == 1 or not is_out_of_memory(error):
                    raise
                size //= 2
                progress.say(f"memory ran out: {size} images a pass of the frozen trunk from here on")
                continue
            if not np.isfinite(made).all():
                raise DataError("activations of the trunk are too large for float16: use --mode full or lora")
            shape = made.shape[1:]
            _append(file, made)
            progress.advance(len(rows))
            start += len(rows)
        progress.finish()
        file.flush()
        progress.say(f"the trunk ran once: {count} activations of {shape}, {file.tell() / 1e6:.0f} MB on disk")
        yield np.memmap(file, np.float16, mode="r", shape=(count, *shape))


def _append(file: IO[bytes], rows: NDArray[np.float16]) -> None:
    try:
        file.write(rows.data)
    except OSError as error:
        raise MedfeatError(f"no room to keep activations while training ({error}): free some disk space") from error
