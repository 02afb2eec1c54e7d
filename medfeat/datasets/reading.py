"""How a dataset may be read: by how many threads, and whether its groups may be read at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from medfeat.cost import usable_cores
from medfeat.errors import UsageError
from medfeat.types import Dataset, ImageBatch, UInt8Array

AUTO_WORKERS = "auto"


@runtime_checkable
class HashesAsRead(Protocol):
    """A dataset that can hash images in the threads that decode them."""

    def hashed_batches(
        self, group: str, batch_size: int, rows: NDArray[np.int64] | None = None
    ) -> Iterator[tuple[ImageBatch, UInt8Array]]:
        """Read as `Dataset.batches` does, each batch with the (n, 16) hashes of its images."""
        ...


@dataclass(frozen=True)
class Reading:
    """What a dataset says in its attribute ``reading``, if it has one.

    Attributes
    ----------
    workers
        Threads that decode and hash images.
    groups_at_once
        Whether `Dataset.batches` of several groups may run at the same time, each in a thread of its own.
    """

    workers: int
    groups_at_once: bool = False


def reading_of(dataset: Dataset) -> Reading:
    """Return how a dataset may be read; one that says nothing is read group by group, and hashed on every core."""
    found = getattr(dataset, "reading", None)
    return found if isinstance(found, Reading) else Reading(usable_cores())


def workers_meant(asked: int | str | None) -> int:
    """Return how many threads are meant: ``auto``, like None, is one for each core that this process may use.

    Raises
    ------
    UsageError
        When it is no positive whole number.
    """
    if asked in (None, AUTO_WORKERS):
        return usable_cores()
    try:
        number = int(str(asked))
    except ValueError as error:
        raise UsageError(f"--workers must be auto or a positive whole number, got {asked!r}") from error
    if number < 1:
        raise UsageError(f"--workers must be auto or a positive whole number, got {number}")
    return number
