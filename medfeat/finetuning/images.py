"""The images of a task in one flat scratch file: readable in any order, in memory only as far as there is room."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from medfeat.counted import counted
from medfeat.errors import DataError, MedfeatError
from medfeat.types import Dataset, IdArray, Images, Progress, UInt8Array

_READ = 256


class ImageFile:
    """Images (or volumes) by position, in the order of the ids they were gathered for.

    Parameters
    ----------
    pixels
        All bytes, one image after the other; mapped, so that the system keeps as much in memory as there is room for.
    starts
        (n,) where each image begins.
    shapes
        (n,) shape of each.
    """

    def __init__(self, pixels: NDArray[np.uint8], starts: NDArray[np.int64], shapes: list[tuple[int, ...]]) -> None:
        self._pixels, self._starts, self._shapes = pixels, starts, shapes

    def __len__(self) -> int:
        return len(self._shapes)

    def take(self, positions: NDArray[np.int64]) -> Images:
        """Return images in the order of `positions`: one array when they share a shape, else a list."""
        images = [self._one(int(position)) for position in positions]
        return np.stack(images) if len({image.shape for image in images}) == 1 else images

    def _one(self, position: int) -> UInt8Array:
        shape, start = self._shapes[position], self._starts[position]
        return np.asarray(self._pixels[start : start + int(np.prod(shape))]).reshape(shape)


@contextmanager
def gathered(dataset: Dataset, ids: IdArray, folder: Path, progress: Progress) -> Iterator[ImageFile]:
    """Read the images of some ids once, each data file from its start to its end, and yield them for any order.

    Parameters
    ----------
    dataset
        Where they are.
    ids
        (n,) of any groups, in any order.
    folder
        Where the scratch file may be; it has no name there and goes with the process.
    progress
        Hears of every batch.

    Raises
    ------
    DataError
        An id that the dataset does not have, or an image that cannot be read any more.
    MedfeatError
        No room for the scratch file.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        starts, shapes = _written(dataset, ids, file, progress)
        yield ImageFile(np.memmap(file, np.uint8, mode="r"), starts, shapes)


def _written(
    dataset: Dataset, ids: IdArray, file: IO[bytes], progress: Progress
) -> tuple[NDArray[np.int64], list[tuple[int, ...]]]:
    starts, at = np.full(len(ids), -1, np.int64), 0
    shapes: list[tuple[int, ...]] = [()] * len(ids)
    progress.start(len(ids), f"reading {dataset.info.name}")
    for group in dataset.info.counts:
        place = {str(name): row for row, name in enumerate(dataset.ids(group).tolist())}
        wanted = {place[name]: position for position, name in enumerate(ids.tolist()) if name in place}
        if not wanted:
            continue
        for batch in dataset.batches(group, _READ, np.array(sorted(wanted), np.int64)):
            for row, image in zip(batch.rows.tolist(), batch.images, strict=True):
                position = wanted[row]
                starts[position], shapes[position] = at, image.shape
                at += _append(file, image)
            progress.advance(len(batch.rows))
    progress.finish()
    file.flush()
    lost = ids[starts < 0]
    if len(lost):
        raise DataError(
            f"{counted(len(lost), 'image')} of {dataset.info.name} cannot be read now, and could be when embedded "
            f"(first {lost[0]}): extract again"
        )
    return starts, shapes


def _append(file: IO[bytes], image: UInt8Array) -> int:
    try:
        return file.write(np.ascontiguousarray(image).data)
    except OSError as error:
        raise MedfeatError(f"no room to keep the images while training ({error}): free some disk space") from error
