"""One layout for volumes, so that an axis means the same whatever kind of file it comes from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.decoding.bad_file import BadFile
from medfeat.errors import MissingExtraError

_SMALLEST_VOLUME_RATIO = 1e-6


def laid_out(values: NDArray[Any], affine: NDArray[np.float64]) -> NDArray[Any]:
    """Turn a volume to the closest of the patient's axes, as a viewer shows it.

    Parameters
    ----------
    values
        (i, j, k) voxels.
    affine
        (4, 4) from voxels to millimetres to the patient's right, front and head.

    Returns
    -------
    ndarray
        (D, H, W): slices from foot to head, the front of the patient at the top, the right at the left. A volume of
        one slice is the picture of that slice: of a sagittal or coronal one the head is at the top, and the front
        (or the right) at the left.

    Raises
    ------
    BadFile
        When the affine does not tell the axes.
    """
    return np.ascontiguousarray(turned(values, affine))


def turned(values: NDArray[Any], affine: NDArray[np.float64]) -> NDArray[Any]:
    """Return what `laid_out` does as a view of the values."""
    try:
        import nibabel
    except ImportError as error:
        raise MissingExtraError.of("volumes files need", "nibabel", "nifti", error) from error
    library: Any = nibabel  # which has no types
    turns = library.io_orientation(_whole(np.asarray(affine, np.float64), values.shape))
    straight: NDArray[Any] = library.orientations.apply_orientation(values, turns)
    # The turned axes run to the right, the front and the head.
    across, deep, high = straight.shape
    ordered: NDArray[Any] = straight.transpose(2, 1, 0)[:, ::-1, ::-1]
    if high == 1:
        ordered = ordered[0]
    elif deep == 1:
        ordered = ordered[::-1, 0]
    elif across == 1:
        ordered = ordered[::-1, :, 0]
    return ordered


def _whole(affine: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Check an affine; the axis of a single slice, if it has no length, is the one that is left."""
    axes = affine[:3, :3].copy()
    lengths = np.sqrt((axes**2).sum(axis=0))
    empty = [axis for axis in range(3) if lengths[axis] == 0 and shape[axis] == 1]
    if len(empty) == 1:
        one, other = (axes[:, (empty[0] + step) % 3] for step in (1, 2))
        axes[:, empty[0]] = np.cross(one, other)
        lengths = np.sqrt((axes**2).sum(axis=0))
    if not np.isfinite(affine).all() or not lengths.all():
        raise BadFile("its affine (sform or qform) has an axis without length; write the orientation again")
    if abs(np.linalg.det(axes / lengths)) < _SMALLEST_VOLUME_RATIO:
        raise BadFile("its affine (sform or qform) has two axes along one line; write the orientation again")
    whole = affine.copy()
    whole[:3, :3] = axes
    return whole
