"""Datasets that a program holds and still has: what was embedded of them can be read again while it runs."""

from __future__ import annotations

from weakref import WeakValueDictionary

from medfeat.types import Dataset

# By the digest of what they hold; nothing is kept alive by being known here.
_ALIVE: WeakValueDictionary[str, Dataset] = WeakValueDictionary()


def remember_alive(dataset: Dataset) -> None:
    """Know a dataset by its fingerprint for as long as the program has it."""
    try:
        _ALIVE[dataset.info.fingerprint] = dataset
    except TypeError:  # a class with slots cannot be known weakly
        return


def alive(fingerprint: str) -> Dataset | None:
    """Return the dataset of a fingerprint, None when the program has none any more."""
    return _ALIVE.get(fingerprint)
