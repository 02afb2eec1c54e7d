"""A few rows of a store embedded again: whether its network still gives them, and gives them image by image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medfeat.counted import none_of
from medfeat.errors import DataError
from medfeat_cache import FeatureStore, StoreHeader

if TYPE_CHECKING:
    from medfeat.workflows.stores.remake import Remake

_CANARY_ROWS = 16
# small, so that a look is quick, and odd, so that the batch is no part of a store's own
_BATCHES = (7, 5)
_CANARY_COSINE = 0.9999
_CANARY_DISPLACED = {"fp32": 0.05, "bf16": 0.5, "fp16": 0.5}
"""How far a row may lie from where it was, in distances of two images: half precision rounds alike images together."""

_ALIKE = {"fp32": 2e-4, "bf16": 2e-2, "fp16": 4e-3}
"""Two images whose rows are all but equal lie this far apart, of the length of a row: what rounding does is no move."""


@dataclass(frozen=True)
class Canary:
    """A sample of rows embedded again.

    Attributes
    ----------
    rows
        How many.
    max_deviation
        Largest absolute difference of any value from the stored one.
    min_cosine
        Smallest cosine between a stored embedding and the new one.
    displaced
        Largest distance between a stored embedding and the new one, as a share of the distance that two images usually
        have here: about 1 where the row is that of another image, however alike all rows are by their cosine.
    allowed
        What of that the precision of the store may do.
    """

    rows: int
    max_deviation: float
    min_cosine: float
    displaced: float = 0.0
    allowed: float = _CANARY_DISPLACED["fp32"]

    @property
    def agrees(self) -> bool:
        """Whether the rows are those that were stored, but for the arithmetic of another device or batch."""
        # written so that NaN is no agreement
        return self.min_cosine >= _CANARY_COSINE and self.displaced <= self.allowed


def sing(header: StoreHeader, remake: Remake) -> Canary:
    """Embed a sample of a store's rows again, in another order and beside others than they were made.

    Parameters
    ----------
    header
        Of the store.
    remake
        What opens its images and builds its network.

    Raises
    ------
    DataError
        When none of the images can be read any more, or they are others than those that were embedded.
    """
    from medfeat.extraction.measure.half_precision import row_cosines
    from medfeat.extraction.measure.sample import sample_rows
    from medfeat.workflows.stores.remake import again

    dataset = remake.open()
    group = max(header.counts, key=lambda name: header.counts[name])
    with FeatureStore(header.path) as store:
        places = sample_rows(store.n(group), _CANARY_ROWS)
        # in another order and beside others: a row that depends on its neighbours comes out as another one
        network = remake.network(dataset, batch_size=_other_batch(header.info["settings"]["batch_size"], len(places)))
        there, rows = again(store, group, places, dataset, network, backwards=True)
        stored = np.asarray(store.embeddings(group)[there], np.float64)
    if not len(there):
        raise DataError(
            f"{none_of(len(places), 'image')} looked for in {header.recipe['dataset']} {group} can be read any more"
        )
    stored, new = (np.asarray(part, np.float64).reshape(len(part), -1) for part in (stored, rows))
    deviation, cosine = float(np.abs(stored - new).max()), float(row_cosines(stored, new).min())
    precision = header.recipe["precision"]
    displaced = _displaced(stored, new, _ALIKE[precision])
    return Canary(len(new), deviation, cosine, displaced, _CANARY_DISPLACED[precision])


def _other_batch(batch_size: int, rows: int) -> int:
    """Return another batch size than a store was made with, and less than all rows, so that neighbours are others."""
    most = max(1, rows // 2)
    return next(size for size in (*(min(size, most) for size in _BATCHES), 2, 1) if size != batch_size)


def _displaced(stored: NDArray[np.float64], new: NDArray[np.float64], alike: float) -> float:
    """Return the largest distance of a row from itself, as a share of the median distance of two rows."""
    if len(stored) < 2:
        return 0.0  # which its cosine has to tell
    above = np.triu_indices(len(stored), 1)
    usual = float(np.median(np.linalg.norm(stored[above[0]] - stored[above[1]], axis=1)))
    least = alike * float(np.linalg.norm(stored, axis=1).max())
    moved = float(np.linalg.norm(stored - new, axis=1).max())
    return moved / max(usual, least, np.finfo(np.float64).tiny)
