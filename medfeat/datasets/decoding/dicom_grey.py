"""Grey DICOM pixels in the units of their modality, with padding, window and polarity as the file declares them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.decoding.bad_file import BadFile
from medfeat.datasets.decoding.dicom_frames import first_item, frame_groups
from medfeat.datasets.decoding.dicom_lookup import Display, ValueCurve, ValueTable
from medfeat.datasets.decoding.intensity import Stored
from medfeat.datasets.decoding.slabs import whole

_BITS_OF_ENTRIES = range(8, 17)


@dataclass(frozen=True)
class Padded:
    """Grey pixels whose padding still has to be filled, by what the whole image (or volume) holds.

    Attributes
    ----------
    stored
        With padding as it was rescaled.
    padding
        Where nothing was measured; None when the file declares none.
    """

    stored: Stored
    padding: NDArray[np.bool_] | None

    def filled(self) -> Stored:
        """Lay padding in the darkest of the other values: the lowest, or the highest where small is bright."""
        padding = self.padding
        if padding is None or not padding.any():
            return self.stored
        if padding.all():
            raise BadFile("all of its pixels are padding (PixelPaddingValue): there is no image in it")
        values = whole(self.stored.values)
        rest = values[~padding]
        dark = rest.max() if self.stored.inverted else rest.min()
        return replace(self.stored, values=np.where(padding, dark, values))


def grey(file: Any, values: NDArray[Any], *, inverted: bool) -> Padded:
    """Rescale stored pixels, and gather what the file says of them.

    A slope without intercept has intercept 0, except in CT, where it is refused; an intercept without slope has slope
    1; empty elements are as absent ones.
    """
    padding = _padding(file, values)
    table = _modality_table(file, values)
    per_frame = _frame_rescales(file)
    rescale = None
    if per_frame is not None:
        values = _rescaled_frames(values, per_frame)
    elif table is not None:
        values = table.looked_up(values)
    elif (rescale := _rescale_of(file)) is not None:
        values = _rescaled(values, *rescale)
    modality = per_frame is not None or table is not None or rescale is not None
    shown = _display_of_frames(file, values)
    stored = Stored(
        values,
        modality=modality,
        window=shown if isinstance(shown, tuple) else None,
        inverted=inverted,
        display=None if isinstance(shown, tuple) else shown,
        units=_units(file),
        unscaled="" if modality else _lacking(file),
    )
    return Padded(stored, padding)


def _number(holder: Any, name: str) -> float | None:
    """Return the one finite number of an element, None when it is absent or empty."""
    try:
        value = holder.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        found = float(value)
    except (TypeError, ValueError) as error:
        raise BadFile(f"{name} holds no single number; write it again, or remove the element") from error
    if not math.isfinite(found):
        raise BadFile(f"{name} is {found}, which is no number; write it again, or remove the element")
    return found


def _rescale_of(holder: Any) -> tuple[float, float] | None:
    """Return slope and intercept of a file or of a frame, None when it has neither."""
    slope, intercept = _number(holder, "RescaleSlope"), _number(holder, "RescaleIntercept")
    if slope is None and intercept is None:
        return None
    if slope == 0:
        raise BadFile("RescaleSlope is 0, which makes every pixel alike; write the slope that is meant")
    if intercept is None and holder.get("Modality") == "CT":
        raise BadFile("a RescaleSlope without RescaleIntercept; without it CT values may be 1024 off, so write both")
    return (1.0 if slope is None else slope), intercept or 0.0


def _rescaled(values: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """Rescale, where that does more than to turn integers into floats."""
    return values if (slope, intercept) == (1.0, 0.0) else values.astype(np.float64) * slope + intercept


def _units(file: Any) -> str:
    groups = frame_groups(file, "PixelValueTransformationSequence")
    holder = first_item(file, "ModalityLUTSequence") or (groups[0] if groups and groups[0] is not None else file)
    return str(holder.get("RescaleType") or holder.get("ModalityLUTType") or "").strip().upper()


def _lacking(file: Any) -> str:
    """Say what a CT lacks that should be in Hounsfield units; nothing of a picture made from one."""
    if file.get("Modality") != "CT" or "SecondaryCapture" in str(getattr(file.get("SOPClassUID"), "keyword", "")):
        return ""
    return "its CT values are not rescaled (neither RescaleSlope nor RescaleIntercept is given)"


def _frame_rescales(file: Any) -> list[tuple[float, float]] | None:
    """Return the slope and intercept of each frame of an enhanced file, None when it has none of its own."""
    groups = frame_groups(file, "PixelValueTransformationSequence")
    if groups is None:
        return None
    if any(group is None or _number(group, "RescaleSlope") is None for group in groups):
        raise BadFile("gives a rescale slope (PixelValueTransformationSequence) for some of its frames only")
    return [_rescale_of(group) or (1.0, 0.0) for group in groups]


def _rescaled_frames(values: NDArray[Any], rescales: list[tuple[float, float]]) -> NDArray[Any]:
    if all(rescale == (1.0, 0.0) for rescale in rescales):
        return values
    slopes, intercepts = np.array(rescales).T.reshape(2, -1, 1, 1)
    frames = values.reshape(len(rescales), *values.shape[-2:])
    rescaled: NDArray[Any] = frames * slopes + intercepts
    return rescaled.reshape(values.shape)


def _padding(file: Any, values: NDArray[Any]) -> NDArray[np.bool_] | None:
    if values.dtype.kind == "f":
        ends = [_number(file, f"FloatPixelPadding{end}") for end in ("Value", "RangeLimit")]
    else:
        ends = [_as_stored(file, _number(file, f"PixelPadding{end}")) for end in ("Value", "RangeLimit")]
    value, limit = ends
    if value is None:
        return None
    low, high = sorted((value, value if limit is None else limit))
    return (values >= low) & (values <= high)


def _as_stored(file: Any, value: float | None) -> int | None:
    """Return a padding value as a pixel that holds it reads: files write 63536 for -2000, and the reverse."""
    if value is None:
        return None
    signed, stored = bool(file.PixelRepresentation), int(file.BitsStored)
    low, high = (-(1 << (stored - 1)), (1 << (stored - 1)) - 1) if signed else (0, (1 << stored) - 1)
    for bits in (int(file.BitsAllocated), stored):
        found = int(value) % (1 << bits)
        found -= (1 << bits) if signed and found >> (bits - 1) else 0
        if low <= found <= high and abs(value) < 1 << bits:
            return found
    return None  # no pixel can hold it


def _modality_table(file: Any, values: NDArray[Any]) -> ValueTable | None:
    """Return the table that takes stored values into the units of the modality."""
    item = first_item(file, "ModalityLUTSequence")
    return None if item is None else _table(item, values, "ModalityLUTSequence")


def _table(item: Any, values: NDArray[Any], name: str) -> ValueTable:
    """Read the table of an item; `values` are those it will be used on."""
    descriptor, data = item.get("LUTDescriptor"), item.get("LUTData")
    if descriptor is None or len(descriptor) != 3 or data is None:
        raise BadFile(f"{name} without LUTDescriptor of three numbers and LUTData")
    count, start, bits = (int(part) for part in descriptor)
    count = count % (1 << 16) or 1 << 16
    # The element is read as signed or unsigned by a rule of its own; what it is used on decides.
    start = start % (1 << 16) if values.dtype.kind == "u" else (start + (1 << 15)) % (1 << 16) - (1 << 15)
    entries = _entries(data, count)
    if bits not in _BITS_OF_ENTRIES or len(entries) != count or max(entries) >= 1 << bits:
        raise BadFile(f"{name} has {len(entries)} entries where {count} of {bits} bits are declared")
    return ValueTable(start, entries, bits)


def _entries(data: Any, count: int) -> tuple[int, ...]:
    if not isinstance(data, bytes):
        return tuple(int(entry) % (1 << 16) for entry in np.atleast_1d(data))
    wide = len(data) >= 2 * count  # pydicom keeps words in the order of the file, which is little-endian but for a few
    return tuple(np.frombuffer(data, "<u2" if wide else np.uint8)[:count].tolist())


def _display_of_frames(file: Any, values: NDArray[Any]) -> tuple[float, float] | Display | None:
    """Return how the file means to be shown, None when the frames of an enhanced one differ in it."""
    groups = frame_groups(file, "FrameVOILUTSequence")
    if groups is None:
        return _display(file, values)
    found = {None if group is None else _display(group, values) for group in groups}
    return found.pop() if len(found) == 1 else None


def _display(holder: Any, values: NDArray[Any]) -> tuple[float, float] | Display | None:
    """Return the table of a file or of a frame, else its first window that can be used."""
    item = first_item(holder, "VOILUTSequence")
    if item is not None:
        return _table(item, values, "VOILUTSequence")
    function = str(holder.get("VOILUTFunction") or "LINEAR").strip().upper()
    for center, width in zip(_numbers(holder, "WindowCenter"), _numbers(holder, "WindowWidth"), strict=False):
        if function == "LINEAR" and width > 1:
            return center, width
        if function in ("LINEAR_EXACT", "SIGMOID") and width > 0:
            return ValueCurve(function, center, width)
    return None


def _numbers(holder: Any, name: str) -> list[float]:
    """Return the values of an element that may hold several, NaN for what is no number."""
    try:
        value = holder.get(name)
    except ValueError:
        return []
    if value is None or isinstance(value, str):
        value = [value] if value else []
    found = []
    for part in value if hasattr(value, "__iter__") else [value]:
        try:
            found.append(float(part))
        except (TypeError, ValueError):
            found.append(math.nan)
    return found
