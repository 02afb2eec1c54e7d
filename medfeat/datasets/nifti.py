"""NIfTI volumes, turned to one orientation so that an axis means the same in every file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.decode import BadFile, missing_extra
from medfeat.datasets.intensity import Stored

MAX_VALUES = 1 << 27


def read_nifti(path: Path) -> Stored:
    """Read a NIfTI file as (D, H, W), or (H, W) when it has a single slice.

    Volumes are turned to the closest of the patient's axes and laid out as a DICOM viewer shows them: slices run from
    foot to head, the front of the patient is at the top and the patient's right at the left.
    """
    try:
        import nibabel
        from nibabel.filebasedimages import ImageFileError
    except ImportError as error:
        raise missing_extra("NIfTI", "nibabel", "nifti", error) from error
    try:
        volume: Any = nibabel.load(path)
    except ImageFileError as error:
        raise BadFile("no NIfTI file") from error
    _check_shape(volume.shape)
    library: Any = nibabel  # which has no types
    values = _voxels(volume.dataobj)
    values = values.reshape(*values.shape[:2], -1)  # a fourth axis has length 1
    values = library.orientations.apply_orientation(values, library.io_orientation(volume.affine))
    # The canonical axes run to the right, the front and the head.
    ordered = np.ascontiguousarray(values.transpose(2, 1, 0)[:, ::-1, ::-1])
    return Stored(ordered[0] if len(ordered) == 1 else ordered, modality=True)


def _voxels(stored: Any) -> NDArray[Any]:
    """Return the values as the header scales them, never wider than they need to be: volumes are large."""
    if stored.dtype.kind not in "uif":
        raise BadFile(f"voxels of {stored.dtype}; numbers are needed")
    plain = (stored.slope, stored.inter) == (1.0, 0.0)
    return np.asarray(stored.get_unscaled()) if plain else np.asarray(stored, dtype=np.float32)


def _check_shape(shape: tuple[int, ...]) -> None:
    if len(shape) < 2 or 0 in shape or math.prod(shape[3:]) != 1:
        raise BadFile(f"shape {shape}; one volume of three axes is needed, save each as a file of its own")
    if math.prod(shape) > MAX_VALUES:
        raise BadFile(f"too large (shape {shape}; the limit is {MAX_VALUES} voxels)")
