"""A head that a program holds is known by its own name; a later one of that name takes its place."""

import numpy as np
import pytest

from medfeat.errors import UsageError
from medfeat.heads import HEADS, describe, head_identity, names_of_heads
from medfeat.heads.majority import MajorityHead


class Mine(MajorityHead):
    """One of mine."""

    def __init__(self, name="mine", width=1):
        self.name = name
        self.width = width


@pytest.fixture(autouse=True)
def as_before():
    before = set(HEADS)
    yield
    for name in set(HEADS) - before:
        HEADS.remove(name)


def test_names_stand_in_the_place_of_heads_and_each_head_is_made_anew():
    head = Mine()
    assert names_of_heads(["linear", head, Mine("other")]) == ["linear", "mine", "other"]
    assert names_of_heads("linear,knn") == "linear,knn" and names_of_heads(None) is None
    assert names_of_heads(Mine) == "mine"
    made = HEADS["mine"]()
    assert type(made) is Mine and made is not head and describe("mine") == "One of mine."


def test_another_head_of_the_name_is_another_run():
    digests = []
    for width in (1, 2, 1):
        names_of_heads(Mine(width=width))
        digests.append(head_identity("mine"))
    assert digests[0] == digests[2] != digests[1]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Mine("linear"), "is named 'linear', as a head that is there: give it another name"),
        (Mine("a,b"), "needs a name, one word without a comma, and its name is 'a,b'"),
        (Mine("all"), "needs a name"),
        (Mine(None), "its name is None"),
        (np.zeros(3), "this is a ndarray of Python"),
        (type("Needs", (), {"__init__": lambda self, x: None}), "the head Needs needs arguments"),
    ],
)
def test_what_is_no_head_is_told(given, said):
    with pytest.raises(UsageError, match=said):
        names_of_heads(given)
