"""The files of one DICOM series as one volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.decoding.bad_file import BadFile
from medfeat.datasets.decoding.dicom import MAX_VALUES, read_padded
from medfeat.datasets.decoding.dicom_grey import Padded
from medfeat.datasets.decoding.dicom_headers import Slice
from medfeat.datasets.decoding.intensity import Stored
from medfeat.datasets.decoding.orientation import laid_out
from medfeat.datasets.decoding.room import Reserve, no_bound
from medfeat.datasets.decoding.slabs import whole
from medfeat.datasets.decoding.slice_order import order_of
from medfeat.errors import MissingExtraError


@dataclass(frozen=True)
class Series:
    """The files of one volume.

    Attributes
    ----------
    files
        Relative to the root, posix, from one end of the patient to the other.
    affine
        (4, 4) from (column, row, slice) to millimetres to the right, front and head; None where there is a fault.
    fault
        Why these slices are no volume; empty when they are one.
    """

    files: tuple[str, ...]
    affine: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)
    fault: str = ""


def in_order(slices: Sequence[Slice]) -> Series:
    """Order the slices of one series along the normal of their plane, or say why they are no volume."""
    named = sorted(slices, key=lambda one: one.file)
    found = order_of([one.place for one in named])
    files, (rows, columns) = tuple(named[i].file for i in found.numbers), named[0].place.size
    if not found.fault and len(files) * rows * columns > MAX_VALUES:
        return Series(
            files, fault=f"too large ({len(files)} slices of {rows} x {columns}; the limit is {MAX_VALUES} voxels)"
        )
    return Series(files, found.affine, found.fault)


def read_series(root: Path, series: Series, reserve: Reserve = no_bound) -> Stored:
    """Read one volume as (D, H, W), laid out as a NIfTI file of it would be.

    Each slice is rescaled as its own header says; padding takes the darkest value of the volume, and a window is kept
    when all slices have the same.
    """
    if series.fault or series.affine is None:
        raise BadFile(series.fault)
    parts = [_slice(root, series.files[0])]
    first = parts[0].stored
    # the slices, one array of them, and that laid out
    reserve(3 * len(series.files) * whole(first.values).nbytes)
    parts += [_slice(root, file) for file in series.files[1:]]
    for name in ("inverted", "units", "modality", "unscaled"):
        if len({getattr(part.stored, name) for part in parts}) > 1:
            raise BadFile(f"its slices differ in what their values mean ({name}): they are no one volume")
    values = np.stack([whole(part.stored.values) for part in parts])
    masks = [np.zeros(values.shape[1:], bool) if part.padding is None else part.padding for part in parts]
    shown = {(part.stored.window, part.stored.display) for part in parts}
    window, display = shown.pop() if len(shown) == 1 else (None, None)
    volume = Padded(replace(first, values=values, window=window, display=display), np.stack(masks)).filled()
    return replace(volume, values=laid_out(whole(volume.values).transpose(2, 1, 0), series.affine))


def _slice(root: Path, file: str) -> Padded:
    try:
        found = read_padded(root / file)
    except BadFile as error:
        raise BadFile(f"its slice {Path(file).name}: {error}") from error
    except (MissingExtraError, MemoryError):
        raise
    except Exception as error:  # decoders raise anything on damaged files
        reason = (str(error).splitlines() or [""])[0].strip() or type(error).__name__
        raise BadFile(f"its slice {Path(file).name} cannot be decoded ({reason})") from error
    if not isinstance(found, Padded) or found.stored.values.ndim != 2:
        raise BadFile(f"its slice {Path(file).name} is no grey image of one frame")
    # narrow at once: all slices are held before they are one volume
    return replace(found, stored=replace(found.stored, values=_narrow(whole(found.stored.values))))


def _narrow(values: NDArray[np.generic]) -> NDArray[np.generic]:
    return values.astype(np.float32) if values.dtype == np.float64 else values
