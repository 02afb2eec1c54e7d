"""A class or a split of which not one image can be read is an error: what is left would be another question."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from medfeat.counted import none_of
from medfeat.datasets.folders.file_list import FileList
from medfeat.errors import DataError
from medfeat.types import BadImage

# Beyond these many classes an image of each is too much to read before work begins.
MOST_CLASSES = 200


def refuse_lost_classes(listing: FileList, read: Callable[[int], object | BadImage]) -> None:
    """Read images of each class and each given split until one is good.

    Parameters
    ----------
    listing
        The images.
    read
        Reads one by its row; a `BadImage` when that fails.

    Raises
    ------
    DataError
        Naming the class or split, how many images it has, and why one of them cannot be read.
    """
    known: dict[int, BadImage | None] = {}
    for what, rows in _groups(listing):
        bad = []
        for row in rows.tolist():
            if row not in known:
                image = read(row)
                known[row] = image if isinstance(image, BadImage) else None
            if (problem := known[row]) is None:
                break
            bad.append(problem)
        else:
            raise DataError(
                f"{none_of(len(bad), 'image')} of {what} in {listing.root} can be read, such as {bad[0].id}: "
                f"{bad[0].reason}; mend them, or take {what} out"
            )


def _groups(listing: FileList) -> Iterator[tuple[str, NDArray[np.int64]]]:
    labelling = listing.labelling
    if labelling is not None and labelling.task != "regression" and len(labelling.classes) <= MOST_CLASSES:
        for number, name in enumerate(labelling.classes):
            several = labelling.task == "multi-label"
            there = labelling.values[:, number] == 1 if several else labelling.values[:, 0] == number
            if there.any():
                yield f"the class {name}", np.flatnonzero(there)
    for split in sorted(set(listing.split or ())):
        yield f"the split {split}", np.flatnonzero(np.array(listing.split) == split)
