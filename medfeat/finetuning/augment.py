"""Light changes to images while training, declared per dataset: what would change a meaning is left out, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from medfeat.finetuning.tunable import Change

CHANGES = ("mirror", "upside-down", "shift", "contrast")
"""Left to right, top to bottom, up to a sixteenth of the side, and by up to a tenth."""
_SHIFT, _CONTRAST = 1 / 16, 0.1


@dataclass(frozen=True)
class Allowed:
    """Which changes leave the meaning of a dataset's images as it is, and why others do not."""

    changes: tuple[str, ...]
    why: str


_EVERY = CHANGES
_STILL = ("shift", "contrast")
_PROJECTION = "the heart lies on one side, and findings are told by where they are"
_ORGAN = "organs are told from their mirror image by side: left and right kidney, left and right lung are classes"
_VOLUME = "slices of three planes would have to be moved together"
ALLOWED: dict[str, Allowed] = {
    "pathmnist": Allowed(_EVERY, "a section has no up and no side"),
    "bloodmnist": Allowed(_EVERY, "a cell on a slide has no up and no side"),
    "tissuemnist": Allowed(_EVERY, "a cell under the microscope has no up and no side"),
    "dermamnist": Allowed(_EVERY, "a lesion is photographed from any side"),
    "breastmnist": Allowed(("mirror", "shift", "contrast"), "the transducer is above: shadows fall down, never up"),
    "octmnist": Allowed(("mirror", "shift", "contrast"), "layers of the retina have an order from top to bottom"),
    "retinamnist": Allowed(
        ("mirror", "shift", "contrast"), "left and right eyes mirror each other; lesions have no up"
    ),
    "chestmnist": Allowed(_STILL, _PROJECTION),
    "pneumoniamnist": Allowed(_STILL, _PROJECTION),
    "organamnist": Allowed(_STILL, _ORGAN),
    "organcmnist": Allowed(_STILL, _ORGAN),
    "organsmnist": Allowed(_STILL, "front and back are told by their side in a sagittal slice"),
    "organmnist3d": Allowed((), f"{_ORGAN}; {_VOLUME}"),
    "nodulemnist3d": Allowed((), _VOLUME),
    "adrenalmnist3d": Allowed((), f"{_VOLUME}; left and right glands differ"),
    "fracturemnist3d": Allowed((), _VOLUME),
    "vesselmnist3d": Allowed((), _VOLUME),
    "synapsemnist3d": Allowed((), _VOLUME),
}
"""What is allowed for each of the 18 MedMNIST sets."""
OWN = Allowed(_STILL, "whether side or orientation carries meaning is not known of own images")


def allowed_for(dataset: str, ndim: int) -> Allowed:
    """Return what is allowed for a dataset; of volumes nothing, of others than the 18 what never changes a meaning."""
    if ndim == 3:
        return ALLOWED.get(dataset, Allowed((), _VOLUME))
    return ALLOWED.get(dataset, OWN)


def augmentation(changes: tuple[str, ...]) -> Callable[[torch.Generator], Change]:
    """Return what makes the change of an epoch from its random numbers.

    Parameters
    ----------
    changes
        Names of `CHANGES`.
    """

    def of_epoch(generator: torch.Generator) -> Change:
        return lambda images: _changed(images, changes, generator)

    return of_epoch


def _changed(images: torch.Tensor, changes: tuple[str, ...], generator: torch.Generator) -> torch.Tensor:
    """Change (n, 3, S, S) normalised images, each by its own draw."""
    count, side = len(images), images.shape[-1]
    draws = torch.rand(4, count, generator=generator)  # always all, so that one change more moves no other
    for name, axis, draw in (("mirror", 3, draws[0]), ("upside-down", 2, draws[1])):
        if name in changes:
            turned = (draw < 0.5).to(images.device).reshape(-1, 1, 1, 1)
            images = torch.where(turned, images.flip(axis), images)
    if "shift" in changes:
        images = _shifted(images, max(1, round(_SHIFT * side)), generator)
    if "contrast" in changes:
        images = images * (1 + _CONTRAST * (2 * draws[2] - 1)).to(images).reshape(-1, 1, 1, 1)
    return images


def _shifted(images: torch.Tensor, most: int, generator: torch.Generator) -> torch.Tensor:
    side = images.shape[-1]
    # The border goes on: a stripe of another colour is an edge no image has (BreastMNIST: probe loss 1.57, not 0.29).
    padded = functional.pad(images, (most, most, most, most), mode="replicate")
    down, right = torch.randint(0, 2 * most + 1, (2, len(images)), generator=generator).tolist()
    return torch.stack(
        [padded[i, :, y : y + side, x : x + side] for i, (y, x) in enumerate(zip(down, right, strict=True))]
    )
