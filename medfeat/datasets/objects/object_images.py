"""One image as a program holds it: a picture of Pillow's, an array, a tensor, or the path of a file."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.decoding.bad_file import BadFile
from medfeat.datasets.decoding.decode import read_stored
from medfeat.datasets.decoding.intensity import Stored
from medfeat.datasets.decoding.slabs import whole

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMS = "(H, W), (H, W, 3) or (D, H, W); tensors may have their one or three channels in front"


def stored_image(value: object) -> Stored:
    """Return the values of one image, as a reader of files returns them.

    Parameters
    ----------
    value
        A Pillow image, an array or tensor of `_FORMS`, or the path of an image, DICOM or NIfTI file.

    Returns
    -------
    Stored
        (H, W), (H, W, 3) or (D, H, W) values of whatever type they have.

    Raises
    ------
    BadFile
        When it is none of these, or its form can be meant in two ways.
    """
    if is_picture(value):
        from medfeat.datasets.decoding.picture import stored_picture

        return stored_picture(cast("Image", value))
    if isinstance(value, (str, Path)):
        found = read_stored(Path(value))
        return replace(found, values=whole(found.values))
    if is_tensor(value):
        return _stored(_of_tensor(_numbers(value)))
    if isinstance(value, (np.ndarray, list)) or hasattr(value, "__array__"):
        return _stored(_of_array(_checked(np.asarray(value))))
    raise BadFile(f"a {type(value).__name__} is no image; give Pillow images, arrays, tensors or paths")


def is_picture(value: object) -> bool:
    """Whether a value is an image of Pillow's; found out without importing it."""
    package = sys.modules.get("PIL.Image")
    return package is not None and isinstance(value, package.Image)


def is_tensor(value: object) -> bool:
    """Whether a value is a torch tensor; found out without importing torch."""
    return hasattr(value, "detach") and hasattr(value, "numpy")


def _stored(values: NDArray[Any]) -> Stored:
    return Stored(values, colour=values.ndim == 3 and values.shape[-1] == 3)


def _numbers(tensor: Any) -> NDArray[Any]:
    plain = tensor.detach().cpu()
    if str(plain.dtype) == "torch.bfloat16":  # numpy has no such type
        plain = plain.float()
    return _checked(np.asarray(plain))


def _checked(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind not in "uif" or values.size == 0:
        raise BadFile(f"values of type {values.dtype} and shape {values.shape}; an image is of numbers, {_FORMS}")
    return values


def _of_tensor(values: NDArray[Any]) -> NDArray[Any]:
    """Lay out a tensor: a first axis of 1 or 3 is that of the channels, as torch lays images out."""
    if values.ndim == 3 and values.shape[0] == 3:
        return np.ascontiguousarray(values.transpose(1, 2, 0))
    if values.ndim == 3 and values.shape[0] in (2, 4):
        raise BadFile(f"a tensor of shape {values.shape} has {values.shape[0]} channels or slices; needed are {_FORMS}")
    return _of_array(values)


def _of_array(values: NDArray[Any]) -> NDArray[Any]:
    """Lay out an array: channels come last, and an axis of one channel is dropped wherever it is."""
    if values.ndim in (3, 4) and values.shape[-1] == 1:
        values = values[..., 0]
    elif values.ndim in (3, 4) and values.shape[0] == 1:
        values = values[0]
    shape = values.shape
    if len(shape) == 3 and shape[0] == 3 and shape[-1] > 4:
        raise BadFile(f"an array of shape {shape} has its channels first; move them last: image.transpose(1, 2, 0)")
    if len(shape) == 3 and shape[-1] in (2, 4):
        raise BadFile(f"an array of shape {shape} has {shape[-1]} channels; images have 1 or 3")
    if len(shape) not in (2, 3):
        raise BadFile(f"values of shape {shape} are no image; needed are {_FORMS}")
    return values
