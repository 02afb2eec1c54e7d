"""Where a program's images come from, one by one: arrays, lists, torch datasets, Hugging Face datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medfeat.datasets.objects.object_images import is_picture, is_tensor
from medfeat.errors import UsageError

_IMAGE_KEYS = ("image", "img", "pixel_values")
_LABEL_KEYS = ("label", "labels", "target")
KINDS = (
    "a medfeat Dataset, a torch Dataset of (image, label), a medmnist or torchvision set, a Hugging Face dataset, "
    "an array (n, H, W[, 3]), a list of Pillow images, arrays or paths, or a dict of these with train, val and test"
)


@dataclass(frozen=True)
class Item:
    """One image as it was given, with its label and patient where they are known."""

    image: object
    label: object = None
    patient: object = None


@dataclass(frozen=True)
class Items:
    """Images of one group, to be asked for one by one.

    Attributes
    ----------
    count
        How many.
    get
        From a position to an item; raises whatever the object behind it raises.
    classes
        Names in label order; empty when not known.
    """

    count: int
    get: Callable[[int], Item]
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ItemColumns:
    """Which columns of a table of images hold what; None where there is only one choice."""

    image: str | None = None
    label: str | None = None
    patient: str | None = None

    def given(self) -> bool:
        """Whether any was named."""
        return any((self.image, self.label, self.patient))


def items_of(data: Any, columns: ItemColumns = ItemColumns()) -> Items:
    """Say how to get at the images of an object; none is read.

    Raises
    ------
    UsageError
        When it is none of `KINDS`.
    """
    if _is_hugging_face(data):
        return _hugging_face(data, columns)
    if columns.given():
        raise UsageError(f"columns are for a .csv or a Hugging Face dataset, and this is a {type(data).__name__}")
    if isinstance(data, np.ndarray) or is_tensor(data):
        if data.ndim < 3:
            raise UsageError(f"an array of images has a first axis of samples, (n, H, W[, 3]), got {tuple(data.shape)}")
        if data.ndim == 3 and data.shape[-1] == 3 and min(data.shape[:2]) > 3:
            raise UsageError(f"an array {tuple(data.shape)} is one image in colour: give image[None], or a list of it")
        return Items(len(data), lambda row: Item(data[row]))
    if isinstance(data, (str, bytes, Path)) or is_picture(data) or not hasattr(data, "__getitem__"):
        raise UsageError(f"a {type(data).__name__} is none of what can be embedded; give {KINDS}")
    if not hasattr(data, "__len__"):
        raise UsageError(f"a {type(data).__name__} has no length: images are read twice, so give a map-style dataset")
    try:
        count = len(data)
    except Exception as error:  # the code of others: medmnist asserts that nobody has cut its arrays
        raise UsageError(f"a {type(data).__name__} cannot say its length ({type(error).__name__}): mend it") from error
    # a dataset that turns its labels into others no longer knows what they are called
    classes = () if getattr(data, "target_transform", None) else getattr(data, "classes", ())
    named = tuple(map(str, classes)) if isinstance(classes, (list, tuple)) else ()
    return Items(count, lambda row: _item(data[row]), named)


def _is_hugging_face(data: object) -> bool:
    """Whether an object is a table of the Hugging Face package `datasets`."""
    return type(data).__module__.partition(".")[0] == "datasets" and hasattr(data, "column_names")


def _item(found: object) -> Item:
    """Take an image, a pair of image and label, or a dict of both."""
    if isinstance(found, Mapping):
        keys = [next((key for key in wanted if key in found), None) for wanted in (_IMAGE_KEYS, _LABEL_KEYS)]
        if keys[0] is None:
            raise TypeError(f"a dict of {', '.join(map(str, found))} has no {' or '.join(_IMAGE_KEYS)}")
        return Item(found[keys[0]], None if keys[1] is None else found[keys[1]])
    if isinstance(found, tuple):
        if len(found) not in (1, 2):
            raise TypeError(f"a tuple of {len(found)} is no pair of image and label")
        return Item(found[0], found[1] if len(found) == 2 else None)
    return Item(found)


def _hugging_face(data: Any, columns: ItemColumns) -> Items:
    if not hasattr(data, "__getitem__") or not hasattr(data, "__len__"):
        raise UsageError("a streamed Hugging Face dataset has no length: images are read twice, so load it whole")
    if (data.format or {}).get("type") == "custom":
        raise UsageError("this Hugging Face dataset has a transform: give dataset.with_format(None), which has none")
    features = data.features
    pictures = [name for name, kind in features.items() if type(kind).__name__ == "Image"]
    image = _column(columns.image, pictures, features, "path_column", "images")
    if image is None:
        raise UsageError(f"no column of {', '.join(features)} holds images: cast one to datasets.Image()")
    kinds = [name for name, kind in features.items() if type(kind).__name__ == "ClassLabel"]
    named = kinds or [name for name in _LABEL_KEYS if name in features]
    label = _column(columns.label, named, features, "label_column", "labels")
    patient = _column(columns.patient, [], features, "patient_column", "patients")
    wanted = [name for name in (image, label, patient) if name is not None]
    table = data.with_format(None).select_columns(wanted)
    names = getattr(features[label], "names", ()) if label is not None else ()

    def get(row: int) -> Item:
        found = table[row]
        return Item(found[image], None if label is None else found[label], None if patient is None else found[patient])

    return Items(len(data), get, tuple(names))


def _column(asked: str | None, found: Sequence[str], known: Sequence[str], option: str, what: str) -> str | None:
    if asked is not None:
        if asked not in known:
            raise UsageError(f"{option} must be one of {', '.join(known)}, got {asked!r}")
        return asked
    if len(found) > 1:
        raise UsageError(f"the columns {', '.join(found)} all hold {what}: name one with {option}=")
    return found[0] if found else None
