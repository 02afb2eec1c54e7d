"""What a folder or a CSV says about own images, before one of them is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from medfeat.datasets.labels.labelling import Labelling

if TYPE_CHECKING:
    from medfeat.datasets.decoding.dicom_series import Series


@dataclass(frozen=True)
class FileList:
    """Own images, in the order of their ids.

    Attributes
    ----------
    name
        Of the set.
    source
        ``folder`` or ``csv``.
    root
        The folder ids start from.
    ids
        Paths relative to the root, posix.
    labelling
        Task, classes and labels; None when there are none.
    split
        ``train``, ``val`` or ``test`` an image, None when not given.
    patients
        One an image, None when not known.
    where
        Where each image is named, such as ``line 7 of labels.csv``; empty when that is the file system itself.
    series
        The files of each image that is a DICOM series, by its id.
    """

    name: str
    source: str
    root: Path
    ids: tuple[str, ...]
    labelling: Labelling | None = None
    split: tuple[str, ...] | None = None
    patients: tuple[str, ...] | None = None
    where: tuple[str, ...] = ()
    series: Mapping[str, Series] = field(default_factory=dict)

    def sorted(self) -> FileList:
        """Return the same images in the order of their ids, which is the order they are stored in."""
        order = sorted(range(len(self.ids)), key=self.ids.__getitem__)

        def pick(values: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(values[i] for i in order)

        return FileList(
            name=self.name,
            source=self.source,
            root=self.root,
            ids=pick(self.ids),
            labelling=self.labelling.taken(order) if self.labelling is not None else None,
            split=pick(self.split) if self.split is not None else None,
            patients=pick(self.patients) if self.patients is not None else None,
            where=pick(self.where) if self.where else (),
            series=self.series,
        )
