"""A dataset in one .npz file of MedMNIST's form: `train_images`, `train_labels` and so on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.decoding.intensity import AUTO, Intensity, OutsideContract
from medfeat.datasets.digests import DigestMemory, changed_meanwhile
from medfeat.datasets.npz.npz_arrays import NpzMember, npz_members, read_array, read_rows
from medfeat.datasets.npz.npz_keys import npz_keys
from medfeat.datasets.npz.unpacked import unpack, unpacked_images
from medfeat.datasets.reading import Reading, workers_meant
from medfeat.errors import DataError
from medfeat.types import BadImage, DatasetInfo, IdArray, ImageBatch, LabelArray, Progress, UInt8Array
from medfeat_cache import Stamp

_MAX_IMAGE_BYTES = 1 << 30
_FORM = "train_images, val_images, test_images (or images alone) of shape (n, H, W), (n, H, W, 3) or (n, D, H, W)"


class NpzArrays:
    """The image and label arrays of an .npz file, checked against each other by their headers.

    Parameters
    ----------
    path
        The file.
    stamp
        Of the file whose digest was taken; by default, as it is now.

    Attributes
    ----------
    images, label_members
        The array of each group; that of images may be where they were unpacked.
    unused
        Names of the arrays that are neither images nor labels.

    Raises
    ------
    DataError
        When the file is damaged or not in MedMNIST's form.
    """

    def __init__(self, path: Path, stamp: Stamp | None = None) -> None:
        self.path = path
        self.stamp = stamp or Stamp.of(path)
        members = npz_members(path)
        keys = npz_keys(members, str(path))
        self.images = {group: members[key] for group, key in keys.images.items()}
        self.label_members = {group: members[key] for group, key in keys.labels.items()}
        self.unused = keys.unused
        if not self.images:
            found = ", ".join(members) or "nothing"
            raise DataError(f"{path} holds {found}; an .npz of images needs {_FORM}")
        for group, member in self.images.items():
            _check_images(member)
            self._check_labels(group, member)
        self._check_one_form()

    def read_unpacked(self, md5: str, memory: DigestMemory, progress: Progress, *, wanted: bool = False) -> NpzArrays:
        """Read images from where they were unpacked, if they were, or are `wanted` to be; see `unpack`.

        Parameters
        ----------
        md5
            Digest of the file.
        memory, progress
            Of the cache that keeps what is unpacked, and what hears of it.
        wanted
            Unpack them now, where nobody did.
        """
        if wanted:
            unpack(self.images, md5, self.stamp, memory, progress)
        self.images = dict(unpacked_images(self.images, md5, memory, progress))
        return self

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups in the file, in official order."""
        return tuple(self.images)

    @property
    def counts(self) -> dict[str, int]:
        """Images a group."""
        return {group: member.shape[0] for group, member in self.images.items()}

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of one image: (H, W), (H, W, 3) or (D, H, W)."""
        return _image_shape(next(iter(self.images.values())))

    @cached_property
    def labels(self) -> dict[str, LabelArray]:
        """(n, k) labels a group, int64 or float64; empty when the file has none, or has them in words."""
        return {} if self.words else {group: _as_labels(member) for group, member in self.label_members.items()}

    @cached_property
    def words(self) -> dict[str, list[str]]:
        """(n,) labels a group as text, where the file has them in words; otherwise empty."""
        if all(member.dtype.kind not in "US" for member in self.label_members.values()):
            return {}
        return {group: _as_words(member) for group, member in self.label_members.items()}

    def _check_one_form(self) -> None:
        """Refuse groups that are grey in one and colour or volumes in another: they are not one set of images."""
        first, *others = self.images.values()
        for other in others:
            if _form(other) != _form(first):
                raise DataError(
                    f"{self.path}: {first.key} of shape {first.shape} holds {_form(first)} and {other.key} of shape "
                    f"{other.shape} {_form(other)}; save every group in one form"
                )

    def _check_labels(self, group: str, images: NpzMember) -> None:
        if set(self.label_members) not in (set(), set(self.images)):
            raise DataError(f"{self.path} has labels for some groups only; give every group labels, or none")
        labels = self.label_members.get(group)
        if labels is not None and (labels.shape[:1] != images.shape[:1] or len(labels.shape) not in (1, 2)):
            raise DataError(
                f"{self.path}: {labels.key} has shape {labels.shape} for {images.shape[0]} images; "
                f"labels must be ({images.shape[0]}, k)"
            )


class NpzDataset:
    """Images streamed from an .npz file; memory stays that of a batch.

    Parameters
    ----------
    arrays
        The arrays of the file.
    info
        What is known of them.
    intensity
        How stored values become uint8.
    labels
        (n, k) labels a group, where they are not those of the file as they are stored.
    workers
        Threads that hash its images; None is one for each core.

    Attributes
    ----------
    reading
        Each group is read by a thread of its own: no two look at the same part of the file.
    """

    def __init__(
        self,
        arrays: NpzArrays,
        info: DatasetInfo,
        *,
        intensity: Intensity = AUTO,
        labels: dict[str, LabelArray] | None = None,
        workers: int | None = None,
    ) -> None:
        self.arrays = arrays
        self.reading = Reading(workers_meant(workers), groups_at_once=True)
        self._info = info
        self._labels = labels
        self._intensity = intensity

    @property
    def info(self) -> DatasetInfo:
        """What is known of it before one image is read."""
        return self._info

    def ids(self, group: str) -> IdArray:
        """(n,) ids ``<group>/<row>``: the row in the stored array."""
        return row_ids(group, self._member(group).shape[0])

    def labels(self, group: str) -> LabelArray | None:
        """(n, k) labels of a group, None when the file has none."""
        self._member(group)
        return (self.arrays.labels if self._labels is None else self._labels).get(group)

    def batches(self, group: str, batch_size: int, rows: NDArray[np.int64] | None = None) -> Iterator[ImageBatch]:
        """Read images in ascending row order, one pass through the file."""
        member = self._member(group)
        shape = _image_shape(member)
        for found, images in read_rows(member, batch_size, rows):
            if Stamp.of(self.arrays.path) != self.arrays.stamp:
                raise changed_meanwhile(self.arrays.path)
            yield self._batch(group, found, images.reshape(len(found), *shape))

    def _batch(self, group: str, rows: NDArray[np.int64], images: NDArray[np.generic]) -> ImageBatch:
        if images.dtype == np.uint8 and self._intensity.takes_uint8:
            return ImageBatch(rows, images.astype(np.uint8, copy=False))
        good: list[UInt8Array] = []
        kept: list[int] = []
        bad: list[BadImage] = []
        for row, image in zip(rows.tolist(), images, strict=True):
            try:
                good.append(self._intensity.apply(image))
                kept.append(row)
            except OutsideContract as error:
                bad.append(BadImage(f"{group}/{row}", str(error), row))
        stacked = np.stack(good) if good else np.empty((0, *images.shape[1:]), np.uint8)
        return ImageBatch(np.array(kept, np.int64), stacked, tuple(bad))

    def _member(self, group: str) -> NpzMember:
        if group not in self.arrays.images:
            raise DataError(f"{self.arrays.path} has the groups {', '.join(self.arrays.groups)}, not {group!r}")
        return self.arrays.images[group]


def row_ids(group: str, count: int) -> IdArray:
    """Return the ids of the rows of a group: ``train/0``, ``train/1`` and so on."""
    return np.array([f"{group}/{row}" for row in range(count)], dtype=np.str_)


def _image_shape(member: NpzMember) -> tuple[int, ...]:
    """Return the shape of one image as medfeat means it: an axis of one channel is dropped."""
    shape = member.shape[1:]
    return shape[:-1] if len(shape) in (3, 4) and shape[-1] == 1 else shape


def _form(member: NpzMember) -> str:
    shape = _image_shape(member)
    if len(shape) == 2:
        return "grey images"
    return "colour images" if shape[-1] == 3 else "volumes"


def _check_images(member: NpzMember) -> None:
    shape, where = member.shape, f"{member.path}: {member.key} of shape {member.shape}"
    if len(shape) in (3, 4, 5) and shape[0] == 0:
        raise DataError(f"{where} holds no images; save at least one, or leave this group out")
    # One channel first, as torch lays images out, would pass for a volume of one slice.
    if len(shape) in (4, 5) and shape[1] == 1 and shape[-1] not in (1, 3):
        raise DataError(f"{where} has an axis of one channel in front; drop it: images[:, 0]")
    if len(shape) not in (3, 4, 5) or len(_image_shape(member)) not in (2, 3) or 0 in shape[1:]:
        raise DataError(f"{where} holds no images; needed are {_FORM}")
    if len(shape) == 4 and shape[1] == 3 and shape[-1] > 4:
        raise DataError(f"{where} has its channels first; move them last: images.transpose(0, 2, 3, 1)")
    if len(shape) == 4 and shape[-1] in (2, 4):
        raise DataError(f"{where} has {shape[-1]} channels; images have 1 or 3, volumes are (n, D, H, W)")
    if member.row_bytes > _MAX_IMAGE_BYTES:
        raise DataError(f"{where} has images of {member.row_bytes} bytes; the limit is {_MAX_IMAGE_BYTES}")
    if member.dtype.kind not in "uif":
        raise DataError(f"{where} has dtype {member.dtype}; images are uint8, or numbers with a declared intensity")


def _as_words(member: NpzMember) -> list[str]:
    values = read_array(member)
    if values.dtype.kind not in "US" or values.size != len(values):
        raise DataError(
            f"{member.path}: {member.key} has dtype {values.dtype} and shape {values.shape}; labels in words are text, "
            "one an image, in every group"
        )
    try:
        texts = values.reshape(-1) if values.dtype.kind == "U" else np.char.decode(values.reshape(-1), "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{member.path}: {member.key} is no UTF-8 text; save labels as str") from error
    return [str(text).strip() for text in texts.tolist()]


def _as_labels(member: NpzMember) -> LabelArray:
    values = read_array(member)
    if values.dtype.kind not in "uifb":
        raise DataError(f"{member.path}: {member.key} has dtype {values.dtype}; labels are numbers, or text")
    values = values.reshape(len(values), -1)
    if values.dtype.kind != "f":
        return values.astype(np.int64)
    if not np.isfinite(values).all():
        rows = np.flatnonzero(~np.isfinite(values).all(axis=1)).tolist()
        more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
        raise DataError(
            f"{member.path}: {member.key} has no number in row {rows[0]}{more}; every image needs a label: "
            "leave these images out, or save none"
        )
    return values.astype(np.float64)
