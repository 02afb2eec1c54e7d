"""A dataset whose file is not here: what it is called is known, its images are not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import MissingFileError
from medfeat.types import DatasetInfo, IdArray, ImageBatch, LabelArray


@dataclass(frozen=True)
class NotHere:
    """A dataset that a store is found by; whoever wants an image, an id or a label hears why it is not here.

    Attributes
    ----------
    info
        As the file would say it.
    missing
        Why it cannot be opened.
    """

    info: DatasetInfo
    missing: MissingFileError

    def ids(self, group: str) -> IdArray:  # noqa: ARG002 - as every dataset is asked
        """Raise what was missing."""
        raise self.missing

    def labels(self, group: str) -> LabelArray | None:  # noqa: ARG002 - the same
        """Raise what was missing."""
        raise self.missing

    def batches(  # the same
        self,
        group: str,  # noqa: ARG002
        batch_size: int,  # noqa: ARG002
        rows: NDArray[np.int64] | None = None,  # noqa: ARG002
    ) -> Iterator[ImageBatch]:
        """Raise what was missing."""
        raise self.missing
