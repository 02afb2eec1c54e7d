"""A dataset of somebody else may keep its labels in any whole numbers, (n,) or (n, 1)."""

from __future__ import annotations

import numpy as np
import pytest

from medfeat.datasets import dataset_from, source_task


class Own:
    """A dataset as a program may write one, with labels as it happens to keep them."""

    def __init__(self, labels):
        self._labels = labels
        self._inner = dataset_from(np.arange(40 * 64, dtype=np.uint8).reshape(40, 8, 8), name="own", labels=[0, 1] * 20)
        self.info, self.ids, self.batches = self._inner.info, self._inner.ids, self._inner.batches

    def labels(self, group):
        return self._labels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int8, np.int64, bool])
@pytest.mark.parametrize("shape", [(40,), (40, 1)])
def test_whole_numbers_of_any_type_are_labels(dtype, shape):
    task = source_task(Own((np.arange(40) % 2).astype(dtype).reshape(shape)))
    assert task.labels.shape == (40, 1) and task.labels.dtype.kind == "i"
    assert task.labels[:, 0].tolist() == [0, 1] * 20
