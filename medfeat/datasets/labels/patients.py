"""Which images are of one patient, however the patient is written: two spellings must not fall into two splits."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from medfeat.datasets.labels.cells import folded, is_missing, whole_number

SHOWN = 3


def one_spelling(patients: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Give each image the first spelling of its patient.

    Whole numbers are one by their value (``7``, ``07``, ``7.0``), others by what a reader sees of them, capitals aside:
    two patients who are taken for one share a split, where one who is taken for two would be in train and test.

    Parameters
    ----------
    patients
        Of each image, as written.

    Returns
    -------
    tuple of str
        The patient of each image.
    str
        What a person should hear of it; empty when every patient is written in one way.

    Examples
    --------
    >>> one_spelling(["7", "P2", "07", "p2"])
    (('7', 'P2', '7', 'P2'), "patients written in several ways are taken for one: '7' and '07'; 'P2' and 'p2'")
    """
    spellings: dict[Hashable, dict[str, None]] = {}
    for patient in patients:
        spellings.setdefault(_key(patient), {})[patient] = None
    several = [list(written) for written in spellings.values() if len(written) > 1]
    names = tuple(next(iter(spellings[_key(patient)])) for patient in patients)
    if not several:
        return names, ""
    shown = "; ".join(" and ".join(map(repr, written)) for written in several[:SHOWN])
    more = f" and {len(several) - SHOWN} more" if len(several) > SHOWN else ""
    return names, f"patients written in several ways are taken for one: {shown}{more}"


def nobody(patients: Sequence[str]) -> list[int]:
    """Return the places that name no patient: those of an empty cell, ``NA``, ``unknown``, ``-`` and the like."""
    return [i for i, patient in enumerate(patients) if is_missing(patient)]


def _key(patient: str) -> Hashable:
    number = whole_number(patient)
    return folded(patient).casefold() if number is None else number
