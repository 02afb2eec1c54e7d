"""A program's own images as a dataset: looked at once for their identity, read again when they are embedded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medfeat.counted import none_of
from medfeat.datasets.decoding.bad_file import BadFile
from medfeat.datasets.decoding.intensity import Intensity, OutsideContract, Stored, bounds_of, needs_contract
from medfeat.datasets.folders.file_list import FileList
from medfeat.datasets.folders.lost_classes import refuse_lost_classes
from medfeat.datasets.hashing import HASH_BYTES, image_hash
from medfeat.datasets.labels.patients import nobody, one_spelling
from medfeat.datasets.objects.object_images import stored_image
from medfeat.datasets.objects.object_items import Item, Items
from medfeat.datasets.objects.object_labels import UNREAD, ObjectLabels, object_labels
from medfeat.datasets.reading import Reading, workers_meant
from medfeat.errors import DataError, MissingExtraError
from medfeat.types import (
    OWN_GROUP,
    BadImage,
    DatasetInfo,
    IdArray,
    ImageBatch,
    LabelArray,
    Progress,
    TaskType,
    UInt8Array,
)

_NO_HASH = bytes(HASH_BYTES)


@dataclass
class _Seen:
    """What the one look found of a group; a few bytes an image."""

    hashes: list[bytes] = field(default_factory=list)
    bad: dict[int, BadImage] = field(default_factory=dict)
    labels: list[object] = field(default_factory=list)
    patients: list[object] = field(default_factory=list)


class ObjectDataset:
    """Images that a program holds or makes, in the order it gives them.

    Parameters
    ----------
    name
        Of the set.
    groups
        The images of each group: ``train``, ``val`` and ``test``, or ``all``.
    ids
        (n,) ids a group, unique over all.
    intensity
        How values become uint8.
    task, classes
        What the labels mean, and the class names in label order; without them it is told from labels and groups.
    progress
        Where the one look is shown.

    Raises
    ------
    DataError
        When no image can be read, values need an intensity that was not declared, or labels cannot be meant.

    Attributes
    ----------
    split
        None: groups are the split, or there is none.
    patients
        (n,) patient an image over all groups, None when not known.
    """

    split: IdArray | None = None

    def __init__(
        self,
        name: str,
        groups: Mapping[str, Items],
        ids: Mapping[str, IdArray],
        *,
        intensity: Intensity,
        task: TaskType | None,
        classes: Sequence[str] = (),
        progress: Progress,
        workers: int | None = None,
    ) -> None:
        self.reading = Reading(workers_meant(workers))
        self._name, self._groups, self._ids, self._intensity = name, dict(groups), dict(ids), intensity
        self._ndim = 0
        self._shapes: set[tuple[int, ...]] = set()
        self._seen = {group: _Seen() for group in groups}
        self._content = hashlib.blake2b(b"object\n", digest_size=16)
        fingerprint = self._look(progress)
        given = {group: seen.labels for group, seen in self._seen.items()}
        known = next((items.classes for items in self._groups.values() if items.classes), ())
        labels = object_labels(name, given, task, progress, known=known, wanted=classes)
        self._labels = labels.values
        self._refuse_lost(labels)
        self.patients = self._all_patients(progress)
        self._info = self._describe(fingerprint, labels)
        for seen in self._seen.values():
            seen.labels, seen.patients = [], []

    def __repr__(self) -> str:
        info = self._info
        return f"{type(self).__name__}({info.name!r}, {dict(info.counts)}, {info.task or 'no labels'})"

    @property
    def info(self) -> DatasetInfo:
        """What is known of it."""
        return self._info

    def ids(self, group: str) -> IdArray:
        """(n,) ids of a group, in the order it was given."""
        self._check(group)
        return self._ids[group]

    def labels(self, group: str) -> LabelArray | None:
        """(n, k) labels of a group, None when there are none."""
        self._check(group)
        return self._labels.get(group)

    def batches(self, group: str, batch_size: int, rows: NDArray[np.int64] | None = None) -> Iterator[ImageBatch]:
        """Read images in ascending row order; each must be what it was when it was looked at.

        Raises
        ------
        DataError
            An image that is another one each time it is read.
        """
        self._check(group)
        wanted = range(self._groups[group].count) if rows is None else np.asarray(rows, np.int64).tolist()
        for start in range(0, len(wanted), batch_size):
            yield self._batch(group, wanted[start : start + batch_size])

    def _batch(self, group: str, rows: Sequence[int]) -> ImageBatch:
        bad = self._seen[group].bad
        kept = [row for row in rows if row not in bad]
        images = [self._same(group, row) for row in kept]
        one_shape = len({image.shape for image in images}) == 1
        return ImageBatch(
            np.array(kept, np.int64),
            np.stack(images) if one_shape else images,
            tuple(bad[row] for row in rows if row in bad),
        )

    def _same(self, group: str, row: int) -> UInt8Array:
        image = self._read(group, row)
        if isinstance(image, BadImage) or image_hash(image) != self._seen[group].hashes[row]:
            raise DataError(
                f"{self._ids[group][row]} of {self._name} is another image each time it is read: give the images "
                "without random transforms"
            )
        return image

    def _look(self, progress: Progress) -> str:
        """Read every image once; return the digest of all that decides what is embedded."""
        digest = hashlib.blake2b(f"object;{self._intensity}\n".encode(), digest_size=16)
        progress.start(sum(items.count for items in self._groups.values()), f"hashing {self._name}")
        try:
            for group, items in self._groups.items():
                for one in (digest, self._content):
                    one.update(f"{group}:{items.count}\n".encode())
                for row in range(items.count):
                    given = self._look_at(group, row).hex()
                    made = self._seen[group].hashes[row].hex()
                    digest.update(f"{self._ids[group][row]}\0{made}\n".encode())
                    self._content.update(f"{self._ids[group][row]}\0{given}\n".encode())
                    progress.advance(1)
        finally:
            progress.finish()
        if not self._shapes:
            raise self._nothing()
        return f"blake2b:{digest.hexdigest()}"

    def _look_at(self, group: str, row: int) -> bytes:
        """Take in one image; return the digest of its values as they were given, whatever contract is declared."""
        seen = self._seen[group]
        item = self._item(group, row)
        stored = self._stored(group, row, item)
        image = stored if isinstance(stored, BadImage) else self._applied(group, row, stored)
        seen.labels.append(item.label if isinstance(item, Item) else UNREAD)
        seen.patients.append(item.patient if isinstance(item, Item) else UNREAD)
        if isinstance(image, BadImage):
            seen.bad[row] = image
            seen.hashes.append(_NO_HASH)
        else:
            self._shapes.add(image.shape)
            seen.hashes.append(image_hash(image))
        return _NO_HASH if isinstance(stored, BadImage) else _values_hash(stored)

    def _item(self, group: str, row: int) -> Item | BadImage:
        try:
            return self._groups[group].get(row)
        except (MissingExtraError, MemoryError):
            raise
        except Exception as error:  # the code of others, which one damaged file must not end
            return self._bad(group, row, f"cannot be read ({_said(error)})")

    def _read(self, group: str, row: int) -> UInt8Array | BadImage:
        stored = self._stored(group, row, self._item(group, row))
        return stored if isinstance(stored, BadImage) else self._applied(group, row, stored)

    def _stored(self, group: str, row: int, item: Item | BadImage) -> Stored | BadImage:
        if isinstance(item, BadImage):
            return item
        try:
            stored = stored_image(item.image)
            self._know(group, row, stored)
            if stored.is_volume != (self._ndim == 3):
                kinds = ("an image", "volumes") if self._ndim == 3 else ("a volume", "images")
                return self._bad(group, row, f"{kinds[0]} of shape {stored.values.shape} among {kinds[1]}")
            return stored
        except (MissingExtraError, MemoryError, DataError):
            raise
        except BadFile as error:
            return self._bad(group, row, str(error))
        except Exception as error:  # decoders raise anything on damaged files
            return self._bad(group, row, f"cannot be decoded ({_said(error)})")

    def _applied(self, group: str, row: int, stored: Stored) -> UInt8Array | BadImage:
        try:
            return self._intensity.apply(stored)
        except OutsideContract as error:
            return self._bad(group, row, str(error))

    def _know(self, group: str, row: int, stored: Stored) -> None:
        """Take the first image for what the others are like, and see that the contract covers it."""
        if self._ndim:
            return
        if self._intensity.takes_uint8 and stored.values.dtype != np.uint8:
            raise DataError(
                f"{self._ids[group][row]} of {self._name}: {needs_contract(stored)}; {_as_stored(stored)}, or declare "
                "an intensity"
            )
        self._ndim = 3 if stored.is_volume else 2

    def _bad(self, group: str, row: int, reason: str) -> BadImage:
        return BadImage(str(self._ids[group][row]), reason, row)

    def _nothing(self) -> DataError:
        bad = [one for seen in self._seen.values() for one in seen.bad.values()]
        said = f", such as {bad[0].id}: {bad[0].reason}" if bad else ""
        return DataError(f"{none_of(len(bad), 'image')} of {self._name} can be read{said}")

    def _refuse_lost(self, labels: ObjectLabels) -> None:
        """Refuse a class or a split of which no image could be read, as of files."""
        rows = [(group, row) for group, items in self._groups.items() for row in range(items.count)]
        listing = FileList(
            name=self._name,
            source="object",
            root=Path(self._name),
            ids=tuple(str(self._ids[group][row]) for group, row in rows),
            labelling=labels.together(),
            split=None if OWN_GROUP in self._groups else tuple(group for group, _ in rows),
        )
        refuse_lost_classes(listing, lambda row: self._seen[rows[row][0]].bad.get(rows[row][1]))

    def _all_patients(self, progress: Progress) -> IdArray | None:
        found = [patient for seen in self._seen.values() for patient in seen.patients]
        if all(patient is None or patient is UNREAD for patient in found):
            return None
        written = ["" if patient is UNREAD or patient is None else str(patient) for patient in found]
        if any(found[place] is not UNREAD for place in nobody(written)):
            raise DataError(f"some images of {self._name} have no patient; give every image one, or none")
        patients, said = one_spelling(written)
        if said:
            progress.say(f"{self._name}: {said}")
        return np.array(patients, dtype=np.str_)

    def _describe(self, fingerprint: str, labels: ObjectLabels) -> DatasetInfo:
        sides = {side for shape in self._shapes for side in (shape if self._ndim == 3 else shape[:2])}
        colours = {3 if len(shape) == 3 and self._ndim == 2 else 1 for shape in self._shapes}
        return DatasetInfo(
            name=self._name,
            size=sides.pop() if len(sides) == 1 else 0,
            task=labels.task,
            classes=labels.classes,
            channels=colours.pop() if len(colours) == 1 else 0,
            ndim=self._ndim,
            counts={group: items.count for group, items in self._groups.items()},
            fingerprint=fingerprint,
            source="object",
            intensity=str(self._intensity),
            content=f"blake2b:{self._content.hexdigest()}",
        )

    def _check(self, group: str) -> None:
        if group not in self._groups:
            raise DataError(f"{self._name} has the groups {', '.join(self._groups)}, not {group!r}")


def _as_stored(stored: Stored) -> str:
    """Say how images are given that need no contract."""
    low, high = bounds_of(stored.values)
    if stored.values.dtype.kind in "ui" and low >= 0 and high <= 255:
        return 'where all values of all images lie in 0..255, give images.astype("uint8")'
    return "give the images as they are stored, without the transform that made these values"


def _values_hash(stored: Stored) -> bytes:
    values = np.ascontiguousarray(stored.values)
    digest = hashlib.blake2b(f"{values.dtype} {values.shape};".encode(), digest_size=HASH_BYTES)
    digest.update(values.data)
    return digest.digest()


def _said(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0].strip() or type(error).__name__
