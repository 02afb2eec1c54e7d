"""The declared contract by which stored intensities become the uint8 that is embedded.

A *range* maps LO..HI linearly to 0..255, and an image with a value outside is reported, never clipped. A *window*
saturates below and above by definition, as a radiologist's display does. Nothing is guessed: an image that is
not 8 bits needs a declared contract.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.decoding.dicom_lookup import Display
from medfeat.datasets.decoding.slabs import Slabs, whole
from medfeat.errors import UsageError
from medfeat.types import UInt8Array

NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
ALLOWED = "auto, uint8, uint16, uint16:LO..HI, range:LO..HI, hu:LO..HI, window, window:CENTER,WIDTH or minmax"
_EIGHT_BITS, _TWELVE_BITS, _UINT16_MAX = 255, 4095, 65535
_STRETCH = 1 << 20
# What DICOM's RescaleType says of values that are Hounsfield units; silence means them too.
_HU_TYPES = ("", "HU", "HU_MOD")


class OutsideContract(ValueError):  # noqa: N818 - it names what the image is, and never reaches a user as an exception
    """An image does not keep to the declared contract; the message is the reason, in a few words."""


@dataclass(frozen=True)
class Stored:
    """The values of one image as its file means them.

    Attributes
    ----------
    values
        (H, W), (H, W, 3) or (D, H, W) numbers; a volume too large to be held as it is stored, in slabs.
    modality
        True when they are in the units of a rescaled DICOM or NIfTI file, such as Hounsfield units.
    window
        The linear window (center, width) the file itself declares.
    inverted
        True when the file means small values to be bright (MONOCHROME1).
    colour
        True when three axes are a picture in colour; else they are a volume, whatever their lengths.
    display
        Where the file declares a table or another window than the linear one: how it means to be shown.
    units
        What DICOM's RescaleType calls the values, such as ``HU`` or ``US`` (unspecified); empty when it does not say.
    unscaled
        Why the values are not Hounsfield units although this kind of file should have them; empty when they can be.
    damage
        What its decoder says of a file that is damaged, and could be read all the same; empty where it says nothing.
    """

    values: NDArray[Any] | Slabs
    modality: bool = False
    window: tuple[float, float] | None = None
    inverted: bool = False
    colour: bool = False
    display: Display | None = None
    units: str = ""
    unscaled: str = ""
    damage: str = ""

    @property
    def is_volume(self) -> bool:
        """Whether this is a volume, as its reader tells: no shape decides it."""
        return self.values.ndim == 3 and not self.colour


@dataclass(frozen=True)
class Intensity:
    """One contract.

    Attributes
    ----------
    kind
        ``auto``, ``uint8``, ``uint16``, ``range``, ``hu``, ``window`` or ``minmax``.
    low, high
        The range, or center and width of the window; None where the kind needs none.
    """

    kind: str
    low: float | None = None
    high: float | None = None

    @property
    def takes_uint8(self) -> bool:
        """Whether 8-bit values pass through as they are."""
        return self.kind in ("auto", "uint8")

    def __str__(self) -> str:
        """Return the contract as `parse_intensity` reads it."""
        if self.low is None or self.high is None:
            return self.kind
        return f"{self.kind}:{self.low:g}{',' if self.kind == 'window' else '..'}{self.high:g}"

    def apply(self, stored: Stored | NDArray[Any]) -> UInt8Array:
        """Turn one image into uint8.

        Parameters
        ----------
        stored
            The values, with what the file says of them.

        Returns
        -------
        ndarray
            Same shape, uint8.

        Raises
        ------
        OutsideContract
            When the image does not keep to the contract.
        """
        image = stored if isinstance(stored, Stored) else Stored(stored)
        scaled = _scaled(self, image)
        return 255 - scaled if image.inverted else scaled


AUTO = Intensity("auto")


def parse_intensity(text: str | None) -> Intensity:
    """Read a contract as it is written on the command line; None is ``auto``.

    Examples
    --------
    >>> parse_intensity("hu:-1000..400")
    Intensity(kind='hu', low=-1000.0, high=400.0)
    >>> str(parse_intensity("uint16"))
    'uint16:0..65535'
    """
    written = (text or "auto").strip().lower()
    if written in ("auto", "uint8", "window", "minmax"):
        return Intensity(written)
    if written == "uint16":
        return Intensity("uint16", 0.0, float(_UINT16_MAX))
    pair = re.fullmatch(rf"(uint16|range|hu):({NUMBER})\.\.({NUMBER})|(window):({NUMBER}),({NUMBER})", written)
    if not pair:
        raise UsageError(f"intensity must be one of {ALLOWED}, got {text!r}")
    kind, low, high = (part for part in pair.groups() if part is not None)
    contract = Intensity(kind, float(low), float(high))
    _check_bounds(contract)
    return contract


def _check_bounds(contract: Intensity) -> None:
    low, high = float(contract.low or 0), float(contract.high or 0)
    if contract.kind == "window":
        if high <= 1:
            raise UsageError(f"the width of an intensity window must be above 1, got {high:g}")
    elif low >= high:
        raise UsageError(f"an intensity range runs from low to high, got {contract}")
    if contract.kind == "uint16" and (low < 0 or high > _UINT16_MAX):
        raise UsageError(f"16-bit values lie in 0..{_UINT16_MAX}, got {contract}; for others say range:LO..HI")


def _scaled(contract: Intensity, image: Stored) -> UInt8Array:
    values = image.values
    _check_kind(contract, image)
    if values.dtype == np.uint8 and contract.takes_uint8:
        return np.ascontiguousarray(whole(values))
    fixed = contract.kind == "window"
    low, high = (0.0, 0.0) if fixed and values.dtype.kind != "f" else bounds_of(values)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise OutsideContract("it holds values that are no numbers (NaN or infinite)")
    if fixed:
        if contract.low is None and image.display is not None:
            return _by_parts(values, image.display)
        return _windowed(values, *_window_of(contract, image))
    if contract.kind == "minmax":
        return _ranged(values, low, high)
    return _checked_range(values, low, high, contract)


def bounds_of(values: NDArray[Any] | Slabs) -> tuple[float, float]:
    """Return the lowest and the highest value; NaN when one of them is."""
    ends = [(part.min(), part.max()) for part in _parts(values)]
    return float(np.min([low for low, _ in ends])), float(np.max([high for _, high in ends]))


def _check_kind(contract: Intensity, image: Stored) -> None:
    dtype = image.values.dtype
    if contract.takes_uint8 and dtype != np.uint8:
        raise OutsideContract(f"{needs_contract(image)}")
    if contract.kind == "uint16" and dtype.kind not in "ui":
        raise OutsideContract(f"values are {dtype}, and {contract} takes integers of 16 bits")
    if contract.kind == "uint16" and dtype == np.uint8:
        raise OutsideContract(f"values are of 8 bits, and {contract} takes 16")
    if image.unscaled and (contract.kind == "hu" or (contract.kind == "window" and contract.low is not None)):
        raise OutsideContract(f"{image.unscaled}, and {contract} is meant for Hounsfield units; say range:LO..HI")
    if contract.kind == "hu" and not image.modality:
        raise OutsideContract(f"{contract} needs a DICOM or NIfTI file, whose values are in the units of the modality")
    if contract.kind == "hu" and image.units not in _HU_TYPES:
        raise OutsideContract(
            f"its values are {image.units} (RescaleType), and {contract} takes Hounsfield units; say range:LO..HI"
        )


def needs_contract(image: Stored, *, several: bool = False) -> str:
    """Say, in a few words, what an image holds that is not 8 bits and which contracts would take it.

    With `several` its lowest and highest value are those of several images; those of one would refuse the next.
    """
    values = image.values
    low, high = bounds_of(values)
    in_units = image.modality and image.units in _HU_TYPES
    own = f"{'hu' if in_units else 'range'}:{f'{low:g}..{high:g}' if several else 'LO..HI of all images'}"
    natural = _natural(values.dtype, low, high, image.modality)
    ways = list(dict.fromkeys([natural] * bool(natural) + [own] * (several or not natural)))
    if image.display is not None:
        ways.append("window (the file's own)")
    elif image.window is not None:
        ways.append(f"window (the file's own, {image.window[0]:g},{image.window[1]:g})")
    elif image.modality:
        ways.append("window:CENTER,WIDTH")
    if values.dtype == np.uint16 and not image.modality and high > _EIGHT_BITS:
        ways.append("uint16 (0..65535)")
    ways.append("minmax (each image on its own)")
    return f"it holds {values.dtype} values {low:g}..{high:g} and no intensity is declared: {', '.join(ways)}"


def _natural(dtype: np.dtype[Any], low: float, high: float, modality: bool) -> str:
    """Return the range that values of this kind come in, as far as their ends tell; empty when they do not."""
    if dtype.kind == "f" and low >= 0 and high <= 1:
        return "range:0..1"
    if modality or low < 0 or not np.isfinite(high):
        return ""
    if high <= _EIGHT_BITS:
        return f"range:0..{_EIGHT_BITS}"
    return f"uint16:0..{_TWELVE_BITS}" if dtype.kind in "ui" and high <= _TWELVE_BITS else ""


def _window_of(contract: Intensity, image: Stored) -> tuple[float, float]:
    if contract.low is not None and contract.high is not None:
        return contract.low, contract.high
    if image.window is None:
        raise OutsideContract(
            "the file declares no window (WindowCenter, and a WindowWidth above 1), or not one for all of it; declare "
            "one: window:CENTER,WIDTH"
        )
    return image.window


def _windowed(values: NDArray[Any] | Slabs, center: float, width: float) -> UInt8Array:
    """Apply the linear window of DICOM PS3.3 C.11.2.1.2.1, whose output saturates at 0 and 255."""
    low, high = center - 0.5 - (width - 1.0) / 2.0, center - 0.5 + (width - 1.0) / 2.0
    return _ranged(values, low, high)


def _checked_range(values: NDArray[Any] | Slabs, lowest: float, highest: float, contract: Intensity) -> UInt8Array:
    low, high = float(contract.low or 0), float(contract.high or 0)
    if lowest < low or highest > high:
        raise OutsideContract(f"values {lowest:g}..{highest:g} lie outside the declared {contract}")
    return _ranged(values, low, high)


def _ranged(values: NDArray[Any] | Slabs, low: float, high: float) -> UInt8Array:
    if low == high:
        return np.zeros(values.shape, np.uint8)
    return _by_parts(values, lambda part: np.clip((part.astype(np.float64) - low) * (255.0 / (high - low)), 0.0, 255.0))


def _by_parts(values: NDArray[Any] | Slabs, level: Callable[[NDArray[Any]], NDArray[np.float64]]) -> UInt8Array:
    """Round the levels of values; a whole volume in float64 would be eight times its uint8."""
    if isinstance(values, Slabs):
        return values.mapped(lambda part: np.rint(level(part)), np.dtype(np.uint8))
    scaled, start = np.empty(values.shape, np.uint8), 0
    for part in _parts(values):
        scaled[start : start + len(part)] = np.rint(level(part))
        start += len(part)
    return scaled


def _parts(values: NDArray[Any] | Slabs) -> Iterator[NDArray[Any]]:
    if isinstance(values, Slabs):
        yield from values.read()
        return
    step = max(1, _STRETCH // max(1, values[:1].size))
    for start in range(0, len(values), step):
        yield values[start : start + step]
