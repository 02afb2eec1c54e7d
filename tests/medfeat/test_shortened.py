"""A list that a line shows in part says so from the first that is left out, and not before."""

from __future__ import annotations

import pytest

from medfeat.datasets.folders.walking import _kinds
from medfeat.datasets.labels.patients import one_spelling
from medfeat.datasets.splits.split_column import _examples
from medfeat.tasks.check import examples


@pytest.mark.parametrize(
    ("said", "shown", "mark"),
    [
        (examples, 3, ", ..."),
        (_examples, 5, ", ..."),
        (lambda names: _kinds(iter(names)), 3, ", ..."),
        (lambda names: one_spelling([*names, *(name.upper() for name in names)])[1], 3, " and 1 more"),
    ],
    ids=["values", "parts", "suffixes", "patients"],
)
def test_a_list_is_shortened_from_the_first_that_has_no_room(said, shown, mark):
    names = [f"p{i}" for i in range(1, shown + 2)]
    whole, cut = said(names[:shown]), said(names)
    assert not whole.endswith(mark) and all(name in whole for name in names[:shown])
    assert cut == whole + mark
