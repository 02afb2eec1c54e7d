"""Labels as a dataset gives them, a class of somebody else's too: one form, whatever whole numbers they are kept in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.types import Dataset, LabelArray


def labels_of(dataset: Dataset, group: str) -> LabelArray | None:
    """Return the labels of a group of a dataset.

    Parameters
    ----------
    dataset, group
        Whose; it may give (n,) labels instead of (n, 1), and any type of whole numbers, such as the uint8 of MedMNIST.

    Returns
    -------
    ndarray
        (n, k), of signed whole numbers or floats; None when there are none.
    """
    found = dataset.labels(group)
    if found is None:
        return None
    labels: NDArray[Any] = np.asarray(found)
    labels = labels[:, None] if labels.ndim == 1 else labels
    return labels.astype(np.int64) if labels.dtype.kind in "bu" else labels
