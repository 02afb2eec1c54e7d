"""Slices of one DICOM series as one volume: their order along the patient, and what keeps them from being one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.decode import BadFile
from medfeat.datasets.dicom import MAX_VALUES, read_padded
from medfeat.datasets.dicom_grey import Padded
from medfeat.datasets.intensity import Stored
from medfeat.datasets.orientation import laid_out
from medfeat.datasets.slices import Slice

ONE_PLACE_MM = 0.01
UNEVEN = 0.1  # of the usual distance: scanners write positions rounded to a tenth of a millimetre
TILT_DEGREES = 0.5
COSINES = 0.01
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


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
    named = Series(tuple(sorted(one.file for one in slices)))
    fault = _differing(slices)
    if fault:
        return replace(named, fault=fault)
    positions = np.array([one.position for one in slices], np.float64)
    normal = _normal(slices[0])
    order = np.argsort(positions @ normal, kind="stable")
    ordered = [slices[i] for i in order]
    fault = _misplaced(ordered, positions[order], normal)
    files = tuple(one.file for one in ordered)
    return replace(named, files=files, fault=fault, affine=None if fault else _affine(ordered, positions[order]))


def read_series(root: Path, series: Series) -> Stored:
    """Read one volume as (D, H, W), laid out as a NIfTI file of it would be.

    Each slice is rescaled as its own header says; padding takes the darkest value of the volume, and a window is kept
    when all slices have the same.
    """
    if series.fault or series.affine is None:
        raise BadFile(series.fault)
    parts = [_slice(root, file) for file in series.files]
    first = parts[0].stored
    for name in ("inverted", "units", "modality", "unscaled"):
        if len({getattr(part.stored, name) for part in parts}) > 1:
            raise BadFile(f"its slices differ in what their values mean ({name}): they are no one volume")
    values = np.stack([_narrow(part.stored.values) for part in parts])
    masks = [np.zeros(values.shape[1:], bool) if part.padding is None else part.padding for part in parts]
    shown = {(part.stored.window, part.stored.display) for part in parts}
    window, display = shown.pop() if len(shown) == 1 else (None, None)
    whole = Padded(replace(first, values=values, window=window, display=display), np.stack(masks)).filled()
    return replace(whole, values=laid_out(whole.values.transpose(2, 1, 0), series.affine))


def _slice(root: Path, file: str) -> Padded:
    try:
        found = read_padded(root / file)
    except BadFile as error:
        raise BadFile(f"its slice {Path(file).name}: {error}") from error
    if not isinstance(found, Padded) or found.stored.values.ndim != 2:
        raise BadFile(f"its slice {Path(file).name} is no grey image of one frame")
    return found


def _narrow(values: NDArray[np.generic]) -> NDArray[np.generic]:
    return values.astype(np.float32) if values.dtype == np.float64 else values


def _differing(slices: Sequence[Slice]) -> str:
    """Say in what slices differ that one volume has in common."""
    without = sum(one.position is None or one.orientation is None for one in slices)
    if without:
        return (
            f"{without} of its {len(slices)} slices have no place in the patient (ImagePositionPatient, "
            "ImageOrientationPatient): their order cannot be told"
        )
    sizes = sorted({one.size for one in slices})
    if len(sizes) > 1:
        return f"its {len(slices)} slices have {len(sizes)} sizes ({' and '.join(f'{h} x {w}' for h, w in sizes)})"
    count = _orientations(slices)
    if count > 1:
        return (
            f"its {len(slices)} slices have {count} orientations (ImageOrientationPatient), as localizers have; save "
            "each as a series of its own"
        )
    spacings = np.array([one.spacing for one in slices])
    if np.ptp(spacings, axis=0).max() > COSINES * spacings.max():
        return "its slices have several pixel sizes (PixelSpacing)"
    if sum(one.size[0] * one.size[1] for one in slices) > MAX_VALUES:
        return f"too large ({len(slices)} slices of {sizes[0]}; the limit is {MAX_VALUES} voxels)"
    return ""


def _orientations(slices: Sequence[Slice]) -> int:
    seen: list[NDArray[np.float64]] = []
    for one in slices:
        cosines = np.array(one.orientation, np.float64)
        if not any(np.abs(cosines - other).max() < COSINES for other in seen):
            seen.append(cosines)
    return len(seen)


def _normal(one: Slice) -> NDArray[np.float64]:
    cosines = np.array(one.orientation, np.float64)
    normal: NDArray[np.float64] = np.cross(cosines[:3], cosines[3:])
    return normal / max(float(np.linalg.norm(normal)), 1e-12)


def _misplaced(slices: Sequence[Slice], positions: NDArray[np.float64], normal: NDArray[np.float64]) -> str:
    """Say what is wrong with the places of slices that are in order."""
    places = positions @ normal
    gaps = np.diff(places)
    if (gaps < ONE_PLACE_MM).any():
        return _twice(slices, places)
    usual = float(np.median(gaps))
    wide = gaps[gaps > 1.5 * usual]
    if len(wide):
        missing = int(np.rint(wide / usual - 1).sum())
        return (
            f"about {missing} of its slices are missing: {len(wide)} gaps of up to {wide.max():.4g} mm where slices "
            f"lie {usual:.4g} mm apart"
        )
    if np.abs(gaps - usual).max() > UNEVEN * usual:
        return f"its slices lie unevenly, {gaps.min():.4g} to {gaps.max():.4g} mm apart; a volume needs one distance"
    way = positions[-1] - positions[0]
    tilt = float(np.degrees(np.arccos(np.clip(way @ normal / np.linalg.norm(way), -1.0, 1.0))))
    if tilt > TILT_DEGREES:
        return f"its slices are tilted by {tilt:.3g} degrees (gantry tilt): undo the shear first, and save it as NIfTI"
    line = positions[0] + np.linspace(0.0, 1.0, len(positions))[:, None] * way
    if np.linalg.norm(positions - line, axis=1).max() > usual:
        return "its slices do not lie behind one another (ImagePositionPatient)"
    return ""


def _twice(slices: Sequence[Slice], places: NDArray[np.float64]) -> str:
    """Say what tells slices at one place apart."""
    groups = np.split(np.arange(len(slices)), np.flatnonzero(np.diff(places) >= ONE_PLACE_MM) + 1)
    shared = max(groups, key=len)
    names = [name for name in slices[0].told if len({slices[i].told[name] for i in shared}) > 1]
    why = f"they differ in {', '.join(names)}" if names else "nothing in their headers tells them apart"
    return (
        f"{len(shared)} of its slices lie at one place ({places[shared[0]]:.4g} mm) and {why}: several volumes, or "
        "copies, in one series; save each volume as a series of its own"
    )


def _affine(slices: Sequence[Slice], positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Build the affine of PS3.3 C.7.6.2.1.1, turned from DICOM's axes (left, back, head) to those of NIfTI."""
    cosines = np.array(slices[0].orientation, np.float64)
    down, across = slices[0].spacing
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = cosines[:3] * across, cosines[3:] * down
    affine[:3, 2] = (positions[-1] - positions[0]) / (len(positions) - 1)
    affine[:3, 3] = positions[0]
    affine[:3] = LPS_TO_RAS @ affine[:3]
    return affine
