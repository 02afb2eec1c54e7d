"""What a killed training leaves: one checkpoint an epoch that is there whole or not at all, and the best epochs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from medfeat.errors import DataError, MedfeatError, UsageError
from medfeat.finetuning.training_settings import TrainingSettings
from medfeat_cache import StoreError, differing_fields
from medfeat_cache.files import make_folder, replacing

FORMAT = "medfeat-training"
VERSION = 1
_STATE_FILE = "state.pt"


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to; epoch 0 is the start, before anything was trained.

    Attributes
    ----------
    number
        0 for the start.
    loss
        Mean of train over the epoch; None for the start.
    first, second
        Val scores, larger is better: AUC and ACC, or R2 and minus MAE.
    lr
        Rate of the head at its end.
    seconds, images_per_second
        Of training, val left out.
    """

    number: int
    loss: float | None
    first: float
    second: float
    lr: float
    seconds: float
    images_per_second: float


@dataclass
class State:
    """Where a training is.

    Attributes
    ----------
    epochs
        What was done, the start first.
    elapsed
        Seconds so far, over all runs of the command.
    micro
        Samples a forward pass takes; halved when memory ran out.
    device, torch_version
        Where it was begun.
    """

    epochs: list[Epoch]
    elapsed: float
    micro: int
    device: str
    torch_version: str


class Keeper:
    """Keeps a training in a folder.

    Parameters
    ----------
    folder
        Of this training alone; made when it is not there.
    settings
        A checkpoint with others is refused.
    """

    def __init__(self, folder: Path, settings: TrainingSettings) -> None:
        self.folder, self.settings = folder, settings
        try:
            make_folder(folder)
        except OSError as error:
            raise MedfeatError(f"cannot keep checkpoints in {folder} ({error}): choose another --cache-dir") from error

    def load(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> State | None:
        """Put a killed training's values in place and say where it was; None when there was none.

        Raises
        ------
        UsageError
            It was begun with other settings, each of which is named.
        DataError
            The checkpoint cannot be read.
        """
        path = self.folder / _STATE_FILE
        if not path.is_file():
            return None
        kept = _read(path)
        differ = differing_fields(kept["settings"], self.settings.to_dict())
        if differ:
            said = ", ".join(f"{name} {was!r} (now {now!r})" for name, (was, now) in differ.items())
            raise UsageError(
                f"an unfinished training of this network on this data was begun with {said}: give the same options to "
                "go on with it, or --restart to begin again"
            )
        put(model, kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
        return State(**kept["state"] | {"epochs": [Epoch(**one) for one in kept["state"]["epochs"]]})

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer, state: State, keep: Sequence[int]) -> None:
        """Write the checkpoint of the last epoch, and its values apart when it is among the best.

        Parameters
        ----------
        model, optimizer, state
            Everything that the next epoch depends on.
        keep
            Numbers of the best epochs; the values of others are removed.
        """
        number = state.epochs[-1].number
        values = _changing(model)
        if number in keep:
            self._write(self._best(number), {"model": values}, number)
        facts = json.dumps({"settings": self.settings.to_dict(), "state": asdict(state)})
        whole = {
            "format": FORMAT,
            "version": VERSION,
            "facts": facts,
            "model": values,
            "optimizer": optimizer.state_dict(),
        }
        self._write(self.folder / _STATE_FILE, whole, number)
        for path in self.folder.glob("epoch-*.pt"):
            if path not in map(self._best, keep):
                path.unlink(missing_ok=True)

    def values(self, number: int) -> dict[str, torch.Tensor]:
        """Return the values of one of the best epochs, by name."""
        path = self._best(number)
        try:
            found: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)["model"]
            return found
        except Exception as error:  # a damaged archive can fail in any way
            raise DataError(f"{path} cannot be read ({type(error).__name__}): run with --restart") from error

    def forget(self) -> None:
        """Remove everything a training kept here."""
        for path in (*self.folder.glob("epoch-*.pt"), *self.folder.glob(".*.tmp"), self.folder / _STATE_FILE):
            path.unlink(missing_ok=True)

    def forget_own(self) -> None:
        """Remove what a training of these very settings kept here, and the folder; that of others stays."""
        path = self.folder / _STATE_FILE
        with suppress(DataError, OSError):  # what cannot be read is said to whoever goes on with it
            if path.is_file() and differing_fields(_read(path)["settings"], self.settings.to_dict()):
                return
            self.forget()
            self.folder.rmdir()

    def _best(self, number: int) -> Path:
        return self.folder / f"epoch-{number:03d}.pt"

    def _write(self, path: Path, content: Mapping[str, Any], number: int) -> None:
        try:
            with replacing(path, "writing a checkpoint") as temporary, temporary.open("wb") as file:
                torch.save(dict(content), file)
        except (OSError, RuntimeError) as error:  # torch calls a full disk a RuntimeError
            said = str(error) if isinstance(error, StoreError) else f"{path} cannot be written ({error})"
            raise MedfeatError(
                f"epoch {number}: {said}; what was finished before is kept: make room, and the same command goes on"
            ) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        kept: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if (kept["format"], kept["version"]) != (FORMAT, VERSION):
            raise DataError(f"{path} is {kept['format']} {kept['version']}, this medfeat reads {FORMAT} {VERSION}")
        facts: dict[str, Any] = json.loads(kept["facts"])
        return kept | facts
    except DataError:
        raise
    except Exception as error:  # a damaged archive can fail in any way
        raise DataError(f"{path} cannot be read ({type(error).__name__}): run with --restart to begin again") from error


def _changing(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return what training can change: parameters that learn, and buffers."""
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    buffers = {name for name, _ in model.named_buffers()}
    return {name: value.detach() for name, value in model.state_dict().items() if name in learning | buffers}


def put(model: nn.Module, values: Mapping[str, torch.Tensor]) -> None:
    """Give a model some of its values, by name."""
    with torch.no_grad():
        state = model.state_dict()
        for name, value in values.items():
            state[name].copy_(value)
