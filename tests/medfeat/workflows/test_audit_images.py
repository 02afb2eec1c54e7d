"""The pictures behind pairs of rows: found through groups, compared in steps, read once each."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from medfeat.evaluation.audit.nearest import Near
from medfeat.workflows.auditing.audit_images import StoredImages
from medfeat.workflows.auditing.copies import detail_correlations, thumbnail

# The rows that a store has of each group, which are not all and not in order.
ROWS = {"train": np.array([3, 0, 2]), "test": np.array([1, 2])}


class Pictures:
    """An image of its own for each row of each group; row 2 of train cannot be read, row 1 of test is smaller."""

    info = SimpleNamespace(ndim=2)

    def __init__(self):
        self.read = []

    def image(self, group, row):
        side = 16 if (group, row) == ("test", 1) else 24
        seed = 10 * list(ROWS).index(group) + row
        return np.random.default_rng(seed).integers(0, 255, (side, side), dtype=np.uint8)

    def batches(self, group, size, rows):
        there = [row for row in rows.tolist() if (group, row) != ("train", 2)]
        self.read += [(group, row) for row in there]
        yield SimpleNamespace(rows=np.array(there, np.int64), images=[self.image(group, row) for row in there])


def test_details_are_those_of_the_pictures_of_each_pair_whatever_the_steps():
    pictures = Pictures()
    store = SimpleNamespace(groups=("train", "test"), n=lambda group: len(ROWS[group]), rows=ROWS.get)
    images = StoredImages(store, SimpleNamespace(open=lambda whole: pictures))
    # By place in the store: 0 is row 3 of train, 1 its row 0, 2 its row 2, 3 row 1 of test, 4 its row 2.
    pairs = Near(np.array([0, 0, 1, 0, 1]), np.array([1, 4, 4, 2, 3]), np.ones(5, np.float32))
    found = images.details(pairs, step=2)
    shown = [pictures.image(*which) for which in (("train", 3), ("train", 0), ("test", 2))]
    small = np.stack([thumbnail(one, volume=False) for one in shown])
    np.testing.assert_allclose(found[:3], detail_correlations(small, np.array([0, 0, 1]), np.array([1, 2, 2])))
    assert np.isnan(found[3]) and found[4] == -1
    np.testing.assert_array_equal(images.details(pairs), found)
    assert len(pictures.read) == len({*pictures.read}) == 4
