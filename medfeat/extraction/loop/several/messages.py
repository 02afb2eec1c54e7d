"""What the process that writes the stores and those that embed tell each other: pickles through pipes, one a frame.

Both ends are the same program, and a pipe belongs to these two processes alone: nothing here is read from a file.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medfeat.extraction.ask.run_settings import RunSettings
from medfeat.types import Dataset, Fit

if TYPE_CHECKING:
    from medfeat.backbones import Backbone

_LENGTH_BYTES = 8


@dataclass(frozen=True)
class Job:
    """All that a process must know before it is given images.

    Attributes
    ----------
    dataset
        Which it reads for itself.
    load
        Loads the backbone, as the first process did.
    fit, copies, settings
        As `medfeat.extraction.network.build.make_embedder` takes them; the device is told apart.
    fingerprint
        Of the network's parameters and buffers as they must be, before and after.
    recipes
        Of the stores, by the number of their view.
    part_batches
        Batches in a part.
    """

    dataset: Dataset
    load: Callable[[], Backbone]
    fit: Fit
    copies: str
    settings: RunSettings
    fingerprint: str
    recipes: Mapping[int, dict[str, Any]]
    part_batches: int


@dataclass(frozen=True)
class Share:
    """Images to embed: (n,) ascending rows that each store misses, by the number of its view and the group."""

    missing: Mapping[int, Mapping[str, NDArray[np.int64]]]


@dataclass(frozen=True)
class Rows:
    """A part of one store, as `medfeat_cache.StoreWriter.write_rows` takes it."""

    view: int
    group: str
    rows: NDArray[np.int64]
    embeddings: NDArray[Any]
    hashes: NDArray[np.uint8]
    bad: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Changed:
    """Settings had to change on the way, as the batch size when memory ran out."""

    reason: str
    changes: Mapping[str, Any]


@dataclass(frozen=True)
class Advanced:
    """So many more images are done, though not durable yet."""

    images: int


@dataclass(frozen=True)
class Finished:
    """A share is done: seconds of each stage, and the most memory the process has held, in bytes."""

    stages: Mapping[str, float]
    peak_bytes: int


@dataclass(frozen=True)
class Failed:
    """The process ends with this error."""

    error: Exception


@dataclass(frozen=True)
class Lost:
    """The process is gone; said by whoever listened to it."""


Told = Rows | Changed | Advanced | Finished | Failed | Lost


def frame(message: object) -> bytes:
    """Spell a message as it goes through a pipe."""
    body = pickle.dumps(message, protocol=5)
    return len(body).to_bytes(_LENGTH_BYTES, "little") + body


def read_frame(pipe: BinaryIO) -> bytes | None:
    """Read one message for `pickle.loads`; None when the other end is gone, be it amid a message."""
    head = pipe.read(_LENGTH_BYTES)
    length = int.from_bytes(head, "little")
    body = pipe.read(length) if len(head) == _LENGTH_BYTES else b""
    return body if body and len(body) == length else None
