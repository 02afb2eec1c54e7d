"""Copies of an image whose vectors are averaged: which there are, and for which images they are allowed."""

from __future__ import annotations

from medfeat.datasets.changes import Allowed, allowed_for
from medfeat.errors import UsageError

FLIP, CROPS = COPIES = ("flip", "crops")
MIRROR, UPSIDE_DOWN = "mirror", "upside-down"
OF_CROPS = "crops 7/8"
"""How a recipe spells crops; flips it spells by their names."""


def copies_for(asked: str | None, name: str, ndim: int, *, raw: bool = False) -> str:
    """Return the copies that are averaged, as a recipe spells them; empty for the image alone.

    Parameters
    ----------
    asked
        Of `COPIES`. ``flip``: the image and its mirror image, and both upside down where that changes no meaning.
        ``crops``: windows of 7/8 of its sides, in the corners and the middle.
    name, ndim
        Of the dataset, by which `medfeat.datasets.changes` knows what its images mean.
    raw
        The backbone takes images as they are.

    Raises
    ------
    UsageError
        The change could change what these images mean; the message says why, and what is allowed.
    """
    if asked is None:
        return ""
    if asked not in COPIES:
        raise UsageError(f"--copies must be {' or '.join(COPIES)}, got {asked!r}")
    if raw:
        raise UsageError(f"--copies {asked} is for networks, and this backbone takes images as they are: leave it out")
    allowed = allowed_for(name, ndim)
    if asked not in _allowed(allowed):
        others = " or ".join(f"--copies {one}" for one in _allowed(allowed)) or "leave --copies out"
        raise UsageError(f"--copies {asked} could change what images of {name} mean ({allowed.why}): {others}")
    return OF_CROPS if asked == CROPS else "+".join(one for one in (MIRROR, UPSIDE_DOWN) if one in allowed.changes)


def number_of_copies(copies: str) -> int:
    """Count what goes through the network for one image, as a recipe spells copies: 1 for the image alone."""
    return 5 if copies == OF_CROPS else 2 ** len([one for one in copies.split("+") if one])


def _allowed(allowed: Allowed) -> list[str]:
    # a window of 7/8 in a corner is one that was shifted by a sixteenth
    return [one for one, change in ((FLIP, MIRROR), (CROPS, "shift")) if change in allowed.changes]
