"""The order of slices along the patient, and what keeps them from being one volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.decoding.dicom_headers import Place

_ONE_PLACE_MM = 0.01
_UNEVEN = 0.1  # of the usual distance: scanners write positions rounded to a tenth of a millimetre
_TILT_DEGREES = 0.5
_COSINES = 0.01
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Order:
    """How slices lie behind one another.

    Attributes
    ----------
    numbers
        Of the slices as they were given, from one end of the patient to the other; as given where they have no order.
    affine
        (4, 4) from (column, row, slice) to millimetres to the right, front and head; None where there is a fault.
    fault
        Why these slices are no volume; empty when they are one.
    """

    numbers: tuple[int, ...]
    affine: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)
    fault: str = ""


def order_of(slices: Sequence[Place]) -> Order:
    """Order two or more slices along the normal of their plane, or say why they are no volume."""
    fault = _differing(slices)
    if fault:
        return Order(tuple(range(len(slices))), fault=fault)
    positions = np.array([one.position for one in slices], np.float64)
    normal = _normal(slices[0])
    along = np.argsort(positions @ normal, kind="stable")
    ordered = [slices[i] for i in along]
    fault = _misplaced(ordered, positions[along], normal)
    return Order(tuple(along.tolist()), None if fault else _affine(ordered, positions[along]), fault)


def _differing(slices: Sequence[Place]) -> str:
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
    stacks = {one.told.get("StackID", "") for one in slices} - {""}
    if len(stacks) > 1:
        return f"its {len(slices)} slices are of {len(stacks)} stacks (StackID); save each as a series of its own"
    spacings = np.array([one.spacing for one in slices])
    if np.ptp(spacings, axis=0).max() > _COSINES * spacings.max():
        return "its slices have several pixel sizes (PixelSpacing)"
    return ""


def _orientations(slices: Sequence[Place]) -> int:
    seen: list[NDArray[np.float64]] = []
    for one in slices:
        cosines = np.array(one.orientation, np.float64)
        if not any(np.abs(cosines - other).max() < _COSINES for other in seen):
            seen.append(cosines)
    return len(seen)


def _normal(one: Place) -> NDArray[np.float64]:
    cosines = np.array(one.orientation, np.float64)
    normal: NDArray[np.float64] = np.cross(cosines[:3], cosines[3:])
    return normal / max(float(np.linalg.norm(normal)), 1e-12)


def _misplaced(slices: Sequence[Place], positions: NDArray[np.float64], normal: NDArray[np.float64]) -> str:
    """Say what is wrong with the places of slices that are in order."""
    places = positions @ normal
    gaps = np.diff(places)
    if (gaps < _ONE_PLACE_MM).any():
        return _twice(slices, places)
    usual = float(np.median(gaps))
    wide = gaps[gaps > 1.5 * usual]
    if len(wide):
        missing = int(np.rint(wide / usual - 1).sum())
        return (
            f"about {missing} of its slices are missing: {len(wide)} gaps of up to {wide.max():.4g} mm where slices "
            f"lie {usual:.4g} mm apart"
        )
    if np.abs(gaps - usual).max() > _UNEVEN * usual:
        return f"its slices lie unevenly, {gaps.min():.4g} to {gaps.max():.4g} mm apart; a volume needs one distance"
    way = positions[-1] - positions[0]
    tilt = float(np.degrees(np.arccos(np.clip(way @ normal / np.linalg.norm(way), -1.0, 1.0))))
    if tilt > _TILT_DEGREES:
        return f"its slices are tilted by {tilt:.3g} degrees (gantry tilt): undo the shear first, and save it as NIfTI"
    line = positions[0] + np.linspace(0.0, 1.0, len(positions))[:, None] * way
    if np.linalg.norm(positions - line, axis=1).max() > usual:
        return "its slices do not lie behind one another (ImagePositionPatient)"
    return ""


def _twice(slices: Sequence[Place], places: NDArray[np.float64]) -> str:
    """Say what tells slices at one place apart."""
    groups = np.split(np.arange(len(slices)), np.flatnonzero(np.diff(places) >= _ONE_PLACE_MM) + 1)
    shared = max(groups, key=len)
    names = [name for name in slices[0].told if len({slices[i].told[name] for i in shared}) > 1]
    why = f"they differ in {', '.join(names)}" if names else "nothing in their headers tells them apart"
    return (
        f"{len(shared)} of its slices lie at one place ({places[shared[0]]:.4g} mm) and {why}: several volumes, or "
        "copies, in one; save each volume as a series of its own"
    )


def _affine(slices: Sequence[Place], positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Build the affine of PS3.3 C.7.6.2.1.1, turned from DICOM's axes (left, back, head) to those of NIfTI."""
    cosines = np.array(slices[0].orientation, np.float64)
    down, across = slices[0].spacing
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = cosines[:3] * across, cosines[3:] * down
    affine[:3, 2] = (positions[-1] - positions[0]) / (len(positions) - 1)
    affine[:3, 3] = positions[0]
    affine[:3] = _LPS_TO_RAS @ affine[:3]
    return affine
