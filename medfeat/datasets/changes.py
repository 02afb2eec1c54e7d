"""Which changes leave what a dataset's images mean as it is, and why others do not."""

from __future__ import annotations

from dataclasses import dataclass

CHANGES = ("mirror", "upside-down", "shift", "contrast")
"""Left to right, top to bottom, up to a sixteenth of the side, and by up to a tenth."""


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
