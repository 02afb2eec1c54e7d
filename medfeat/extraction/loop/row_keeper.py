"""What the loop asks of whoever keeps the rows of one view: a store's writer, or what hands them on to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medfeat_cache.manifest import Manifest


class RowKeeper(Protocol):
    """Keeps the rows of one view; `medfeat_cache.StoreWriter` says what each name means."""

    manifest: Manifest

    def missing_rows(self, group: str) -> NDArray[np.int64]:
        """Return the rows that are still to be embedded, ascending."""
        ...

    def change_settings(self, reason: str, **changes: Any) -> None:
        """Note that settings had to change on the way."""
        ...

    def write_rows(
        self, group: str, rows: ArrayLike, embeddings: NDArray[Any], image_hash: NDArray[Any], bad: Sequence[Any] = ()
    ) -> None:
        """Keep some rows of a group, and (id, reason) of the images that could not be read."""
        ...
