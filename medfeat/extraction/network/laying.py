"""Images that are resized before their turn, by threads beside the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from medfeat.datasets.bounds import stacked
from medfeat.types import Images, UInt8Array

# Larger ones are resized one at a time: that takes four bytes a pixel of each.
_LARGE_BYTES = 12 << 20

Lay = Callable[[UInt8Array], UInt8Array]


@dataclass(frozen=True)
class Laid:
    """Images of which nothing is left to resize.

    Attributes
    ----------
    images
        Their levels: one array, unless they are padded and of unequal shapes.
    """

    images: Images

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[UInt8Array]:
        return iter(self.images)


@runtime_checkable
class LaysAhead(Protocol):
    """A network that can take images resized."""

    def laying(self, images: Images) -> Lay | None:
        """Return what resizes each of some images in any thread; None where it is done sooner with all of them."""
        ...

    def submit(self, images: Images, *, laid: bool) -> Any:
        """Start embedding images; `laid` were resized already."""
        ...


def laid_ahead(images: Images, embedder: object, threads: Executor) -> Images | Laid:
    """Resize images by several threads, where the network says that it should be done so.

    Parameters
    ----------
    images
        A batch; one of no images stays as it is.
    embedder
        What they are for.
    threads
        That resize them.
    """
    if len(images) == 0 or not isinstance(embedder, LaysAhead):
        return images
    lay = embedder.laying(images)
    if lay is None:
        return images
    large = any(image.nbytes > _LARGE_BYTES for image in images)
    return Laid(stacked(list((map if large else threads.map)(lay, images))))
