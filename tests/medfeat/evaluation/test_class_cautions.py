"""A class that one split shows and another never does is said beside the score."""

import numpy as np
import pytest

from medfeat.evaluation.runs.wording import class_cautions
from medfeat.types import Task


def task(train, val, test, kind="multi-class"):
    parts = [np.array(part).reshape(len(part), -1) for part in (train, val, test)]
    split = np.repeat(["train", "val", "test"], [len(part) for part in parts])
    ids = np.array([f"{i}" for i in range(len(split))])
    return Task("t", kind, ("a", "b", "c"), ids, np.concatenate(parts), split)


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        (([0, 1, 2], [0, 1, 2], [0, 1, 2]), ()),
        (([0, 1], [0, 1], [0, 1, 2]), ("train never shows c, which is in test",)),
        (([0, 1, 2], [0, 1, 2], [0, 1]), ("test never shows c, which is in train",)),
        (([0, 1, 2], [0], [0, 1, 2]), ("val never shows b, c, which are in train",)),
        (([0, 1], [0, 1, 2], [0, 1]), ("train never shows c, which is in val",)),
    ],
)
def test_classes_that_a_split_lacks_are_named(splits, said):
    assert class_cautions(task(*splits)) == said


def test_labels_that_are_never_there_are_named_and_numbers_are_not():
    rows = ([[1, 0, 1], [0, 1, 0]], [[1, 1, 1]], [[1, 1, 0]])
    assert class_cautions(task(*rows, kind="multi-label")) == ("test never shows c, which is in train",)
    assert class_cautions(task([[0.5] * 3], [[1.5] * 3], [[2.5] * 3], kind="regression")) == ()
